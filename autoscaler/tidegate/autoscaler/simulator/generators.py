"""Arrivals that are made: how fast requests come as a function of time, and Poisson arrivals at that rate.

A rate is given on a grid of times, constant between them. Its integral is inverted at the points of a Poisson process
of rate 1, which is exact. All is a function of the generator that is passed, so that a seed gives the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from tidegate.autoscaler.simulator.workload import Floats

GRID = 1.0
"""Seconds between the times of a rate that changes all the time."""


class Rate(NamedTuple):
    """``values[k]`` requests per second from ``times[k]`` to ``times[k + 1]``; there is one time more than values."""

    times: Floats
    values: Floats

    @property
    def duration(self) -> float:
        return float(self.times[-1])


def poisson(rate: Rate, random: Generator) -> Floats:
    """Arrivals, independent of each other."""
    integral = np.concatenate(([0.0], np.cumsum(rate.values * np.diff(rate.times))))
    count = random.poisson(integral[-1])
    found: Floats = np.interp(np.sort(random.uniform(0.0, integral[-1], count)), integral, rate.times)
    return found[found < rate.duration]


def steps(pieces: Iterable[tuple[float, float]]) -> Rate:
    """From (rate, seconds), one after another."""
    rates, seconds = zip(*pieces, strict=True)
    return Rate(np.concatenate(([0.0], np.cumsum(seconds))), np.array(rates, np.float64))


def sampled(duration: float, rate: Floats) -> Rate:
    """From the rate at the middle of each second."""
    return Rate(np.linspace(0.0, duration, rate.size + 1), np.maximum(rate, 0.0))


def middles(duration: float, grid: float = GRID) -> Floats:
    """The times at which ``sampled`` is to know a rate."""
    found: Floats = (np.arange(round(duration / grid), dtype=np.float64) + 0.5) * grid
    return found


def ramp(knots: Sequence[tuple[float, float]]) -> Rate:
    """Straight lines between (second, rate)."""
    seconds, rates = zip(*knots, strict=True)
    return sampled(seconds[-1], np.interp(middles(seconds[-1]), seconds, rates))


def diurnal(mean: float, swing: float, period: float, duration: float) -> Rate:
    """``mean - swing * cos(2 pi t / period)``: it begins at the lowest."""
    return sampled(duration, mean - swing * np.cos(2 * np.pi * middles(duration) / period))


def crowds(base: float, count: int, rise: float, duration: float, random: Generator) -> Rate:
    """Flash crowds: within ``rise`` seconds to 80 to 180 more, and away again in 60 to 180 s (by e)."""
    times = middles(duration)
    rate = np.full(times.size, base, np.float64)
    for k in range(count):  # one in each part of the time, so that each begins from the base, or nearly
        begin = duration * (k + random.uniform(0.15, 0.6)) / count
        height, fall = random.uniform(80.0, 180.0), random.uniform(60.0, 180.0)
        since = times - begin
        rate += height * np.where(since < 0, 0.0, np.where(since < rise, since / rise, np.exp((rise - since) / fall)))
    return sampled(duration, rate)


def on_off(
    on: tuple[float, float], off: tuple[float, float], spread: float, duration: float, random: Generator
) -> Rate:
    """(rate, seconds) in turn, it begins with ``off``; each time is up to ``spread`` of itself longer or shorter."""
    pieces: list[tuple[float, float]] = []
    total = 0.0
    while total < duration:
        rate, seconds = off if len(pieces) % 2 == 0 else on
        seconds = min(seconds * random.uniform(1 - spread, 1 + spread), duration - total)
        pieces.append((rate, seconds))
        total += seconds
    return steps(pieces)


def mmpp(states: Sequence[tuple[float, float]], duration: float, random: Generator) -> Rate:
    """A Markov-modulated Poisson process: states (rate, mean seconds); the next is any of the others, as likely."""
    pieces: list[tuple[float, float]] = []
    total, state = 0.0, 0
    while total < duration:
        rate, mean = states[state]
        seconds = min(random.exponential(mean), duration - total)
        pieces.append((rate, seconds))
        total += seconds
        state = (state + int(random.integers(1, len(states)))) % len(states)
    return steps(pieces)


def bursts(
    base: float,
    burst: float,
    heights: tuple[float, float],
    gap: float,
    shape: float,
    duration: float,
    random: Generator,
) -> Rate:
    """Bursts of exponential length after gaps of ``gap * (Pareto(shape) + 1)`` seconds, whose tail is heavy."""
    pieces: list[tuple[float, float]] = []
    total = 0.0
    while total < duration:
        quiet = min(gap * (random.pareto(shape) + 1.0), duration - total)
        loud = min(random.exponential(burst), duration - total - quiet)
        pieces += [(base, quiet), (base + random.uniform(*heights), loud)]
        total += quiet + loud
    return steps([piece for piece in pieces if piece[1] > 0])


def swings(
    mean: float, waves: Sequence[tuple[float, float]], noise: float, every: float, duration: float, random: Generator
) -> Rate:
    """Waves of (height, period) with phases of their own, times lognormal noise that is another all ``every`` s."""
    times = middles(duration, every)
    rate = np.full(times.size, mean, np.float64)
    for height, period in waves:
        rate += height * np.sin(2 * np.pi * times / period + random.uniform(0, 2 * np.pi))
    return sampled(duration, rate * random.lognormal(0.0, noise, times.size))


def ar_minutes(scale: float, memory: float, sd: float, most: float, duration: float, random: Generator) -> Rate:
    """``scale * exp(x)`` for a minute, x an AR(1) process whose innovations have the deviation ``sd``."""
    minutes = round(duration / 60.0)
    rates, x = np.empty(minutes), 0.0
    for k in range(minutes):
        x = memory * x + random.normal(0.0, sd)
        rates[k] = min(scale * float(np.exp(x)), most)
    return sampled(duration, rates)
