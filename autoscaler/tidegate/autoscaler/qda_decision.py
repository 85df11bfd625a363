"""A decision of ``qda`` on fresh numbers: what is needed, kept, pre-warmed and bought, and the largest of these."""

from __future__ import annotations

import msgspec

from tidegate.autoscaler import qda_reason as reason
from tidegate.autoscaler.backlog import drain, expected, is_late
from tidegate.autoscaler.keeping import kept_and_pre_warmed, next_change
from tidegate.autoscaler.levels import gaps_ended, highest_since, seen
from tidegate.autoscaler.looks import Clock
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, ScalingConfig
from tidegate.autoscaler.qda_needs import Needs, needs_of
from tidegate.autoscaler.qda_state import Prices, QdaState
from tidegate.autoscaler.qda_wish import Wish, terms_of

TICK = 1.0
"""Seconds between looks at a service that is in use."""
HOLD = 30.0
"""Seconds for which what was wanted is held."""
REPRICE = 60.0
"""Seconds after which the keep rule's prices are taken again."""


def decide_fresh(state: QdaState, observation: Observation, config: ScalingConfig, seconds: int) -> Decision[QdaState]:
    """``state`` has learned from ``observation``, ``seconds`` whole seconds after the look before."""
    now, needs = state.clock.at, needs_of(state, observation, config, seconds)
    prices = state.prices
    if prices is None or now - prices.at >= REPRICE or needs.ahead.rate <= 0.0:
        prices = _prices(needs, now)
    needed = seen(state.needed, needs.level, now)
    kept, pre_warmed = kept_and_pre_warmed(needed, state.gaps, prices, now, state.replicas)
    wanted = seen(state.wanted, max(needs.base, pre_warmed.level), now)
    wanted = tuple(step for step in wanted if step[1] > now - HOLD)
    recent = highest_since(wanted, now - HOLD)
    backlog, drained, overdue = _bought(state, observation, needs)
    wish = Wish(needs.base, recent, kept, pre_warmed, prices.rebuy, backlog, drained, overdue)
    replicas, said = _chosen(state, observation, config, needs, wish)
    # Gaps count from the next look on, so that a level which is back does not change what others are worth now.
    gaps = gaps_ended(state.gaps, state.needed, state.level, needs.level, now)
    after = msgspec.structs.replace(
        state,
        headroom=needs.headroom,
        prices=prices if gaps is state.gaps else _prices(needs, now),
        gaps=gaps,
        needed=needed,
        level=needs.level,
        wanted=wanted,
        replicas=replicas,
        fresh_at=now,
    )
    idle = not (needs.level or observation.warming or observation.provisioned != replicas)
    return ended(after, said, _next(after, config.least) if idle else now + TICK, terms_of(needs, wish))


def _prices(needs: Needs, now: float) -> Prices:
    return Prices(needs.figures.rebuy, needs.figures.start, now)


def _bought(state: QdaState, observation: Observation, needs: Needs) -> tuple[float, int, int]:
    """The backlog to come, the replicas for it if it is late, and how many are overdue: those are not on their way."""
    known, rate, passed = needs.figures, needs.ahead.fast, state.clock.at - state.clock.shift
    coming = [order for order in observation.warming if passed - order < known.overdue]
    arriving = [min(max(order + known.start - passed, 0.0), known.start) for order in coming]
    overdue = len(observation.warming) - len(coming)
    backlog = expected(observation.waiting, rate, known.mu, observation.ready, arriving, known.start)
    if not is_late(backlog, known.mu, observation.ready + len(arriving), known.slack):
        return backlog, 0, overdue
    return backlog, drain(backlog, rate, known.mu, known.slo), overdue


def _chosen(
    state: QdaState, observation: Observation, config: ScalingConfig, needs: Needs, wish: Wish
) -> tuple[int, str]:
    """The number, within the bounds, and why."""
    mu, slack = needs.figures.mu, needs.figures.slack
    last = bounded(max(state.replicas, observation.ready), config)
    wanted, said = max(wish.hold, wish.drain), _said(observation, needs, wish)
    if wanted < last and is_late(observation.waiting, mu, observation.ready, slack):
        return last, reason.late(observation.waiting)
    if wanted >= config.most:
        return config.most, f"at maxReplicas: {said}"
    if wanted < config.least:
        return config.least, f"at minReplicas: {said}"
    return wanted, said


def _said(observation: Observation, needs: Needs, wish: Wish) -> str:
    """Which part wants the most, and its numbers."""
    if wish.drain > wish.hold:
        return reason.backlog(observation.waiting, wish.backlog, needs.figures.start, wish.overdue)
    if wish.base == wish.hold:
        return reason.base(needs.ahead.rate, needs.figures.mu, needs.headroom.value)
    if wish.pre_warmed.level == wish.hold > wish.kept.level:
        return reason.absent("pre-warmed", wish.pre_warmed, wish.rebuy)
    if wish.kept.level == wish.hold and wish.kept.age >= HOLD:
        return reason.absent("kept", wish.kept, wish.rebuy)
    return reason.recent(wish.recent, needs.ahead.rate, needs.figures.mu)


def bounded(replicas: int, config: ScalingConfig) -> int:
    return max(min(replicas, config.most), config.least)


def ended(state: QdaState, said: str, due: float | None, terms: dict[str, float]) -> Decision[QdaState]:
    """The decision of ``state``, whose next look is ``due`` in its own time."""
    clock = state.clock
    return Decision(
        replicas=state.replicas,
        reason=f"{state.provisioned} -> {state.replicas}: {said}",
        state=msgspec.structs.replace(state, clock=Clock(clock.at, clock.shift, due)),
        next_at=None if due is None else due - clock.shift,
        terms=terms,
    )


def _next(state: QdaState, least: int) -> float | None:
    """When something ends or begins although nothing arrives; None where nothing does."""
    now = state.clock.at
    times = [at + HOLD for level, at in state.wanted if level > least]
    if state.prices is not None:
        change = next_change(state.needed, state.gaps, state.prices, now, least)
        times += [] if change is None else [change]
    return max(min(times), now + TICK) if times else None
