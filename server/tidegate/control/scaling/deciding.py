"""One look at a revision: what its policy says, and what holds before it. Pure.

The policy decides by numbers. What it cannot know goes before it: a restart, a rollout that may go back, starts that
fail. So the number falls only where data say so, and the bounds of the service come last, and always hold.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.autoscaler.policies import policy_of
from tidegate.autoscaler.policy import Decision, ScalingConfig, within
from tidegate.control.scaling import record as records
from tidegate.control.scaling.fleet import Fleet, seen
from tidegate.control.scaling.observing import failing_in, observation_of
from tidegate.control.scaling.reckoned import slo_of, starts_of
from tidegate.control.scaling.record import Record
from tidegate.control.scaling.scale import Scale
from tidegate.resources.revision import timestamp
from tidegate.telemetry.statistics import RevisionStatistics

HOLD = 60.0
"""Seconds for which the number does not fall after a restart, after a time in which nobody looked, or after a rollout
that needed more: as long as the longest window that a policy takes its rates over."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a revision between two looks. Times are those of ``now`` in what follows, unless they say."""

    scale: Scale
    state: Any
    """The policy's own."""
    record: Record
    """What is to be kept of it: the number among that. Its memory is filled in when it is written."""
    fleet: Fleet = Fleet()
    held_until: float = 0.0

    @property
    def config(self) -> ScalingConfig:
        return self.scale.scaling.config


class Outcome(msgspec.Struct, frozen=True):
    """What a look came to."""

    known: Known
    next_at: float | None
    """When to look again although nothing arrives; None for never."""
    terms: dict[str, float]


def begun(scale: Scale, wall: float) -> tuple[Known, float]:
    """A revision that is scaled from now on, and the policy's own time now. ``wall`` is in seconds since 1970.

    Where a server before this one kept what it knew, that goes on, and the time between them does not count: nobody saw
    what happened in it.
    """
    record, policy = records.read(scale.stored), scale.scaling.policy
    state, now, desired = None, wall, scale.wanted
    if record is not None:
        desired = max(record.desired, scale.wanted)
        if record.policy == policy and (state := records.unpack(policy, record.memory)) is not None:
            now = record.clock
    desired = within(desired, scale.scaling.config)
    if state is None:
        state = policy_of(policy).begin(now, desired, scale.scaling.config)
    reason = f"{scale.wanted} -> {desired}: what there was is kept"
    before = record or Record(policy, desired, reason, timestamp(wall))
    record = before.changed(desired, reason, wall).of(policy)
    known = Known(scale=scale, state=state, record=record, held_until=now + HOLD)
    return ordered(known, now, None), now


def held(known: Known, now: float) -> Known:
    """The same, whose number does not fall for a while."""
    return msgspec.structs.replace(known, held_until=now + HOLD)


def told(known: Known, scale: Scale, now: float, statistics: RevisionStatistics | None) -> Known:
    """The same after a look at its service, which may have other bounds now, or another policy."""
    before = known.scale
    policy, config = scale.scaling.policy, scale.scaling.config
    if policy != before.scaling.policy:
        state = policy_of(policy).begin(now, known.record.desired, config)
        known = msgspec.structs.replace(known, state=state, record=known.record.of(policy), held_until=now + HOLD)
    elif config.least < before.scaling.config.least or (scale.falls and not before.falls):
        known = held(known, now)
    return ordered(msgspec.structs.replace(known, scale=scale), now, statistics)


def ordered(known: Known, now: float, statistics: RevisionStatistics | None) -> Known:
    """The same with its replicas as they are now."""
    scale = known.scale
    ordered = 0 if scale.asleep else scale.wanted
    fleet = seen(known.fleet, now, wanted=ordered, ready=scale.ready, failing=failing_in(statistics))
    return msgspec.structs.replace(known, fleet=fleet)


def decided(
    known: Known, now: float, wall: float, statistics: RevisionStatistics | None, max_batch: int | None = None
) -> Outcome:
    """How many replicas there are to be now. ``max_batch`` is what the model takes at once, where that is known."""
    known = ordered(known, now, statistics)
    config = known.config
    if max_batch is not None:
        config = msgspec.structs.replace(config, max_batch=max(max_batch, 1))
    observation = observation_of(statistics, known.fleet, known.scale.wanted)
    decision = policy_of(known.scale.scaling.policy).decide(now, observation, known.state, config)
    replicas, reason, again_at = _guarded(known, now, decision, blind=observation is None)
    record = known.record.changed(replicas, reason, wall)
    after = msgspec.structs.replace(
        known,
        state=decision.state,
        record=record.reckoned(slo_of(decision.terms, config), starts_of(decision.terms)),
        fleet=known.fleet if observation is None else known.fleet.told(),
    )
    times = [at for at in (decision.next_at, again_at) if at is not None]
    return Outcome(after, min(times, default=None), decision.terms)


def _guarded(known: Known, now: float, decision: Decision[Any], *, blind: bool) -> tuple[int, str, float | None]:
    """The number, why, and when what goes before the policy ends."""
    has, wanted = known.record.desired, decision.replicas
    why, until = "", None
    if wanted < has:
        if blind:
            why = "there are no figures"
        elif not known.scale.falls:
            why = "while a rollout goes on, what it would go back to keeps its replicas"
        elif now < known.held_until:
            why, until = f"what there was is kept for {known.held_until - now:.0f} s more", known.held_until
    elif wanted > has and now < known.fleet.again_at:
        why = f"{_failed(known.fleet.failures)}, and no more are ordered yet"
        until = known.fleet.again_at
    replicas = within(has if why else wanted, known.config)
    if not why and replicas == wanted:
        failures = known.fleet.failures
        return wanted, decision.reason + (f"; {_failed(failures)} in a row" if failures else ""), None
    why = why or "the bounds of the service hold"
    return replicas, f"{known.scale.wanted} -> {replicas}: {why}; the policy would have {wanted}", until


def _failed(failures: int) -> str:
    return f"{failures} {'start' if failures == 1 else 'starts'} failed"
