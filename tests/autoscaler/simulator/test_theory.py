"""What queueing theory says holds in the simulated plants, for fixed seeds, within the tolerance that a test names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from math import factorial

import numpy as np
import pytest

from tidegate.autoscaler.simulator.conditions import DRAWS, Draws
from tidegate.autoscaler.simulator.generators import poisson, steps
from tidegate.autoscaler.simulator.own_queues import OwnQueues
from tidegate.autoscaler.simulator.plant import Plant
from tidegate.autoscaler.simulator.product import Product
from tidegate.autoscaler.simulator.workload import Floats, Service, Workload

SERVICE = 0.1
LOAD = 0.7
Build = Callable[[Workload, Draws], Plant]


def common_queue(workload: Workload, draws: Draws) -> Plant:
    """A replica takes one request at a time, so that all wait in the common queue."""
    return OwnQueues(workload, draws, outstanding=1)


def fixed_fleet(replicas: int, load: float, duration: float, *, seed: int = 1) -> Workload:
    """``load`` is the share of the replicas' time that is needed; there are as many of them all the time."""
    random = np.random.default_rng(seed)
    arrivals = poisson(steps([(load * replicas / SERVICE, duration)]), random)
    service = Service(per_row=SERVICE, slo=10.0)
    return Workload(name="test", arrivals=arrivals, duration=duration, service=service, least=replicas, most=replicas)


def draws(factors: Floats) -> Draws:
    nobody: Iterator[float] = iter(())
    return Draws(factors.tolist(), cycle([1.0]), nobody, cycle([False]))


def steady() -> Draws:
    return draws(np.ones(DRAWS))


def exponential(seed: int = 2) -> Draws:
    return draws(np.random.default_rng(seed).exponential(1.0, DRAWS))


def latencies(plant: Plant, workload: Workload) -> Floats:
    plant.advance(workload.duration)
    return plant.finish() - workload.arrivals


def waits_of(build: Build, replicas: int) -> tuple[float, float]:
    """In M/M/c: the share of those who wait, and the mean wait of all."""
    workload = fixed_fleet(replicas, LOAD, 5000.0 / replicas)
    chance = exponential()
    waits = latencies(build(workload, chance), workload) - np.array(chance.jitter)[: workload.arrivals.size] * SERVICE
    return float(np.mean(waits > 1e-9)), float(np.mean(waits))


def erlang_wait(replicas: int) -> float:
    return erlang_c(replicas, LOAD * replicas) * SERVICE / (replicas * (1 - LOAD))


def erlang_c(replicas: int, offered: float) -> float:
    """The probability of having to wait in M/M/c (Erlang, 1917)."""
    top = offered**replicas / factorial(replicas) * replicas / (replicas - offered)
    return top / (sum(offered**k / factorial(k) for k in range(replicas)) + top)


@pytest.mark.parametrize(("build", "replicas"), [(common_queue, 1), (common_queue, 4), (Product, 1)])
def test_waits_are_those_of_erlang_c(build: Build, replicas: int) -> None:
    """M/M/c: the share of those who wait within 0.02 of C, the mean wait within 10 % of C s / (c (1 - rho))."""
    share, wait = waits_of(build, replicas)
    assert share == pytest.approx(erlang_c(replicas, LOAD * replicas), abs=0.02)
    assert wait == pytest.approx(erlang_wait(replicas), rel=0.1)


def test_the_product_waits_longer_than_erlang_c_says_for_it_gives_batches_ahead() -> None:
    """The next batch lies at the replica that is expected to be free first, and with exponential times another is.

    So fewer wait than in M/M/4, those for longer, and all of them together up to 60 % longer: no order is better than
    one queue.
    """
    share, wait = waits_of(Product, 4)
    assert share < erlang_c(4, LOAD * 4)
    assert erlang_wait(4) < wait < 1.6 * erlang_wait(4)


@pytest.mark.parametrize("build", [OwnQueues, Product])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_waits_of_one_replica_are_those_of_pollaczek_and_khinchine(build: Build, load: float) -> None:
    """M/D/1: a mean wait of rho s / (2 (1 - rho)), within 6 %."""
    workload = fixed_fleet(1, load, 4000.0)
    waits = latencies(build(workload, steady()), workload) - SERVICE
    assert np.mean(waits) == pytest.approx(load * SERVICE / (2 * (1 - load)), rel=0.06)


@pytest.mark.parametrize("build", [OwnQueues, Product])
def test_littles_law(build: Build) -> None:
    """Requests that are there, on average, are the rate times the mean latency: within 2 %, by looks each 0.1 s."""
    workload = fixed_fleet(3, 0.8, 1000.0)
    plant = build(workload, exponential())
    there = []
    for tick in range(1, 10_001):
        plant.advance(tick * 0.1)
        look = plant.look()
        there.append(look.arrivals - look.completions)
    mean_latency = float(np.mean(plant.finish() - workload.arrivals))
    assert np.mean(there) == pytest.approx(workload.rate * mean_latency, rel=0.02)


@pytest.mark.parametrize("build", [OwnQueues, Product])
def test_replicas_are_busy_for_the_work_that_came(build: Build) -> None:
    """Utilisation is lambda s / c, exactly: what is counted as busy is the service time of what was executed."""
    workload = fixed_fleet(3, 0.6, 500.0)
    chance = exponential()
    plant = build(workload, chance)
    plant.advance(workload.duration)
    plant.finish()
    assert plant.look().busy_seconds == pytest.approx(sum(chance.jitter[: workload.arrivals.size]) * SERVICE)


@pytest.mark.parametrize("build", [OwnQueues, Product])
def test_full_batches_reach_the_capacity(build: Build) -> None:
    """Over its capacity a replica gets done ``max_batch`` requests in the time of a full batch, within 2 %."""
    service = Service(base=0.06, per_row=0.02, slo=1e9, max_batch=8)
    arrivals = poisson(steps([(2 * service.capacity, 50.0)]), np.random.default_rng(3))
    workload = Workload(name="test", arrivals=arrivals, duration=50.0, service=service, most=1)
    plant = build(workload, steady())
    plant.advance(50.0)
    assert plant.look().completions / 50.0 == pytest.approx(service.capacity, rel=0.02)
