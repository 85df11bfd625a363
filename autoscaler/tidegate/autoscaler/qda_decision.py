"""A decision of ``qda`` on fresh numbers: what is needed, kept, pre-warmed and bought, and the largest of these."""

from __future__ import annotations

from math import sqrt

import msgspec

from tidegate.autoscaler import qda_reason as reason
from tidegate.autoscaler.arrivals import Forecast, forecast
from tidegate.autoscaler.backlog import drain, expected, is_late
from tidegate.autoscaler.headroom import add_forecast
from tidegate.autoscaler.keeping import Absent, kept_and_pre_warmed, next_change
from tidegate.autoscaler.levels import gaps_ended, highest_since, seen
from tidegate.autoscaler.looks import Clock
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, ScalingConfig
from tidegate.autoscaler.qda_figures import Figures, figures
from tidegate.autoscaler.qda_state import Prices, QdaState
from tidegate.autoscaler.staffing import staff

TICK = 1.0
"""Seconds between looks at a service that is in use."""
HOLD = 30.0
"""Seconds for which what was wanted is held."""
REPRICE = 60.0
"""Seconds after which the keep rule's prices are taken again."""


class Wish(msgspec.Struct, frozen=True):
    """What each part of the law wants."""

    base: int
    """For the forecast and its headroom."""
    recent: int
    """What was wanted within the last half minute."""
    kept: Absent
    pre_warmed: Absent
    rebuy: float
    """Replica-seconds that these two were reckoned with."""
    backlog: float
    """Requests that will wait when what was ordered is there."""
    drain: int
    """For the backlog; 0 where it is not late."""

    @property
    def hold(self) -> int:
        """Of all but the backlog."""
        return max(self.base, self.recent, self.kept.level, self.pre_warmed.level)


def decide_fresh(state: QdaState, observation: Observation, config: ScalingConfig, end: float) -> Decision[QdaState]:
    """``state`` has learned from ``observation``; before, the last second that it had counted ended at ``end``."""
    now, known = state.clock.at, figures(state, observation, config)
    ahead = forecast(state.arrivals, known.start)
    came, seconds = state.arrivals.within(5.0) / 5.0, round(state.arrivals.end - end)
    headroom = state.headroom
    if seconds:
        headroom = add_forecast(headroom, ahead.rate, came, seconds, known.start, known.price)
    in_use = int(observation.waiting > 0 or observation.in_flight > 0)
    level = max(staff(ahead.rate, known.mu, known.slack, known.price, config.most), in_use)
    rate = ahead.rate + headroom.value * sqrt(max(ahead.rate, 1.0)) if ahead.rate > 0.0 else 0.0
    base = max(staff(rate, known.mu, known.slack, known.price, config.most), in_use)
    prices = state.prices
    if prices is None or now - prices.at >= REPRICE or ahead.rate <= 0.0:
        prices = Prices(known.rebuy, known.start, now)
    needed = seen(state.needed, level, now)
    kept, pre_warmed = kept_and_pre_warmed(needed, state.gaps, prices, now, state.replicas)
    wanted = seen(state.wanted, max(base, pre_warmed.level), now)
    wanted = tuple(step for step in wanted if step[1] > now - HOLD)
    wish = Wish(
        base,
        highest_since(wanted, now - HOLD),
        kept,
        pre_warmed,
        prices.rebuy,
        *_bought(state, observation, known, ahead, config),
    )
    # Gaps count from the next look on, so that a level which is back does not change what others are worth now.
    gaps = gaps_ended(state.gaps, state.needed, state.level, level, now)
    if gaps is not state.gaps:
        prices = Prices(known.rebuy, known.start, now)
    replicas, said = _chosen(state, observation, config, known, ahead, headroom.value, wish)
    state = msgspec.structs.replace(
        state,
        headroom=headroom,
        prices=prices,
        gaps=gaps,
        needed=needed,
        level=level,
        wanted=wanted,
        replicas=replicas,
        fresh_at=now,
    )
    busy = ahead.rate > 0.0 or in_use or observation.warming or observation.provisioned != replicas
    return ended(
        state, said, now + TICK if busy else _next(state), _terms(known, ahead, headroom.value, rate, wish, level)
    )


def _bought(
    state: QdaState, observation: Observation, known: Figures, ahead: Forecast, config: ScalingConfig
) -> tuple[float, int]:
    """The backlog to come, and the replicas for it if it is late."""
    passed = state.clock.at - state.clock.shift
    arriving = [min(max(order + known.start - passed, 0.0), known.start) for order in observation.warming]
    backlog = expected(observation.waiting, ahead.fast, known.mu, observation.ready, arriving, known.start)
    if not is_late(backlog, known.mu, observation.ready + len(arriving), known.slack):
        return backlog, 0
    return backlog, drain(backlog, ahead.fast, known.mu, config.slo)


def _chosen(
    state: QdaState,
    observation: Observation,
    config: ScalingConfig,
    known: Figures,
    ahead: Forecast,
    headroom: float,
    wish: Wish,
) -> tuple[int, str]:
    """The number, within the bounds, and why."""
    replicas = max(wish.hold, wish.drain)
    last = max(state.replicas, observation.ready)
    if replicas > config.most:
        return config.most, reason.bound("maxReplicas", ahead.rate, known.mu)
    if replicas < min(last, config.most) and is_late(observation.waiting, known.mu, observation.ready, known.slack):
        return bounded(last, config), reason.late(observation.waiting)
    if replicas < config.least:
        return config.least, reason.bound("minReplicas", ahead.rate, known.mu)
    if wish.drain > wish.hold:
        return replicas, reason.backlog(observation.waiting, wish.backlog, known.start)
    if wish.base == replicas:
        return replicas, reason.base(ahead.rate, known.mu, headroom)
    if wish.pre_warmed.level == replicas:
        return replicas, reason.absent("pre-warmed", wish.pre_warmed, wish.rebuy)
    if wish.recent == replicas:
        return replicas, reason.recent(replicas, ahead.rate, known.mu)
    return replicas, reason.absent("kept", wish.kept, wish.rebuy)


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


def _next(state: QdaState) -> float | None:
    """When something ends or begins although nothing arrives; None where nothing does."""
    now = state.clock.at
    times = [at + HOLD for _, at in state.wanted]
    if state.prices is not None:
        change = next_change(state.needed, state.gaps, state.prices, now)
        times += [] if change is None else [change]
    return max(min(times), now + TICK) if times else None


def _terms(known: Figures, ahead: Forecast, headroom: float, rate: float, wish: Wish, level: int) -> dict[str, float]:
    return {
        "forecast": ahead.rate,
        "fast": ahead.fast,
        "slow": ahead.slow,
        "slope": ahead.slope,
        "headroom": headroom,
        "lambda": rate,
        "mu": known.mu,
        "L": known.start,
        "W": known.slack,
        "kappa": known.price,
        "C": wish.rebuy,
        "N_lev": level,
        "N_base": wish.base,
        "N_recent": wish.recent,
        "N_kept": wish.kept.level,
        "N_prewarm": wish.pre_warmed.level,
        "N_hold": wish.hold,
        "N_drain": wish.drain,
        "backlog": wish.backlog,
    }
