"""``hpa``: Kubernetes' Horizontal Pod Autoscaler, with KEDA where ``least`` is 0.

It looks each second, and decides every 15. The metric is the mean of the last 15 s of

- ``cpu``, of each ready replica: per cent of the time in which it was executing (target type Utilization). It stands
  for the processor's use, and is what it would be for a replica that keeps the processor busy while it executes;
- ``concurrency`` or ``rps``, of all replicas together (an external metric, target type AverageValue).

KEDA's part is to bring the first replica, where a look every 30 s finds the metric above the activation threshold, and
to take the last ones after 300 s without. In between, and where ``least`` is not 0, HPA decides, and knows no zero. No
processor is used where no replica runs, so with ``cpu`` one replica stays.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from tidegate.autoscaler.hpa_behavior import Stamped, limited, longest_period, recent, stabilised
from tidegate.autoscaler.hpa_calculator import proposed as proposed_by
from tidegate.autoscaler.hpa_calculator import target_of
from tidegate.autoscaler.hpa_settings import HpaSettings
from tidegate.autoscaler.keda import Activity, begun, polled
from tidegate.autoscaler.metering import Series, mean, record, unlooked
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.periods import caught_up, is_due
from tidegate.autoscaler.policy import Decision, Metric, ScalingConfig, within
from tidegate.autoscaler.reason import number, sentence

_SCRAPE = 1.0


class HpaState(msgspec.Struct, frozen=True, kw_only=True):
    """What it goes on with."""

    desired: int
    """What it said last."""
    asked: float
    """When it was asked last."""
    synced: float | None = None
    """When HPA decided last."""
    series: Series = Series()
    recommendations: Stamped
    """What the metric asked for, within the longer window."""
    grown: Stamped = ()
    """By how many replicas it went up, within the longest period of a rule."""
    shrunk: Stamped = ()
    """By how many it went down."""
    activity: Activity
    """KEDA's."""
    terms: dict[str, float] = {}
    """Of the last decision."""


class _Next(NamedTuple):
    state: HpaState
    why: tuple[str, ...]


class Hpa:
    """Kubernetes' policy."""

    name = "hpa"

    def __init__(self, settings: HpaSettings | None = None) -> None:
        self.settings = settings or HpaSettings()

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> HpaState:
        """What runs is the first recommendation, as in HPA: it holds for the window for going down."""
        desired = within(provisioned, config)
        return HpaState(desired=desired, asked=now, recommendations=((now, desired),), activity=begun(now))

    def decide(
        self, now: float, observation: Observation | None, state: HpaState, config: ScalingConfig
    ) -> Decision[HpaState]:
        """Between two decisions, and without metrics, what was said last holds."""
        if now < state.asked:  # the clock was set back: what is remembered has no time any more
            state = self.begin(now, state.desired, config)
        if observation is None or not observation.fresh:
            state = replace(state, series=unlooked(state.series))
            return self._told(now, state.desired, _Next(state, ("no metrics",)), config, idle=False)
        metric = config.metric or "cpu"
        if state.series.silent:
            keda = self.settings.keda
            state = replace(
                state,
                synced=caught_up(now, state.synced, self.settings.sync),
                activity=replace(state.activity, polled=caught_up(now, state.activity.polled, keda.polling)),
            )
        state = replace(state, series=record(state.series, now, observation, metric, self.settings.window))
        value = mean(state.series, now, self.settings.window)
        step = self._step(now, observation, state, config, metric, value)
        asked = observation.waiting + observation.in_flight > 0
        still = step.state.desired == observation.provisioned == config.least
        idle = still and value == 0.0 and state.series.is_zero and not asked
        return self._told(now, observation.provisioned, step, config, idle=idle)

    def _step(
        self,
        now: float,
        observation: Observation,
        state: HpaState,
        config: ScalingConfig,
        metric: Metric,
        value: float | None,
    ) -> _Next:
        by_keda = config.least == 0 and metric != "cpu"
        if by_keda:
            state, why = self._by_keda(now, observation, state, value)
            if why:
                return _Next(state, (why,))
        floor = max(1, config.least)
        if state.desired == 0 and by_keda:
            return _Next(state, ("asleep until it is active",))
        if not config.least <= state.desired <= config.most or state.desired < floor:
            return _Next(replace(state, desired=within(max(floor, state.desired), config)), ("outside of the bounds",))
        if not is_due(now, state.synced, self.settings.sync):
            return _Next(state, ("between two decisions",))
        return self._by_hpa(now, observation, state, config, metric, value)

    def _by_keda(
        self, now: float, observation: Observation, state: HpaState, value: float | None
    ) -> tuple[HpaState, str]:
        keda, seen = self.settings.keda, value or 0.0
        if keda.activation_threshold == 0.0:  # one that was held for long is in no window of the rate any more
            seen = max(seen, float(observation.waiting + observation.in_flight))
        look = polled(now, state.desired, seen, state.activity, keda)
        state = replace(state, activity=look.activity)
        if look.replicas is None:
            return state, ""
        recommendations = ((now, look.replicas),) if look.replicas else ()
        state = replace(state, desired=look.replicas, recommendations=recommendations, grown=(), shrunk=())
        return state, look.why

    def _by_hpa(
        self,
        now: float,
        observation: Observation,
        state: HpaState,
        config: ScalingConfig,
        metric: Metric,
        value: float | None,
    ) -> _Next:
        settings, current = self.settings, state.desired
        target = target_of(config, metric, settings)
        proposal = proposed_by(observation, current, metric, value, target, settings.tolerance)
        if proposal is None:
            return _Next(state, ("no metrics of a ready replica",))
        proposed, shown = proposal
        past = state.recommendations
        wish = stabilised(now, proposed, current, past, settings.up, settings.down)
        replicas = limited(now, wish, current, state.grown, state.shrunk, settings.up, settings.down)
        bounded = min(max(replicas, 1, config.least), config.most)
        change = bounded - current
        window = max(settings.up.window, settings.down.window)
        state = replace(
            state,
            desired=bounded,
            synced=now,
            recommendations=(*recent(now, past, window), (now, proposed)),
            grown=_with(now, state.grown, change, longest_period(settings.up), longest_period(settings.down)),
            shrunk=_with(now, state.shrunk, -change, longest_period(settings.up), longest_period(settings.down)),
            terms={
                "metric": shown,
                "target": target,
                "proposed": proposed,
                "stabilised": wish,
                "limited": replicas,
            },
        )
        unit = " %" if metric == "cpu" else ""
        return _Next(
            state,
            (
                f"{metric} {number(shown)}{unit} per replica, target {number(target)}{unit}: {proposed}",
                f"recommendations of {settings.down.window:g} s and {settings.up.window:g} s make it {wish}"
                if wish != proposed
                else "",
                f"at this rate {replicas}" if replicas != wish else "",
                f"bounded to {bounded}" if bounded != replicas else "",
            ),
        )

    def _told(self, now: float, before: int, step: _Next, config: ScalingConfig, *, idle: bool) -> Decision[HpaState]:
        replicas = within(step.state.desired, config)
        state = replace(step.state, desired=replicas, asked=now, series=replace(step.state.series, silent=idle))
        return Decision(
            replicas=replicas,
            reason=sentence(before, replicas, *step.why),
            state=state,
            next_at=None if idle else now + _SCRAPE,
            terms=state.terms,
        )


def _with(now: float, events: Stamped, change: int, *periods: float) -> Stamped:
    kept = recent(now, events, max(periods))
    return (*kept, (now, change)) if change > 0 else kept
