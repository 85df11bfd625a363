"""What a service that scales is asked while somebody measures it: minutes of the simulator's workloads, at small rates.

A policy's windows are in real seconds, so that time cannot be compressed; what is made small is the rate, for gateway,
callers and workers share a machine. Each begins with a quiet lead: a number of replicas does not fall in the first
minute of a revision, which is no matter where it is the least one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from tidegate.autoscaler.simulator import catalogue, generators
from tidegate.autoscaler.simulator.workload import Floats, Service, Workload

QUIET = 4.0
"""Requests a second in the lead."""
SPEED = 2.0
"""Times as fast as recorded, of the trace."""
LOW = 5.0
HIGH = 50.0
"""Requests a second before and after a step, and on it: ten times as many."""
ON, OFF = (45.0, 30.0), (2.0, 45.0)
"""(requests a second, seconds) of bursts and of what is between them; each time up to a fifth longer or shorter."""


def _llm_code(seconds: float, times: float, random: Generator) -> Floats:
    stamps = catalogue.make("llm_code", 0).arrivals / (SPEED * times)
    return stamps[stamps < seconds]


def _step(seconds: float, times: float, random: Generator) -> Floats:
    third = seconds / 3
    rates = (times * LOW, times * HIGH, times * LOW)
    return generators.poisson(generators.steps([(rate, third) for rate in rates]), random)


def _on_off(seconds: float, times: float, random: Generator) -> Floats:
    (high, burst), (low, gap) = ON, OFF
    rate = generators.on_off((times * high, burst), (times * low, gap), 0.2, seconds, random)
    return generators.poisson(rate, random)


SCHEDULES: dict[str, Callable[[float, float, Generator], Floats]] = {
    "llm_code": _llm_code,
    "step": _step,
    "on_off": _on_off,
}
"""By name: Azure's LLM trace from its beginning, ten times the load and back, bursts."""


def schedule(name: str, seconds: float, lead: float, service: Service, seed: int, times: float = 1.0) -> Workload:
    """So many seconds of it after the lead, at ``times`` the usual rates. The same arguments give the same requests."""
    random = np.random.default_rng([seed, list(SCHEDULES).index(name)])
    quiet = generators.poisson(generators.steps([(QUIET, lead)]), random)
    arrivals = np.concatenate((quiet, lead + SCHEDULES[name](seconds, times, random)))
    return Workload(name=name, arrivals=arrivals, duration=lead + seconds, service=service)
