"""When requests come: ascending seconds from the start, fixed before the first is sent.

A load whose times are fixed in advance is an open loop: a slow server does not slow it down, as users do not wait for
each other. All here is pure, and a seed gives the same times everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count, islice, takewhile

AZURE_HEADER = "TIMESTAMP,"


def constant(rate: float) -> Iterator[float]:
    """``rate`` arrivals per second without end, evenly spaced, the first at 0."""
    return (number / rate for number in count())


def poisson(rate: float, seed: int) -> Iterator[float]:
    """``rate`` arrivals per second on average without end, independent of each other."""
    gaps = random.Random(seed)
    now = 0.0
    while True:
        now += gaps.expovariate(rate)
        yield now


def bounded(arrivals: Iterable[float], duration: float | None, requests: int | None) -> Iterator[float]:
    """Those before ``duration`` seconds, at most ``requests`` of them; None is no bound."""
    early = arrivals if duration is None else takewhile(lambda at: at < duration, arrivals)
    return islice(early, requests)


def read_trace(lines: Iterable[str], speed: float = 1.0) -> tuple[float, ...]:
    """The arrivals of a trace, sorted, the first at 0, played ``speed`` times as fast.

    A line is a number of seconds, or begins with a time of day as in Azure's LLM inference traces (whose header tells
    that it is one); what follows a comma is not read.

    Raises:
        ValueError: a line is neither, or there is none; the message names the line.
    """
    times: list[float] = []
    azure = False
    for number, line in enumerate(lines, 1):
        field = line.split(",", 1)[0].strip()
        if number == 1 and line.startswith(AZURE_HEADER):
            azure = True
        elif field:
            times.append(_seconds(field, azure, number))
    if not times:
        raise ValueError("the trace holds no arrival")
    times.sort()
    return tuple((at - times[0]) / speed for at in times)


def _seconds(field: str, azure: bool, number: int) -> float:
    try:
        # Azure writes seven digits after the point, of which datetime keeps six.
        seconds = datetime.fromisoformat(f"{field}+00:00").timestamp() if azure else float(field)
    except ValueError:
        expected = "a time as 2023-11-16 18:17:03.97" if azure else "a number of seconds"
        raise ValueError(f"line {number} of the trace has '{field}'; expected {expected}") from None
    if not abs(seconds) < float("inf"):
        raise ValueError(f"line {number} of the trace has '{field}'; expected a number of seconds")
    return seconds
