"""Queue-driven autoscaling, the policy ``qda``: one price, of a second of late work in replica-seconds, decides all.

Every replica is ordered, kept or dropped by one question: does it save more lateness than it costs? The modules beside
this one answer parts of it, each with its formula and source; docs/autoscaling.md tells the whole.
"""

from __future__ import annotations

import msgspec

from tidegate.autoscaler import qda_reason as reason
from tidegate.autoscaler.arrivals import add_arrivals
from tidegate.autoscaler.climb import add_climb
from tidegate.autoscaler.looks import advance, counters_of, increase
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, ScalingConfig
from tidegate.autoscaler.qda_decision import TICK, bounded, decide_fresh, ended
from tidegate.autoscaler.qda_state import QdaState, begin_state
from tidegate.autoscaler.service_curve import add_service
from tidegate.autoscaler.start_time import add_starts


class Qda:
    """The policy. It has no state; what it knows of a service is in the value that goes in and out."""

    name = "qda"

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> QdaState:
        """All that runs counts as needed now: it is held for half a minute, and then for as long as the rule keeps."""
        return begin_state(now, provisioned)

    def decide(
        self, now: float, observation: Observation | None, state: QdaState, config: ScalingConfig
    ) -> Decision[QdaState]:
        """One look. It takes one each second, and for an idle service one when ``next_at`` says."""
        state = msgspec.structs.replace(state, clock=advance(state.clock, now))
        if observation is None:
            return _hold(state, config)
        state = _learn_replicas(state, observation)
        if not observation.fresh:
            return _hold(state, config)
        learned = _learn_counters(state, observation, config)
        seconds = round(learned.arrivals.end - state.arrivals.end)
        return decide_fresh(learned, observation, config, seconds)


def _learn_replicas(state: QdaState, observation: Observation) -> QdaState:
    """What is said of replicas, which is never stale, but may be said twice."""
    state = msgspec.structs.replace(state, provisioned=observation.provisioned)
    if not observation.started or observation.started == state.started:
        return state
    start = add_starts(state.start, observation.started)
    return msgspec.structs.replace(state, start=start, started=observation.started)


def _learn_counters(state: QdaState, observation: Observation, config: ScalingConfig) -> QdaState:
    """What came and what was answered since the look before."""
    now, before, after = state.clock.at, state.counters, counters_of(observation)
    count, service = 0, state.service
    if before is not None:
        count = increase(before.arrivals, after.arrivals)
        rows, batches = after.completions - before.completions, after.batches - before.batches
        batches = rows if config.max_batch <= 1 else batches  # not everybody counts them
        busy = after.busy_seconds - before.busy_seconds
        if rows > 0 and batches > 0 and busy > 0.0:
            service = add_service(service, batches, rows, busy)
        elif rows >= 0 and batches >= 0 and busy >= 0.0:  # nothing was finished: its seconds count when it is
            after = msgspec.structs.replace(before, arrivals=after.arrivals)
    arrivals = add_arrivals(state.arrivals, count, now)
    climb = add_climb(state.climb, arrivals)
    return msgspec.structs.replace(state, counters=after, service=service, arrivals=arrivals, climb=climb)


def _hold(state: QdaState, config: ScalingConfig) -> Decision[QdaState]:
    """Nothing is known: what there is stays."""
    replicas = bounded(max(state.provisioned, state.replicas), config)
    silent = state.clock.at - state.fresh_at
    return ended(
        msgspec.structs.replace(state, replicas=replicas),
        reason.missing(silent),
        state.clock.at + TICK,
        {"missing": silent},
    )
