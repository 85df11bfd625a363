"""What a manifest says of the way of its rollouts: which phases there are, how long each lasts, what is compared."""

from __future__ import annotations

import msgspec

from tidegate.analysis.settings import AnalysisSettings
from tidegate.resources import rollout as rollouts
from tidegate.resources.rollout import Analysis, Check, Golden, Rollout

ALPHA = 0.01
"""Probability of a false alarm in a whole rollout."""
TIMEOUT = 1800.0
"""Seconds for a phase to come to a verdict, where the manifest does not say."""


LONGEST = 600.0
"""Seconds after which a step is passed although harm is not excluded, where the manifest does not say. To exclude it
takes a thousand requests and more, which a small share may not bring in a day."""


class Hold(msgspec.Struct, frozen=True):
    """How long a phase lasts, in seconds."""

    least: float = 0.0
    most: float | None = None
    """After it the phase is passed although harm is not excluded, if nothing speaks against it; None for never."""


def hold_of(hold: rollouts.Hold | None, timeout: float) -> Hold:
    """That of a step, as the manifest has it; ``timeout`` is the time for a verdict."""
    least = hold.min.seconds if hold and hold.min else 0.0
    return Hold(least, hold.max.seconds if hold and hold.max else max(least, min(LONGEST, timeout)))


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """The way of a rollout; ``None`` in its place is the strategy ``immediate``, which needs none."""

    strategy: str
    weights: tuple[int, ...] = ()
    holds: tuple[Hold, ...] = ()
    golden: Golden | None = None
    shadow: bool = False
    analysis: AnalysisSettings | None = None
    """What is compared in each step; None for nothing: then only time is waited for."""
    tolerance: tuple[float, float] = (0.0, 0.0)
    """rtol and atol of outputs that are compared."""
    checks: tuple[Check, ...] = ()
    timeout: float = TIMEOUT
    pauses_late: bool = True
    """Whether a phase that comes to no verdict in time is paused; else it is rolled back."""
    pauses_harm: bool = False
    """Whether a phase in which harm is shown is paused; else it is rolled back."""

    @property
    def phases(self) -> int:
        """How many have an analysis of their own, and so a part of the error probability."""
        return max(len(self.weights) + self.shadow, 1)


def course_of(rollout: Rollout | None) -> Course | None:
    """The course that a manifest describes; None where a revision takes over once it is ready."""
    if rollout is None or rollout.strategy == "immediate":
        return None
    told = rollout.analysis
    analysis = told or (Analysis() if rollout.strategy == "shadow" else None)
    timeout = told.timeout.seconds if told and told.timeout else TIMEOUT
    course = Course(
        strategy=rollout.strategy,
        weights=tuple(step.weight for step in rollout.steps),
        holds=tuple(hold_of(step.hold, timeout) for step in rollout.steps),
        golden=told.golden if told else None,
        shadow=_shadows(rollout),
        checks=tuple(told.checks) if told else (),
        timeout=timeout,
        pauses_late=told is None or told.on_timeout == "pause",
        pauses_harm=rollout.on_failure == "pause",
    )
    if analysis is None:
        return course
    tolerance = analysis.outputs.tolerance if analysis.outputs else None
    return msgspec.structs.replace(
        course,
        analysis=_settings(analysis, course.phases),
        tolerance=(tolerance.rtol, tolerance.atol) if tolerance else (0.0, 0.0),
    )


def _shadows(rollout: Rollout) -> bool:
    """Whether copies are compared before anybody is answered. All at once, there is no other way to compare."""
    told = rollout.analysis
    if rollout.strategy == "shadow" or (told is not None and told.outputs is not None):
        return True
    return rollout.strategy == "blueGreen" and told is not None and bool(told.errors or told.latency or told.checks)


def _settings(told: Analysis, phases: int) -> AnalysisSettings:
    settings = AnalysisSettings(
        max_increase=told.errors.max_increase if told.errors else None,
        percentile=told.latency.percentile if told.latency else None,
        max_different=told.outputs.max_different if told.outputs else None,
        min_samples=told.min_samples,
        alpha=ALPHA / phases,
    )
    return msgspec.structs.replace(settings, max_ratio=told.latency.max_ratio) if told.latency else settings
