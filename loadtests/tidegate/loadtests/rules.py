"""Rules that roll back, each over many rollouts at once: tidegate's, and two that compare with a fixed threshold.

Tidegate's is ``tidegate.analysis`` once more, for arrays; the tests hold one against the other. The others know the
limits that an operator would have to know: what the stable revision does on a good day.
"""

from __future__ import annotations

from functools import cache
from math import ceil, exp, log, pi
from typing import Protocol

import numpy as np

from tidegate.analysis.histogram import BOUNDS
from tidegate.analysis.increments import BEYOND
from tidegate.analysis.settings import SEQUENCES, AnalysisSettings
from tidegate.loadtests.rollouts import CLASSES, FIRST, LATENCY, LATENCY_SIGMA, WEIGHTS, Floats, Ints, Second

INTERVAL = 60
NEVER = -1


class Rule(Protocol):
    """One kind of judge, of all rollouts."""

    name: str

    def begin(self) -> None:
        """The next step begins."""

    def second(self, seen: Second) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """A second has passed: which rollouts it would roll back now."""
        ...


class Flagger:
    """Each 60 s at least 99 % without failure, and the 99th percentile at most 1.2 times what it usually is.

    An interval that does not is a failed check, and so is one without requests; ``threshold`` of them, of the whole
    rollout, roll back (facts: Flagger's canary analysis, with its built-in metrics).
    """

    def __init__(self, rollouts: int, threshold: int) -> None:
        self.name = f"Flagger, threshold {threshold}"
        self._threshold = threshold
        self._failed = np.zeros(rollouts, np.int64)
        self._limit = _class_at(1.2 * LATENCY * exp(2.326 * LATENCY_SIGMA))
        self._clear(rollouts)

    def _clear(self, rollouts: int) -> None:
        self._seconds = 0
        self._of, self._failures = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)
        self._latency = np.zeros((rollouts, CLASSES), np.int64)

    def begin(self) -> None:
        """Intervals go on."""

    def second(self, seen: Second) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        self._seconds += 1
        self._of += seen.canary
        self._failures += seen.canary_failed
        self._latency += seen.canary_latency
        if self._seconds == INTERVAL:
            answered = self._latency.sum(axis=1)
            slow = self._latency[:, self._limit + 1 :].sum(axis=1) > 0.01 * answered
            self._failed += (self._of == 0) | (self._failures > 0.01 * self._of) | slow
            self._clear(self._of.size)
        return self._failed >= self._threshold


class Argo:
    """Each 60 s a success rate of at least 0.95; more than three that are not roll back. No requests are no success.

    The AnalysisTemplate of Argo Rollouts' documentation; it looks at no latency.
    """

    name = "Argo Rollouts"

    def __init__(self, rollouts: int) -> None:
        self._failed = np.zeros(rollouts, np.int64)
        self._seconds = 0
        self._of, self._failures = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)

    def begin(self) -> None:
        """Intervals go on."""

    def second(self, seen: Second) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        self._seconds += 1
        self._of += seen.canary
        self._failures += seen.canary_failed
        if self._seconds == INTERVAL:
            self._failed += (self._of == 0) | (self._failures > 0.05 * self._of)
            self._seconds, self._of, self._failures = 0, self._of * 0, self._failures * 0
        return self._failed > 3


class Law:
    """Tidegate's: a look each second, evidence of the step alone, the error probability shared by the steps."""

    name = "tidegate"

    def __init__(self, rollouts: int, settings: AnalysisSettings, steps: int = len(WEIGHTS)) -> None:
        assert settings.max_increase is not None
        assert settings.percentile is not None
        self._limit, self._increase = (100.0 - settings.percentile) / 100.0, settings.max_increase
        self._settings, self._alpha = settings, settings.alpha / steps / SEQUENCES
        self._rollouts = rollouts
        self.begin()

    def begin(self) -> None:
        self.stable, self.stable_failed = np.zeros(self._rollouts, np.int64), np.zeros(self._rollouts, np.int64)
        self.canary, self.canary_failed = self.stable.copy(), self.stable.copy()
        self.latency, self.execution = (Slices(self._rollouts, self._settings) for _ in range(2))
        self.passed = np.zeros(self._rollouts, bool)

    def second(self, seen: Second) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        self.stable += seen.stable
        self.stable_failed += seen.stable_failed
        self.canary += seen.canary
        self.canary_failed += seen.canary_failed
        self.latency.add(seen.stable_latency, seen.canary_latency)
        self.execution.add(seen.stable_execution, seen.canary_execution)
        low, high = intervals(self.canary_failed, self.canary, self._alpha)
        stable_low, stable_high = intervals(self.stable_failed, self.stable, self._alpha)
        least = self._settings.min_samples
        failed = low - stable_high > self._increase
        passed = (high - stable_low <= self._increase) & (self.canary >= least) & (self.stable > 0)
        for slices in (self.latency, self.execution):
            low, high = intervals(*slices.shares(), self._alpha)
            failed |= low > self._limit
            passed &= (high <= self._limit) & (slices.shares()[1] >= least)
        self.passed = passed
        return failed


class Slices:
    """``analysis.increments`` for durations of one kind: what has not been counted yet, and what is slow so far."""

    def __init__(self, rollouts: int, settings: AnalysisSettings) -> None:
        assert settings.percentile is not None
        self._share = settings.percentile / 100.0
        self._enough = ceil(BEYOND / (1.0 - self._share))
        self._slow_from = np.array([_class_at(settings.max_ratio * BOUNDS[FIRST + k + 1]) for k in range(CLASSES)])
        self._stable, self._canary = np.zeros((rollouts, CLASSES), np.int64), np.zeros((rollouts, CLASSES), np.int64)
        self._hits, self._of = np.zeros(rollouts), np.zeros(rollouts)

    def add(self, stable: Ints, canary: Ints) -> None:
        self._stable += stable
        self._canary += canary
        against, of = self._stable.sum(axis=1), self._canary.sum(axis=1)
        ended = np.flatnonzero((of > 0) & (against >= self._enough))
        if not ended.size:
            return
        against, of = against[ended], of[ended]
        rank = np.ceil((against + 1) * self._share - 1e-9)
        place = (np.cumsum(self._stable[ended], axis=1) < rank[:, None]).sum(axis=1)
        below = np.concatenate([np.zeros((ended.size, 1), np.int64), np.cumsum(self._canary[ended], axis=1)], axis=1)
        slow = of - below[np.arange(ended.size), self._slow_from[place]]
        worth = (against + 2) / (against + of + 1)
        self._hits[ended] += slow * worth
        self._of[ended] += of * worth
        self._stable[ended] = self._canary[ended] = 0

    def shares(self) -> tuple[Ints, Ints]:
        return self._hits.astype(np.int64), self._of.astype(np.int64)


def _class_at(seconds: float) -> int:
    """The first of the classes here that begins at so many seconds or later; CLASSES if none does."""
    return int(np.searchsorted(BOUNDS[FIRST : FIRST + CLASSES], seconds * (1.0 - 1e-9)))


def intervals(hits: Ints, of: Ints, alpha: float) -> tuple[Floats, Floats]:
    """``analysis.confidence.interval`` for arrays."""
    missed = of - hits
    halves, wholes = _logarithms(1 << int(of.max(initial=1) + 1).bit_length())
    rest = halves[hits] + halves[missed] - wholes[of] - log(pi) + log(alpha)
    return _lower(hits, missed, rest), 1.0 - _lower(missed, hits, rest)


@cache
def _logarithms(size: int) -> tuple[Floats, Floats]:
    """log Gamma(k + 1/2) and log Gamma(k + 1), for k below ``size``."""
    numbers = np.arange(size - 1)
    halves = np.concatenate([[0.0], np.cumsum(np.log(numbers + 0.5))]) + 0.5 * log(pi)
    return halves, np.concatenate([[0.0], np.cumsum(np.log(numbers + 1.0))])


def _lower(hits: Ints, missed: Ints, rest: Floats) -> Floats:
    some = hits > 0
    found = np.zeros(hits.shape)
    k, m, c = hits[some].astype(float), missed[some].astype(float), rest[some]
    place = c / k
    for _ in range(60):
        complement = -np.expm1(place)
        stride = (c - k * place - m * np.log(complement)) / (k - m * np.exp(place) / complement)
        place += stride
        if not stride.size or stride.max() < 1e-10:
            break
    found[some] = np.exp(place)
    return found
