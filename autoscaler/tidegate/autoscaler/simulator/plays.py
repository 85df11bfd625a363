"""Many runs: which there are to do, which have been done, and the outcomes of the rest, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tidegate.autoscaler.simulator.conditions import Conditions
from tidegate.autoscaler.simulator.contestants import Contestant
from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.run import Kind, simulate
from tidegate.autoscaler.simulator.workload import Workload

Make = Callable[[int], Workload]
"""A workload from a seed."""


class Key(NamedTuple):
    """What tells one run from all others."""

    workload: str
    policy: str
    cold_start: float
    seed: int
    plant: str


class Play(NamedTuple):
    """One run that is to be done. The workload is made when it is."""

    name: str
    make: Make
    contestant: Contestant
    conditions: Conditions
    seed: int
    plant: Kind = "own"

    @property
    def key(self) -> Key:
        return Key(self.name, self.contestant.label, self.conditions.cold_start, self.seed, self.plant)

    def __call__(self) -> Outcome:
        return play(self, self.make(self.seed))


def key_of(outcome: Outcome) -> Key:
    """Of the run that it is of."""
    return Key(outcome.workload, outcome.policy, outcome.cold_start, outcome.seed, outcome.plant)


def play(what: Play, workload: Workload) -> Outcome:
    """Do one run."""
    contestant = what.contestant
    config = contestant.config(workload, what.conditions)
    return simulate(
        workload, contestant.policy(), config, what.conditions, label=contestant.label, seed=what.seed, plant=what.plant
    )


def outcomes(plays: Iterable[Play], done: Iterable[Outcome] = ()) -> Iterator[Outcome]:
    """Of all plays that are not done yet. A workload is made once while its plays follow each other."""
    known = {key_of(each) for each in done}
    last: tuple[str, int] | None = None
    workload: Workload | None = None
    for each in plays:
        if each.key in known:
            continue
        if workload is None or last != (each.name, each.seed):
            last, workload = (each.name, each.seed), each.make(each.seed)
        yield play(each, workload)
