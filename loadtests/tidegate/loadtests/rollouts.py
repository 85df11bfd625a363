"""Traffic of many rollouts at once, second by second, in numbers alone: to find out what a rule does to it.

Each second brings a random number of requests; chance gives each to the canary by its weight. Latencies are lognormal,
and so are executions, one for each request. All arrays have a row for each rollout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.analysis.histogram import BOUNDS, GROWTH

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WEIGHTS = (0.01, 0.10, 0.50)
FIRST, CLASSES = 60, 200
"""Of the histogram's classes, those from 0.18 ms to 3 s; what is shorter or longer is counted in the first or last."""
LATENCY, LATENCY_SIGMA = 0.040, 0.5
"""Seconds at the median, and standard deviation of the logarithm: the 95th percentile is 2.3 times the median."""
EXECUTION, EXECUTION_SIGMA = 0.010, 0.2
_PER_LOG = 1.0 / np.log(GROWTH)


class Course(msgspec.Struct, frozen=True):
    """What holds in one second, as a number or an array with one for each rollout."""

    arrivals: float | Floats = 1.0
    """Multiple of the scenario's rate."""
    stable_errors: float | Floats = 0.0
    canary_errors: float | Floats = 0.0
    stable_level: float | Floats = 1.0
    """Multiple of the usual latency and execution."""
    canary_level: float | Floats = 1.0


Courses = Callable[[int, int, np.random.Generator], Iterator[Course]]
"""From the seconds of a step, the number of rollouts and chance to the course of each second of the step."""


class Scenario(msgspec.Struct, frozen=True):
    """A kind of rollout."""

    name: str
    rate: float
    """Requests per second, to both revisions together."""
    courses: Courses
    harmful: bool = False
    """Whether it is to be rolled back."""


class Second(msgspec.Struct, frozen=True):
    """What a second brought: counts, and durations as [rollouts, CLASSES]."""

    stable: Ints
    stable_failed: Ints
    canary: Ints
    canary_failed: Ints
    stable_latency: Ints
    canary_latency: Ints
    stable_execution: Ints
    canary_execution: Ints


def step(
    scenario: Scenario, weight: float, seconds: int, rollouts: int, random: np.random.Generator
) -> Iterator[Second]:
    """One step of constant weight."""
    for course in scenario.courses(seconds, rollouts, random):
        requests = random.poisson(scenario.rate * np.broadcast_to(course.arrivals, rollouts))
        canary = random.binomial(requests, weight)
        stable = requests - canary
        stable_failed = random.binomial(stable, course.stable_errors)
        canary_failed = random.binomial(canary, course.canary_errors)
        yield Second(
            stable,
            stable_failed,
            canary,
            canary_failed,
            _durations(stable - stable_failed, LATENCY, LATENCY_SIGMA, course.stable_level, random),
            _durations(canary - canary_failed, LATENCY, LATENCY_SIGMA, course.canary_level, random),
            _durations(stable, EXECUTION, EXECUTION_SIGMA, course.stable_level, random),
            _durations(canary, EXECUTION, EXECUTION_SIGMA, course.canary_level, random),
        )


def _durations(of: Ints, median: float, sigma: float, level: float | Floats, random: np.random.Generator) -> Ints:
    """Draws, by class: 0 for class FIRST of the histogram."""
    total = int(of.sum())
    middle = (np.log(median * np.broadcast_to(level, of.shape)) - np.log(BOUNDS[FIRST])) * _PER_LOG
    places = random.standard_normal(total, dtype=np.float32) * np.float32(sigma * _PER_LOG)
    places += np.repeat(middle.astype(np.float32), of)
    classes = np.clip(places, 0, CLASSES - 1).astype(np.int64)
    classes += np.repeat(np.arange(of.size) * CLASSES, of)
    return np.bincount(classes, minlength=of.size * CLASSES).reshape(of.size, CLASSES)


def steady(stable: float = 0.002, canary: float = 0.002, slower: float = 1.0) -> Courses:
    """Nothing changes: both shares of failures, and how many times as slow the canary is."""

    def courses(seconds: int, rollouts: int, random: np.random.Generator) -> Iterator[Course]:
        for _ in range(seconds):
            yield Course(stable_errors=stable, canary_errors=canary, canary_level=slower)

    return courses


def swinging(low: float, high: float) -> Courses:
    """Both fail alike, by turns little and much, as a swing of 120 s."""

    def courses(seconds: int, rollouts: int, random: np.random.Generator) -> Iterator[Course]:
        for second in range(seconds):
            share = low + (high - low) * (1 - np.cos(second * 2 * np.pi / 120)) / 2
            yield Course(stable_errors=share, canary_errors=share)

    return courses


def outage(share: float) -> Courses:
    """What both stand on fails them for 30 s from second 100 on."""

    def courses(seconds: int, rollouts: int, random: np.random.Generator) -> Iterator[Course]:
        for second in range(seconds):
            failing = share if 100 <= second < 130 else 0.002
            yield Course(stable_errors=failing, canary_errors=failing)

    return courses


def slowing(most: float) -> Courses:
    """Both get slower through the step, and for a minute of it three times as slow as that."""

    def courses(seconds: int, rollouts: int, random: np.random.Generator) -> Iterator[Course]:
        for second in range(seconds):
            level = (1 + (most - 1) * second / seconds) * (3 if 150 <= second < 210 else 1)
            yield Course(stable_errors=0.002, canary_errors=0.002, stable_level=level, canary_level=level)

    return courses


def bursts(own: float = 0.0) -> Courses:
    """Six times the requests in a fifth of the seconds, and a latency that wanders from second to second for both.

    ``own`` of the wandering (its standard deviation, as a logarithm) is each revision's own.
    """

    def courses(seconds: int, rollouts: int, random: np.random.Generator) -> Iterator[Course]:
        wander = np.zeros((3, rollouts))
        for _ in range(seconds):
            wander = 0.9 * wander + np.sqrt(1 - 0.9**2) * random.standard_normal((3, rollouts))
            arrivals = np.where(random.random(rollouts) < 0.2, 3.0, 0.5)
            both = 0.5 * wander[0]
            yield Course(
                arrivals=arrivals,
                stable_errors=0.002,
                canary_errors=0.002,
                stable_level=np.exp(both + own * wander[1]),
                canary_level=np.exp(both + own * wander[2]),
            )

    return courses


def blackouts(share: float) -> Courses:
    """Each revision by itself fails for whole seconds, in this share of them: as often, but not at the same time."""

    def courses(seconds: int, rollouts: int, random: np.random.Generator) -> Iterator[Course]:
        for _ in range(seconds):
            yield Course(
                stable_errors=(random.random(rollouts) < share).astype(float),
                canary_errors=(random.random(rollouts) < share).astype(float),
            )

    return courses


SCENARIOS = (
    Scenario("no difference, 0.2 % fail, 10/s", 10, steady()),
    Scenario("no difference, 0.2 % fail, 100/s", 100, steady()),
    Scenario("no difference, 0.2 % fail, 500/s", 500, steady()),
    Scenario("no difference, none fail, 100/s", 100, steady(0.0, 0.0)),
    Scenario("no difference, 2 % fail, 100/s", 100, steady(0.02, 0.02)),
    Scenario("no difference, 10 % fail, 100/s", 100, steady(0.10, 0.10)),
    Scenario("just what is allowed: 1.2 % and 0.2 % fail, 1.2 times as slow, 100/s", 100, steady(0.002, 0.012, 1.2)),
    Scenario("both swing from 0.2 % to 5 % failing, 100/s", 100, swinging(0.002, 0.05)),
    Scenario("both fail half their requests for 30 s, 100/s", 100, outage(0.5)),
    Scenario("both get twice as slow, six times for a minute, 100/s", 100, slowing(2.0)),
    Scenario("both in bursts, latency wanders together, 100/s", 100, bursts()),
    Scenario("5 % fail, of the stable 0.2 %, 10/s", 10, steady(0.002, 0.05), True),
    Scenario("5 % fail, of the stable 0.2 %, 100/s", 100, steady(0.002, 0.05), True),
    Scenario("10 % fail, of the stable 0.2 %, 10/s", 10, steady(0.002, 0.10), True),
    Scenario("10 % fail, of the stable 0.2 %, 100/s", 100, steady(0.002, 0.10), True),
    Scenario("twice as slow, 10/s", 10, steady(slower=2.0), True),
    Scenario("twice as slow, 100/s", 100, steady(slower=2.0), True),
    Scenario("1.3 times as slow, 100/s", 100, steady(slower=1.3), True),
    Scenario("1.1 times as slow (allowed), 100/s", 100, steady(slower=1.1)),
    Scenario("no requests", 0, steady()),
    Scenario("each by itself fails for 1 % of the seconds, 100/s", 100, blackouts(0.01)),
    Scenario("latency wanders, by 10 % each for itself, 100/s", 100, bursts(0.1)),
    Scenario("latency wanders, by 20 % each for itself, 100/s", 100, bursts(0.2)),
)
