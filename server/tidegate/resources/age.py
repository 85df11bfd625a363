"""How long ago something was, as people read it: server and command line say it alike. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def age(time: object, now: float) -> str:
    """The age of a time of RFC 3339; ``now`` is in seconds since 1970."""
    try:
        return span(now - datetime.fromisoformat(str(time)).astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return "<unknown>"


def span(seconds: float) -> str:
    """A length of time as ``kubectl`` words it (k8s.io/apimachinery, duration.HumanDuration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(0, whole)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"
