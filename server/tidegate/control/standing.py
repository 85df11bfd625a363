"""How a revision stands on this machine, from what is known of its model. Pure."""

from __future__ import annotations

from tidegate.protocol.errors import TidegateError
from tidegate.replicas.readiness import Readiness
from tidegate.resources.actuator import Phase, Standing, Workload

ASLEEP = "it sleeps until somebody asks for it"
"""Of a revision that has no replica because nobody uses it, and of one whose replica is just going or coming."""


def standing_of(
    workload: Workload,
    *,
    ending: bool,
    ready: int = 0,
    readiness: Readiness | None = None,
    hopeless: bool = False,
    failure: TidegateError | None = None,
    known: bool = False,
) -> Standing:
    """``readiness`` is its model's, None before there is one; ``failure`` what making or starting it ended with, unless
    it was ready since; ``known`` whether it ever answered.
    """
    wanted, sleeps = workload.replicas, workload.sleeps
    if ending:
        return Standing(Phase.ENDING, ready, 0, "it finishes what it has")
    if ready:
        return Standing(Phase.READY, ready, wanted, sleeps=sleeps)
    asleep = readiness is not None and readiness.asleep and readiness.ready
    if asleep and known:
        return Standing(Phase.READY, 0, wanted, ASLEEP, sleeps=sleeps, asleep=True)
    reason = "it is being made" if readiness is None else " ".join(readiness.reason.split())
    if asleep:  # it has to be awake once, to show that it can
        reason = "it is being loaded"
    if failure is not None:
        told = failure.message if readiness is None or asleep or not reason else reason
        return Standing(Phase.FAILED, 0, wanted, " ".join(told.split()), sleeps=sleeps)
    return Standing(Phase.FAILED if hopeless else Phase.STARTING, 0, wanted, reason, sleeps=sleeps)
