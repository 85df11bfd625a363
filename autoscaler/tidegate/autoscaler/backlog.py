"""What will wait when every replica that was ordered is there, and how many more it takes to answer that in time."""

from __future__ import annotations

from math import ceil

DEAD_BAND = 0.5
"""Of the slack's work: less is what queues are like."""


def expected(waiting: int, rate: float, mu: float, ready: int, arriving: list[float], start: float) -> float:
    """Requests that wait ``start`` seconds from now, if ``rate`` a second come and each replica answers ``mu`` of them.

    ``arriving`` are the seconds, at most ``start``, until each replica that was ordered is there. Replicas that have
    nothing to do do not answer in advance, so the queue is not below nothing when one arrives.
    """
    queue, time, there = float(waiting), 0.0, ready
    for arrival in sorted(arriving):
        queue = max(queue + (rate - mu * there) * (arrival - time), 0.0)
        time, there = arrival, there + 1
    return max(queue + (rate - mu * there) * (start - time), 0.0)


def is_late(waiting: float, mu: float, replicas: int, slack: float) -> bool:
    """Whether so many that wait are more than ``replicas`` answer in half the slack."""
    return waiting > DEAD_BAND * slack * mu * replicas


def drain(backlog: float, rate: float, mu: float, slo: float) -> int:
    """Replicas that answer ``rate`` a second and, within the SLO, the backlog."""
    return ceil((rate + backlog / slo) / mu)
