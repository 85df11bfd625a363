"""From the statistics of a revision and its fleet to what a policy observes. Pure."""

from __future__ import annotations

from tidegate.autoscaler.observation import Observation
from tidegate.control.scaling.fleet import Fleet
from tidegate.telemetry.statistics import RevisionStatistics

FAILING = ("backing off", "failed")
"""States of a replica, by the names of ``tidegate.replicas.lifecycle``, in which it is no capacity."""


def failing_in(statistics: RevisionStatistics | None) -> int:
    """Replicas whose start failed; 0 where nobody tells."""
    return 0 if statistics is None else sum(statistics.replicas.get(state, 0) for state in FAILING)


def observation_of(statistics: RevisionStatistics | None, fleet: Fleet, wanted: int) -> Observation | None:
    """One look; None where there is nothing to look at, or nothing was loaded yet.

    Requests that were turned away, because the queue was full or what waits would have taken too long, are arrivals, a
    row each: that there are too few replicas for them is what their number says.
    """
    if statistics is None or statistics.batcher is None:
        return None
    counts, depth = statistics.batcher.counts, statistics.batcher.depth
    return Observation(
        arrivals=counts.arrived_rows + counts.overloaded + counts.shed,
        completions=counts.executed_rows,
        busy_seconds=counts.busy_seconds,
        batches=sum(counts.batches.values()),
        waiting=depth.rows,
        in_flight=depth.inflight_rows,
        ready=fleet.ready,
        provisioned=wanted,
        warming=fleet.warming,
        started=fleet.started,
    )
