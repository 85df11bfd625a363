"""The workloads that policies are compared on, by name. Each is made of its name and a seed alone.

Seventeen to choose constants on, two functions of a trace that nothing is chosen on. Where a trace is replayed, a seed
is another order within the minute, or nothing at all: only service and start times differ then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.random import Generator

from tidegate.autoscaler.simulator import generators, traces
from tidegate.autoscaler.simulator.generators import Rate
from tidegate.autoscaler.simulator.workload import Floats, Service, Workload

PLAIN = Service()
LLM = Service(per_row=1.5, slo=6.0)
BATCHED = Service(base=0.06, per_row=0.02, max_batch=8)

HOUR = 3600.0

Made = tuple[Floats, float]
"""Arrivals, and for how many seconds."""


def _poisson(rate: Callable[[Generator], Rate]) -> Callable[[Generator], Made]:
    def make(random: Generator) -> Made:
        curve = rate(random)
        return generators.poisson(curve, random), curve.duration

    return make


def _llm_code(random: Generator) -> Made:
    stamps = _stamps()
    return stamps, float(np.ceil(stamps[-1] + 1.0))


def _function(prefix: str, day: int, hours: tuple[int, int], times: float) -> Callable[[Generator], Made]:
    def make(random: Generator) -> Made:
        counts = _days()[prefix, day][60 * hours[0] : 60 * hours[1]]
        return traces.spread(counts, times, random), 60.0 * len(counts)

    return make


@cache
def _stamps() -> Floats:
    return traces.read_stamps(_data("AzureLLMInferenceTrace_code.csv"))


@cache
def _days() -> dict[tuple[str, int], tuple[int, ...]]:
    rows = traces.read_days(_data("azure_functions_2019_sample.csv"))
    return {(row.function[:4], row.day): row.minutes for row in rows}


def _data(name: str) -> list[str]:
    return (files(__package__) / "data" / name).read_text().splitlines()


_STEP = ((20.0, 600.0), (200.0, 600.0), (20.0, 600.0), (200.0, 120.0), (20.0, 480.0))
_RAMP = ((0.0, 10.0), (300.0, 10.0), (1800.0, 150.0), (2100.0, 150.0), (3600.0, 10.0), (4200.0, 10.0))
_WAVES = ((25.0, 2600.0), (12.0, 1500.0), (10.0, 700.0))

WORKLOADS: dict[str, tuple[Service, Callable[[Generator], Made]]] = {
    "llm_code": (LLM, _llm_code),
    "az_d0bc": (PLAIN, _function("d0bc", 8, (0, 5), 3)),
    "az_9c61": (PLAIN, _function("9c61", 8, (9, 13), 8)),
    "az_01f1": (PLAIN, _function("01f1", 9, (6, 11), 12)),
    "az_bd33": (PLAIN, _function("bd33", 10, (4, 7), 1)),
    "step": (PLAIN, _poisson(lambda _: generators.steps(_STEP))),
    "ramp": (PLAIN, _poisson(lambda _: generators.ramp(_RAMP))),
    "diurnal": (PLAIN, _poisson(lambda _: generators.diurnal(40, 35, 5400, 3 * HOUR))),
    "flash": (PLAIN, _poisson(lambda random: generators.crowds(10, 4, 10, 2 * HOUR, random))),
    "onoff_200": (PLAIN, _poisson(lambda random: generators.on_off((60, 60), (2, 200), 0.2, 2 * HOUR, random))),
    "onoff_900": (PLAIN, _poisson(lambda random: generators.on_off((80, 120), (5, 900), 0.15, 4 * HOUR, random))),
    "mmpp": (PLAIN, _poisson(lambda random: generators.mmpp(((5, 120), (30, 60), (100, 20)), 2 * HOUR, random))),
    "heavy": (PLAIN, _poisson(lambda random: generators.bursts(2, 35, (30, 80), 30, 1.2, 2.5 * HOUR, random))),
    "slow": (PLAIN, _poisson(lambda random: generators.swings(45, _WAVES, 0.15, 10, 3 * HOUR, random))),
    "ar_min": (PLAIN, _poisson(lambda random: generators.ar_minutes(25, 0.92, 0.35, 250, 2.5 * HOUR, random))),
    "flat": (PLAIN, _poisson(lambda _: generators.steps([(40, 1.5 * HOUR)]))),
    "mmpp_b8": (BATCHED, _poisson(lambda random: generators.mmpp(((20, 120), (120, 60), (400, 20)), HOUR, random))),
}
"""Those of the comparison, in its order."""

HELD_OUT: dict[str, tuple[Service, Callable[[Generator], Made]]] = {
    f"{name}_day{day}": (PLAIN, _function(name.removeprefix("az_"), day, hours, 60))
    for name, hours in (("az_33c6", (6, 11)), ("az_e320", (11, 16)))
    for day in range(8, 13)
}
"""Functions on which nothing was chosen, their five days each for itself, sixty times as many calls."""


def names() -> list[str]:
    """What ``make`` knows."""
    return [*WORKLOADS, *HELD_OUT]


def make(name: str, seed: int) -> Workload:
    """A workload of the catalogue.

    Raises:
        ValueError: there is none of this name.
    """
    known = WORKLOADS | HELD_OUT
    if name not in known:
        raise ValueError(f"workload is '{name}', expected one of {', '.join(names())}")
    service, arrivals = known[name]
    found, duration = arrivals(np.random.default_rng([seed, names().index(name)]))
    return Workload(name=name, arrivals=found, duration=duration, service=service)
