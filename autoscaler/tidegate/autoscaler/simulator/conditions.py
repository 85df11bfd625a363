"""What is not as it should be: spread of times, late and missing metrics, wrong first guesses, replicas that die."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from math import log, sqrt
from typing import NamedTuple

import msgspec
import numpy as np

from tidegate.autoscaler.simulator.workload import Service

DRAWS = 1 << 16
"""Random factors that are drawn beforehand, and then used over and over; a power of two."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run. What the comparison of policies uses is the default."""

    cold_start: float = 5.0
    """Seconds from order to ready, on average."""
    spread: float = 0.3
    """Of service and start times: standard deviation over mean (lognormal)."""
    late: int = 1
    """Seconds that counters and queue are old when a policy sees them. Replicas are counted where they are ordered."""
    dropped: float = 0.05
    """Share of the looks that are missing."""
    wrong: float = 0.3
    """By this part the first guesses are wrong: service times are guessed too long, starts too short."""
    blackouts: tuple[tuple[float, float], ...] = ()
    """From second to second all looks are missing."""
    mean_life: float | None = None
    """Seconds after which a ready replica dies, on average (exponential); None for never."""

    def __post_init__(self) -> None:
        if self.cold_start < 0:
            raise ValueError(f"cold_start is {self.cold_start:g}, expected seconds, 0 or more")
        if self.mean_life is not None and self.mean_life <= 0:
            raise ValueError(f"mean_life is {self.mean_life:g}, expected seconds above 0")


class Guess(NamedTuple):
    """What a policy that learns begins with."""

    base: float
    per_row: float
    cold_start: float


class Draws(NamedTuple):
    """The chance of one run, drawn beforehand."""

    jitter: list[float]
    """Factors of service times, mean 1. Request k has that at ``k % DRAWS``, whatever the policy does."""
    starts: Iterator[float]
    """Seconds from order to ready, of one replica after the other."""
    lives: Iterator[float]
    """Seconds until a replica dies; none where none does."""
    missing: Iterator[bool]
    """Whether a look is missing, one after the other."""


def guessed(service: Service, conditions: Conditions) -> Guess:
    """The first guesses: as wrong as conditions say."""
    more = 1.0 + conditions.wrong
    return Guess(service.base * more, service.per_row * more, conditions.cold_start * (1.0 - conditions.wrong))


def draw(conditions: Conditions, seed: int) -> Draws:
    """All that is left to chance beside the arrivals."""
    random = np.random.default_rng([seed, 7919])

    def factors(count: int) -> list[float]:
        if conditions.spread <= 0:
            return [1.0] * count
        sigma = sqrt(log(1.0 + conditions.spread**2))
        return [float(x) for x in random.lognormal(-sigma * sigma / 2, sigma, count)]

    jitter = factors(DRAWS)
    starts = [conditions.cold_start * factor for factor in factors(4096)]
    lives = [] if conditions.mean_life is None else random.exponential(conditions.mean_life, 4096).tolist()
    missing = (random.random(DRAWS) < conditions.dropped).tolist()
    return Draws(jitter, cycle(starts), cycle(lives), cycle(missing))
