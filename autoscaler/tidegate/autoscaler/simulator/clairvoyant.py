"""The bound of a scheduler that knows the future: replica-seconds below which nobody answers every request in time.

Time is cut into windows of ``d`` seconds. What arrives in a window, but not in its last SLO seconds, must be executed
within it, so that the mean number of replicas there is at least that work over ``d``. A replica that is started costs
a cold start before it works. So the bound is the least of

    sum of n_k * d + L * sum of (n_k - n_(k-1))+      over n_k >= max(work_k / d, least),  n_0 = those that run already

which is found level by level: a level that is needed again after a gap is kept if the gap is shorter than L, and bought
again otherwise. It is a bound, and not a plan: replicas may be fractions, work is a fluid that any of them takes at
once, batches are full, and the mean over a window hides its peaks. Of several window lengths the best bound is taken.
It holds for a run without late requests; who is late now and then may be cheaper.
"""

from __future__ import annotations

import numpy as np

from tidegate.autoscaler.simulator.conditions import DRAWS
from tidegate.autoscaler.simulator.workload import Floats, Workload

LENGTHS = (5, 10, 20, 40, 80)
"""Windows that are tried, in SLOs."""


def bound(workload: Workload, cold_start: float, jitter: list[float] | None = None) -> float:
    """Replica-seconds. With the ``jitter`` of a run the work is what it was there; batches have mean times."""
    arrivals = workload.arrivals
    work = np.full(arrivals.size, 1.0 / workload.service.capacity)
    if jitter is not None and workload.service.max_batch == 1:
        work *= np.array(jitter)[np.arange(arrivals.size) & (DRAWS - 1)]
    found = [max(workload.least * workload.duration, float(work.sum()))]
    for length in LENGTHS:
        seconds = length * workload.service.slo
        count = int(workload.duration // seconds)
        if count:
            found.append(_least(_needed(workload, work, seconds, count), seconds, cold_start, workload.initial))
    return max(found)


def _needed(workload: Workload, work: Floats, seconds: float, count: int) -> Floats:
    """Replicas on average in each of the windows, at least."""
    at = workload.arrivals / seconds
    window = at.astype(np.int64)
    urgent = (window < count) & ((window + 1) * seconds - workload.arrivals >= workload.service.slo)
    total = np.bincount(window[urgent], weights=work[urgent], minlength=count)
    needed: Floats = np.maximum(total / seconds, float(workload.least))
    return needed


def _least(needed: Floats, seconds: float, cold_start: float, initial: int) -> float:
    """The least cost of having at least ``needed`` in every window, where one more costs a cold start."""
    levels = np.unique(np.concatenate((needed, [float(initial)])))
    heights = np.diff(np.concatenate(([0.0], levels)))
    total = 0.0
    for level, height in zip(levels, heights, strict=True):
        (on,) = np.nonzero(needed >= level)
        if not on.size:
            continue
        gaps = np.diff(on, prepend=-1) - 1  # the first is from the beginning on
        idle = np.minimum(gaps * seconds, cold_start)
        if level > initial:
            idle[0] = cold_start  # not there yet
        total += float(height) * (on.size * seconds + float(idle.sum()))
    return total
