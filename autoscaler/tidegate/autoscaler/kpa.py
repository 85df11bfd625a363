"""``kpa``: Knative's autoscaler. It looks each second, and decides every two.

The metric is ``concurrency`` (requests in the queue and at replicas, all together) or ``rps``; ``metering`` says what a
second's value is. The target is what one replica is to have of it (``kpa_settings.aim_of``).
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tidegate.autoscaler.kpa_law import Panic, Scale, activators, at_start, scale
from tidegate.autoscaler.kpa_settings import Aim, KpaSettings, aim_of
from tidegate.autoscaler.kpa_zero import Last, Sleep, last
from tidegate.autoscaler.metering import Series, mean, record, smoothed, unlooked
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.periods import caught_up, is_due
from tidegate.autoscaler.policy import Decision, Metric, ScalingConfig, within
from tidegate.autoscaler.reason import number, sentence

_SCRAPE = 1.0


class KpaState(msgspec.Struct, frozen=True, kw_only=True):
    """What it goes on with."""

    desired: int
    """What it said last."""
    asked: float
    """When it was asked last."""
    decided: float | None = None
    """When it decided last."""
    series: Series = Series()
    panic: Panic
    sleep: Sleep
    terms: dict[str, float] = {}
    """Of the last decision."""


class Kpa:
    """Knative's policy."""

    name = "kpa"

    def __init__(self, settings: KpaSettings | None = None) -> None:
        self.settings = settings or KpaSettings()

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> KpaState:
        """In panic, where more than one replica runs: none goes for a stable window."""
        phase = Sleep(phase="active" if provisioned > 0 else "inactive", since=now)
        return KpaState(desired=within(provisioned, config), asked=now, panic=at_start(now, provisioned), sleep=phase)

    def decide(
        self, now: float, observation: Observation | None, state: KpaState, config: ScalingConfig
    ) -> Decision[KpaState]:
        """Between two decisions, and without metrics, what was said last holds."""
        if now < state.asked:  # the clock was set back: what is remembered has no time any more
            state = self.begin(now, state.desired, config)
        if observation is None or not observation.fresh:
            return _held(now, state, config, state.desired, "no metrics", unlooked(state.series))
        metric: Metric = "rps" if config.metric == "rps" else "concurrency"
        decided = caught_up(now, state.decided, self.settings.tick) if state.series.silent else state.decided
        series = record(state.series, now, observation, metric, self.settings.stable_window)
        wakes = state.desired == 0 and _is_asked(observation)
        if not (wakes or is_due(now, decided, self.settings.tick)):
            state = replace(state, decided=decided)
            return _held(now, state, config, observation.provisioned, "between two decisions", series)
        average = mean if self.settings.averaging == "linear" else smoothed
        stable = average(series, now, self.settings.stable_window)
        panic = average(series, now, self.settings.panic_window)
        if wakes:  # Knative's activator tells the first request at once
            stable, panic = stable or 0.0, panic or 0.0
        if stable is None or panic is None:
            return _held(now, state, config, observation.provisioned, "no metrics yet", series)
        state = replace(state, series=series)
        return self._decided(now, observation, state, config, metric, stable, panic)

    def _decided(
        self,
        now: float,
        observation: Observation,
        state: KpaState,
        config: ScalingConfig,
        metric: Metric,
        stable: float,
        panic: float,
    ) -> Decision[KpaState]:
        aim = aim_of(config, self.settings)
        wanted = scale(now, stable, panic, observation.ready, aim, state.panic, self.settings)
        wakes = state.desired == 0 and _is_asked(observation)
        wish = within(max(wanted.replicas, int(wakes)), config)
        end = last(now, wish, observation.ready, state.sleep, self.settings)
        replicas = within(state.desired if end.replicas is None else end.replicas, config)
        is_buffered = wanted.spare < 0 or wish == 0
        buffered = (end.sleep.buffered or now) if is_buffered else None
        terms = self._terms(stable, panic, observation, aim, wanted, is_buffered)
        why = self._why(now, metric, stable, panic, aim, wanted, end, replicas)
        settled = wanted.panic.since is None and replicas == observation.provisioned == config.least
        idle = settled and state.series.is_zero and not _is_asked(observation)
        state = replace(
            state,
            desired=replicas,
            asked=now,
            decided=now,
            series=replace(state.series, silent=idle),
            panic=wanted.panic,
            sleep=replace(end.sleep, buffered=buffered),
            terms=terms,
        )
        return Decision(
            replicas=replicas,
            reason=sentence(observation.provisioned, replicas, *why),
            state=state,
            next_at=None if idle else now + _SCRAPE,
            terms=terms,
        )

    def _terms(
        self, stable: float, panic: float, observation: Observation, aim: Aim, wanted: Scale, is_buffered: bool
    ) -> dict[str, float]:
        return {
            "stable": stable,
            "panic": panic,
            "target": aim.target,
            "wish_stable": wanted.stable,
            "wish_panic": wanted.panicked,
            "panicking": float(wanted.panic.since is not None),
            "spare": wanted.spare,
            "activators": activators(observation.ready, aim, self.settings),
            "buffered": float(is_buffered),
        }

    def _why(
        self, now: float, metric: Metric, stable: float, panic: float, aim: Aim, wanted: Scale, end: Last, replicas: int
    ) -> tuple[str, ...]:
        windows = f"{self.settings.stable_window:g} s and {number(panic)} over {self.settings.panic_window:g} s"
        needed = f"{number(aim.target)} per replica need {wanted.stable} and {wanted.panicked}"
        since = wanted.panic.since
        return (
            f"{metric} {number(stable)} over {windows}, {needed}",
            "" if since is None else f"panic for {now - since:.0f} s, none goes below {wanted.panic.most}",
            f"for {self.settings.scale_down_delay:g} s none goes below {wanted.replicas}" if wanted.delayed else "",
            end.why,
            "" if end.replicas in (None, replicas) or end.why else f"bounded to {replicas}",
        )


def _is_asked(observation: Observation) -> bool:
    return observation.waiting + observation.in_flight > 0


def _held(
    now: float, state: KpaState, config: ScalingConfig, provisioned: int, why: str, series: Series
) -> Decision[KpaState]:
    replicas = within(state.desired, config)
    return Decision(
        replicas=replicas,
        reason=sentence(provisioned, replicas, f"{why}, {replicas} hold"),
        state=replace(state, desired=replicas, asked=now, series=series),
        next_at=now + _SCRAPE,
        terms=state.terms,
    )
