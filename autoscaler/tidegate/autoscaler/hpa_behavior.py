"""How fast a recommendation may be followed: Kubernetes' ``pkg/controller/podautoscaler/horizontal.go``.

First it is stabilised: upwards the smallest recommendation of the window for going up holds, downwards the largest of
that for going down. Then rules say how far the number may go within a period, counted from where the period began.
"""

from __future__ import annotations

from math import ceil

from tidegate.autoscaler.hpa_settings import Behavior

Stamped = tuple[tuple[float, int], ...]
"""Pairs of a time and a number, the oldest first: recommendations, or by how many replicas there were more or fewer."""


def stabilised(now: float, wish: int, current: int, past: Stamped, up: Behavior, down: Behavior) -> int:
    """What is left of a wish after the windows; ``past`` is without it."""
    floor = min([wish, *(number for at, number in past if at > now - up.window)])
    ceiling = max([wish, *(number for at, number in past if at > now - down.window)])
    return min(max(current, floor), ceiling)


def limited(now: float, wish: int, current: int, grown: Stamped, shrunk: Stamped, up: Behavior, down: Behavior) -> int:
    """What is left of a wish after the rules."""
    if wish > current:
        return min(wish, max(current, highest(now, current, grown, shrunk, up)))
    if wish < current:
        return max(wish, min(current, lowest(now, current, grown, shrunk, down)))
    return wish


def highest(now: float, current: int, grown: Stamped, shrunk: Stamped, behavior: Behavior) -> int:
    """Replicas that the rules for going up allow."""
    limits = []
    for rule in behavior.rules:
        began = current - _change(now, grown, rule.period) + _change(now, shrunk, rule.period)
        more = began + rule.value if rule.kind == "Pods" else ceil(began * (1.0 + rule.value / 100.0))
        limits.append(more)
    if behavior.select == "Disabled" or not limits:
        return current
    return min(limits) if behavior.select == "Min" else max(limits)


def lowest(now: float, current: int, grown: Stamped, shrunk: Stamped, behavior: Behavior) -> int:
    """Replicas that the rules for going down leave."""
    limits = []
    for rule in behavior.rules:
        began = current - _change(now, grown, rule.period) + _change(now, shrunk, rule.period)
        fewer = began - rule.value if rule.kind == "Pods" else int(began * (1.0 - rule.value / 100.0))
        limits.append(fewer)
    if behavior.select == "Disabled" or not limits:
        return current
    return max(limits) if behavior.select == "Min" else min(limits)


def recent(now: float, past: Stamped, window: float) -> Stamped:
    """Those that are not older than the window."""
    return tuple(pair for pair in past if pair[0] > now - window)


def longest_period(behavior: Behavior) -> float:
    """Seconds that changes have to be remembered for."""
    return max((rule.period for rule in behavior.rules), default=0.0)


def _change(now: float, events: Stamped, period: float) -> int:
    return sum(number for at, number in events if at > now - period)
