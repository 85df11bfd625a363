"""What became of an attempt, and when the next one is. Pure."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

import msgspec

from tidegate.control.notifications.settings import NotificationSettings

_WORD = re.compile(rb"[a-z_]{1,40}")
"""An error as Slack names it: ``no_service``. More of an answer is not told, for some repeat the secret path."""


class Fate(StrEnum):
    DELIVERED = "delivered"
    AGAIN = "again"
    """It may be over in a moment."""
    MEND = "mend"
    """It lasts until somebody changes a secret or an option: he is told, and it is tried again meanwhile."""
    REFUSED = "refused"
    """Trying again would not help."""


class Outcome(msgspec.Struct, frozen=True):
    """``why`` is a sentence that people read; ``retry_after`` the seconds that the channel asks for."""

    fate: Fate
    why: str = ""
    retry_after: float | None = None


def judged(status: int, body: bytes, retry_after: str, now: float) -> Outcome:
    """What an answer means: 2xx has arrived, 408, 425, 429 and 5xx may be over soon, all else will stay so."""
    if 200 <= status < 300:
        return Outcome(Fate.DELIVERED, f"it answered {status}")
    word = f" ({body.decode()})" if _WORD.fullmatch(body) else ""
    why = f"it answered {status}{word}"
    if status in (408, 425, 429) or status >= 500:
        return Outcome(Fate.AGAIN, why, wished(retry_after, now))
    return Outcome(Fate.REFUSED, why)


def wished(retry_after: str, now: float) -> float | None:
    """Seconds of a Retry-After, which is a number or a date (RFC 9110, section 10.2.3); None where it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


def pause(attempts: int, retry_after: float | None, settings: NotificationSettings, chance: float) -> float:
    """Seconds until the next attempt, after so many in vain: exponential, and up to half of it left to chance, so that
    channels that failed together do not come back together. What the channel asks for is the least, and not spread
    to less. ``chance`` is from 0 to 1."""
    longest = min(settings.longest_pause, settings.first_pause * 2.0 ** min(attempts - 1, 32))
    seconds = longest * (1.0 - chance / 2.0)
    if retry_after is not None:
        seconds = max(seconds, min(retry_after, settings.longest_wish))
    return seconds
