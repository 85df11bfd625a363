"""How many replicas there are, are ready and are to be, counted again and again; and what follows from that. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

NONE = ("stopped", "failed", "backing off")
"""States of a replica that has no process."""
GOING = "draining"
_ROUNDS = 100
"""Of a fixed point that halves its error in each or does better."""


class Count(msgspec.Struct, frozen=True, array_like=True):
    """At one moment, in seconds since the run began."""

    at: float
    desired: int
    ready: int
    there: int
    """Ordered, starting, ready or draining: what is paid for."""


class Starts(NamedTuple):
    """Seconds since they were ordered."""

    took: list[float]
    """Of those that became ready."""
    without: list[float]
    """Of those that were called off before that, or were still starting at the end."""


def count(at: float, desired: int, states: Mapping[str, int]) -> Count:
    """From the number that is desired, and how many replicas are in each state.

    What is desired was ordered, whether its process has been started yet or not.
    """
    going = states.get(GOING, 0)
    processes = sum(number for state, number in states.items() if state not in NONE)
    return Count(at, desired, states.get("ready", 0), max(desired, processes - going) + going)


def replica_seconds(counts: Sequence[Count], duration: float) -> float:
    """From the order of each replica until it is gone, from second 0 to ``duration``.

    A change is taken to be in the middle between two counts, which is right on average.
    """
    total = 0.0
    for before, after in pairwise(counts):
        begin, end = min(max(before.at, 0.0), duration), min(max(after.at, 0.0), duration)
        total += (before.there + after.there) / 2 * (end - begin)
    return total


def changes(counts: Sequence[Count], duration: float) -> int:
    """Replicas that were ordered, and that were taken away, from second 0 to ``duration``."""
    within = [each.desired for each in counts if 0.0 <= each.at <= duration]
    return sum(abs(after - before) for before, after in pairwise(within))


def starts(counts: Sequence[Count]) -> Starts:
    """Of those that were ordered after the first count: the first ordered is taken for the first ready, and who was
    ordered last for who is not wanted any more."""
    took, without = [], []
    warming = [each.at for each in counts[:1] for _ in range(each.desired - each.ready)]
    for before, each in pairwise(counts):
        for _ in range(min(each.ready - before.ready, len(warming))):
            took.append(each.at - warming.pop(0))
        coming = max(each.desired - each.ready, 0)
        while len(warming) > coming:
            without.append(each.at - warming.pop())
        warming += [each.at] * (coming - len(warming))
    without += [counts[-1].at - ordered for ordered in warming]
    return Starts(took, without)


def mean_start(found: Starts, spread: float) -> float | None:
    """Seconds from order to ready on average, of lognormal ones whose deviation is ``spread`` of that; None of none.

    Those that were not ready before they were called off are the slow ones: a mean of the others would be too short. So
    it is that under which both are the most likely (by expectation and maximisation of the logarithms' mean).
    """
    logs, limits = ([math.log(each) for each in some if each > 0] for some in found)
    if not logs:
        return None
    sigma = math.sqrt(math.log(1 + spread**2))
    middle = sum(logs) / len(logs)
    for _ in range(_ROUNDS if sigma > 0 else 0):
        hidden = sum(middle + sigma * _beyond((limit - middle) / sigma) for limit in limits)
        middle = (sum(logs) + hidden) / (len(logs) + len(limits))
    return math.exp(middle + sigma * sigma / 2)


def _beyond(limit: float) -> float:
    """What a standard normal number is on average, of which is known that it is above ``limit``."""
    above = math.erfc(limit / math.sqrt(2)) / 2
    if above < 1e-12:
        return limit
    return math.exp(-limit * limit / 2) / math.sqrt(2 * math.pi) / above


def at(counts: Sequence[Count], second: float) -> Count:
    """The last count until then; the first where there is none."""
    return next((each for each in reversed(counts) if each.at <= second), counts[0])
