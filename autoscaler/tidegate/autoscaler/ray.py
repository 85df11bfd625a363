"""``ray``: Ray Serve's autoscaling, ``python/ray/serve/autoscaling_policy.py``.

The metric is ongoing requests: in the queue and at replicas, all together, averaged over the look-back period. The
controller knows it as of the last push, every 10 s. A change has to be wished for without a break for its delay.
"""

from __future__ import annotations

from math import ceil

import msgspec
from msgspec.structs import replace

from tidegate.autoscaler.checks import above, from_
from tidegate.autoscaler.metering import Series, mean, record, unlooked
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.periods import caught_up, is_due
from tidegate.autoscaler.policy import Decision, ScalingConfig, within
from tidegate.autoscaler.reason import number, sentence

_SCRAPE = 1.0
_DIGITS = 9


class RaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """``autoscaling_config`` of a deployment. Times are seconds."""

    target_ongoing_requests: float = 2.0
    """Requests of one replica, waiting and executed, where the service does not say it."""
    look_back_period: float = 30.0
    """Over which they are averaged."""
    upscale_delay: float = 30.0
    """For which more replicas have to be wished for."""
    downscale_delay: float = 600.0
    """For which fewer have to be wished for."""
    downscale_to_zero_delay: float | None = None
    """The same for the last one; None for ``downscale_delay``."""
    upscaling_factor: float = 1.0
    """Share of a wish for more that is granted."""
    downscaling_factor: float = 1.0
    """Share of a wish for fewer that is granted."""
    push_interval: float = 10.0
    """Between two reports of the metric to the controller."""

    def __post_init__(self) -> None:
        above(0.0, self, "target_ongoing_requests", "upscaling_factor", "downscaling_factor", "push_interval")
        from_(1.0, self, "look_back_period")
        from_(0.0, self, "upscale_delay", "downscale_delay")


class RayState(msgspec.Struct, frozen=True, kw_only=True):
    """What it goes on with."""

    desired: int
    """What it said last."""
    asked: float
    """When it was asked last."""
    series: Series = Series()
    pushed: float | None = None
    """When the metric was reported last."""
    total: float | None = None
    """Ongoing requests as of then."""
    since: float | None = None
    """Since when the wish goes in one direction; None if there is none."""
    up: bool = False
    """In which one."""


class Ray:
    """Ray Serve's policy."""

    name = "ray"

    def __init__(self, settings: RaySettings | None = None) -> None:
        self.settings = settings or RaySettings()

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> RayState:
        """What runs is what is wanted."""
        return RayState(desired=within(provisioned, config), asked=now)

    def decide(
        self, now: float, observation: Observation | None, state: RayState, config: ScalingConfig
    ) -> Decision[RayState]:
        """Without metrics what was said last holds, and a wish for fewer begins anew."""
        if now < state.asked:  # the clock was set back: what is remembered has no time any more
            state = self.begin(now, state.desired, config)
        if observation is None or not observation.fresh:
            since = state.since if state.up else None
            state = replace(state, series=unlooked(state.series), since=since)
            return _told(now, state.desired, state, config, "no metrics", {}, idle=False)
        state = self._reported(now, observation, state)
        target = config.target or self.settings.target_ongoing_requests
        if state.total is None:
            return _told(now, observation.provisioned, state, config, "no metrics yet", {}, idle=False)
        wish = desired(state.total, observation.ready, state.desired, target, self.settings)
        wish = within(wish, config)
        at_once = observation.ready == 0
        grown, waits = self._delayed(now, wish, state, at_once=at_once)
        terms = {"ongoing": state.total, "target": target, "running": float(observation.ready), "wish": float(wish)}
        why = f"{number(state.total)} ongoing at {observation.ready} replicas, {number(target)} each, wish is {wish}"
        still = grown.desired == observation.provisioned == config.least
        idle = still and state.total == 0.0 and observation.waiting + observation.in_flight == 0
        idle = idle and state.series.is_zero and grown.since is None
        return _told(now, observation.provisioned, grown, config, why + waits, terms, idle=idle)

    def _reported(self, now: float, observation: Observation, state: RayState) -> RayState:
        look_back = self.settings.look_back_period
        pushed = state.pushed
        if state.series.silent:
            pushed = caught_up(now, pushed, self.settings.push_interval)
        series = record(state.series, now, observation, "concurrency", look_back)
        asked = observation.waiting + observation.in_flight
        wakes = state.desired == 0 and asked > 0
        if not (wakes or is_due(now, pushed, self.settings.push_interval)):
            return replace(state, series=series, pushed=pushed)
        total = max(mean(series, now, look_back) or 0.0, 1.0 if wakes else 0.0)
        return replace(state, series=series, pushed=now, total=total)

    def _delayed(self, now: float, wish: int, state: RayState, *, at_once: bool) -> tuple[RayState, str]:
        """The state with the number that holds now, and what it waits for."""
        if at_once:
            return replace(state, desired=wish, since=None), ""
        return delayed(now, wish, state, self.settings)


def desired(total: float, running: int, current: int, target: float, settings: RaySettings) -> int:
    """What is wished for with so many ongoing requests, of all replicas together, at so many that run."""
    if running == 0:
        return max(ceil(settings.upscaling_factor), current) if total > 0.0 else current
    change = total / target - running
    factor = settings.upscaling_factor if change > 0.0 else settings.downscaling_factor
    wish = ceil(round(running + factor * change, _DIGITS))
    if ceil(round(total / target, _DIGITS)) < running and wish == running:
        return wish - 1  # it would be stuck there
    return wish


def delayed(now: float, wish: int, state: RayState, settings: RaySettings) -> tuple[RayState, str]:
    """The state, with the wish in it if it has been one of its direction for long enough, and a clause if not."""
    if wish == state.desired:
        return replace(state, since=None), ""
    up = wish > state.desired
    since = state.since if state.since is not None and state.up == up else now
    delay = settings.upscale_delay
    if not up:
        last = state.desired == 1 and settings.downscale_to_zero_delay is not None
        delay = (settings.downscale_to_zero_delay or 0.0) if last else settings.downscale_delay
        wish = wish if state.desired == 1 else max(1, wish)
    if now - since >= delay:
        return replace(state, desired=wish, since=None), ""
    return replace(state, since=since, up=up), f" for {now - since:.0f} of {delay:g} s"


def _told(
    now: float, before: int, state: RayState, config: ScalingConfig, why: str, terms: dict[str, float], *, idle: bool
) -> Decision[RayState]:
    replicas = within(state.desired, config)
    state = replace(state, desired=replicas, asked=now, series=replace(state.series, silent=idle))
    return Decision(
        replicas=replicas,
        reason=sentence(before, replicas, why),
        state=state,
        next_at=None if idle else now + _SCRAPE,
        terms=terms,
    )
