"""The sentence of a decision of ``qda``, made of the numbers that decided."""

from __future__ import annotations

from tidegate.autoscaler.keeping import Absent


def missing(seconds: float) -> str:
    return f"metrics missing for {seconds:.0f} s, holding (never down on silence)"


def base(forecast: float, mu: float, headroom: float) -> str:
    if forecast <= 0.0:
        return "no request came in the last minute"
    return (
        f"{expected(forecast, mu)}, headroom {headroom:.2f} × sqrt(rate); "
        "one more would cost more than the lateness it saves"
    )


def recent(level: int, forecast: float, mu: float) -> str:
    return f"replica {level} was wanted less than 30 s ago; {expected(forecast, mu)}"


def absent(what: str, level: Absent, rebuy: float) -> str:
    """``what`` is kept, or pre-warmed."""
    return (
        f"replica {level.level} {what}: last needed {level.age:.0f} s ago, {level.longer} of {level.known} known gaps "
        f"of this size lasted longer; buying it back late would cost about {rebuy:.0f} replica-s"
    )


def backlog(waiting: int, expected_waiting: float, start: float, overdue: int) -> str:
    without = f" without the {overdue} overdue" if overdue else ""
    return (
        f"{waiting} waiting, and {expected_waiting:.0f} will be in {start:.0f} s, when what was ordered is ready"
        f"{without}; as many as answer them within the SLO"
    )


def late(waiting: int) -> str:
    return f"{waiting} waiting (more than half the SLO of work): never down with a late backlog"


def expected(forecast: float, mu: float) -> str:
    return f"forecast {forecast:.1f} req/s at {mu:.2f} req/s per replica"
