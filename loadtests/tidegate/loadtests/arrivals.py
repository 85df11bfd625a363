"""When requests come: ascending seconds from the start, fixed before the first is sent.

A load whose times are fixed in advance is an open loop: a slow server does not slow it down, as users do not wait for
each other. All here is pure, and a seed gives the same times everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import count, islice, takewhile

from tidegate.autoscaler.simulator.traces import read_stamps


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
    return tuple((read_stamps(lines) / speed).tolist())
