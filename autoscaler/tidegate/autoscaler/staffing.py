"""How many replicas a rate is worth: another one as long as it saves more lateness than it costs.

Late is who waits longer than ``slack``. With N replicas the share is about ErlangC(N, R)·exp(-2·(N·mu - rate)·slack),
Erlang's formula (1917) for the share that waits at all, R = rate/mu, and twice the decay of M/M/c, for service times
vary little (the half rule of M/D/c: Tijms, "A First Course in Stochastic Models", 2003, 9.6). Another replica is bought
while price·R·(late(N) - late(N + 1)) > 1: both sides are replica-seconds in a second.
"""

from __future__ import annotations

from math import exp, floor, log


def staff(rate: float, mu: float, slack: float, price: float, most: int) -> int:
    """Replicas for ``rate`` arrivals a second, at ``mu`` each; at most ``most``, and none for no arrivals.

    The saving is that at the slack for which it is largest, of ``slack`` and all above: where hardly anybody is in time
    anyway another replica saves little, and a looser SLO would be worth more replicas than a tight one.
    """
    if rate <= 0.0 or most <= 0:
        return 0
    load = rate / mu
    if load >= most:
        return most
    first = floor(load) + 1
    blocked = 1.0  # Erlang B by its recursion
    for count in range(1, first + 1):
        blocked = load * blocked / (count + load * blocked)
    waits = waiting(first, load, blocked)
    for count in range(first, most):
        blocked = load * blocked / (count + 1 + load * blocked)
        waits_more = waiting(count + 1, load, blocked)
        if price * load * _saving(waits, waits_more, count - load, slack * mu) <= 1.0:
            return count
        waits = waits_more
    return most


def waiting(count: int, load: float, blocked: float) -> float:
    """Erlang C from Erlang B, for a load below ``count``."""
    return count * blocked / (count - load * (1.0 - blocked))


def late(count: int, rate: float, mu: float, slack: float) -> float:
    """The share of requests that wait longer than ``slack`` seconds; 1 where ``count`` replicas are too few."""
    load = rate / mu
    if load >= count:
        return 1.0
    blocked = 1.0
    for number in range(1, count + 1):
        blocked = load * blocked / (number + load * blocked)
    return waiting(count, load, blocked) * exp(-2.0 * (count * mu - rate) * slack)


def _saving(waits: float, waits_more: float, spare: float, slack: float) -> float:
    """The largest of late(N) - late(N + 1) at ``slack`` services or more, with ``spare`` = N - R.

    It is waits·exp(-a·x) - waits_more·exp(-b·x) with a = 2·spare and b = a + 2, which has one maximum.
    """
    if spare > 0.0 and waits_more > 0.0:
        best = log((spare + 1.0) * waits_more / (spare * waits)) / 2.0
        slack = max(slack, best)
    return waits * exp(-2.0 * spare * slack) - waits_more * exp(-2.0 * (spare + 1.0) * slack)
