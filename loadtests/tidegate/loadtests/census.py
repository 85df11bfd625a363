"""How many replicas there are, are ready and are to be, counted again and again; and what follows from that. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from tidegate.control.scaling.fleet import Fleet, seen

NONE = ("stopped", "failed", "backing off")
"""States of a replica that has no process."""
GOING = "draining"


class Count(msgspec.Struct, frozen=True, array_like=True):
    """At one moment, in seconds since the run began."""

    at: float
    desired: int
    ready: int
    there: int
    """Ordered, starting, ready or draining: what is paid for."""


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


def starts(counts: Sequence[Count]) -> list[float]:
    """Seconds from order to ready of each replica that became ready, the first ordered taken for the first ready."""
    found: list[float] = []
    fleet = Fleet()
    for index, each in enumerate(counts):
        fleet = seen(fleet, each.at, wanted=each.desired, ready=each.ready, failing=0)
        found += fleet.started if index else ()
        fleet = fleet.told()
    return found


def at(counts: Sequence[Count], second: float) -> Count:
    """The last count until then; the first where there is none."""
    return next((each for each in reversed(counts) if each.at <= second), counts[0])
