"""Both plants lose nothing and pay for everything, whatever is ordered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.autoscaler.simulator.conditions import Conditions, draw
from tidegate.autoscaler.simulator.generators import poisson, steps
from tidegate.autoscaler.simulator.own_queues import OUTSTANDING, OwnQueues
from tidegate.autoscaler.simulator.product import Product
from tidegate.autoscaler.simulator.workload import Service, Workload

BATCHED = Service(base=0.05, per_row=0.05, slo=1.0, max_batch=4)


def workload(rate: float, duration: float, service: Service = BATCHED, seed: int = 0) -> Workload:
    arrivals = poisson(steps([(rate, duration)]), np.random.default_rng(seed))
    return Workload(name="test", arrivals=arrivals, duration=duration, service=service)


def refused(plant: OwnQueues | Product) -> int:
    """Only the product answers with errors: to whom two replicas died under, here."""
    return plant.refused if isinstance(plant, Product) else 0


@pytest.mark.parametrize("build", [OwnQueues, Product])
@given(
    orders=st.lists(st.integers(0, 6), min_size=1, max_size=25),
    seed=st.integers(0, 99),
    mean_life=st.sampled_from([None, 4.0]),
)
@example(orders=[6, 0, 0], seed=0, mean_life=4.0)  # those that are ready after the end died
@settings(max_examples=40, deadline=None)
def test_no_request_is_lost(
    build: type[OwnQueues] | type[Product], orders: list[int], seed: int, mean_life: float | None
) -> None:
    """Each is waiting, executing, done or refused; and done once, after it came, while replicas are left to do it."""
    given_load = workload(20.0, len(orders) + 1.0, seed=seed)
    plant = build(given_load, draw(Conditions(cold_start=1.5, mean_life=mean_life), seed))
    for second, wanted in enumerate(orders, 1):
        plant.advance(float(second))
        plant.scale(wanted)
        look = plant.look()
        assert plant.fleet.provisioned == wanted
        assert look.arrivals == look.completions + look.waiting + look.in_flight + refused(plant)
        assert look.arrivals == np.searchsorted(given_load.arrivals, second, side="right")
    plant.scale(3)
    plant.advance(len(orders) + 1.0)
    plant.scale(3)
    done = plant.finish()
    look = plant.look()
    assert look.completions + refused(plant) == look.arrivals == done.size
    assert look.completions == np.count_nonzero(np.isfinite(done))
    assert np.all(done > given_load.arrivals)
    assert not refused(plant) or mean_life


@pytest.mark.parametrize("build", [OwnQueues, Product])
def test_replicas_are_paid_from_the_order_until_they_are_gone(build: type[OwnQueues] | type[Product]) -> None:
    """Those that start are paid, and those that drain until their last request is answered."""
    service = Service(per_row=4.0, slo=9.0)
    load = Workload(name="test", arrivals=np.array([9.0]), duration=20.0, service=service)
    plant = build(load, draw(Conditions(cold_start=3.0, spread=0.0), 0))
    plant.advance(2.0)
    plant.scale(2)
    plant.advance(4.0)
    assert (plant.fleet.ready, plant.fleet.provisioned) == (1, 2)
    plant.advance(5.0)
    assert plant.fleet.ready == 2
    plant.advance(10.0)
    plant.scale(0)
    plant.advance(20.0)
    plant.fleet.account(20.0)
    assert plant.fleet.seconds == pytest.approx(13.0 + 8.0)  # one until the request is answered, one until it drains
    assert plant.fleet.changes == 3
    assert plant.fleet.risen() == (3.0,)


@pytest.mark.parametrize("build", [OwnQueues, Product])
def test_the_youngest_start_is_given_up_first(build: type[OwnQueues] | type[Product]) -> None:
    """A replica that starts goes before one that is ready."""
    plant = build(workload(1.0, 10.0), draw(Conditions(cold_start=5.0, spread=0.0), 0))
    plant.advance(1.0)
    plant.scale(3)
    plant.advance(2.0)
    plant.scale(4)
    plant.scale(2)
    assert (plant.fleet.ready, list(plant.fleet.warming.values())) == (1, [1.0])


def test_a_replica_has_so_many_outstanding_and_the_rest_is_for_all() -> None:
    """A replica that comes up takes what no other had room for; what another has stays there."""
    service = Service(per_row=100.0, slo=1.0)
    load = Workload(name="test", arrivals=np.linspace(0.1, 0.9, 9), duration=1000.0, service=service, most=1)
    plant = OwnQueues(load, draw(Conditions(cold_start=1.0, spread=0.0), 0))
    plant.advance(1.0)
    plant.scale(2)
    done = plant.finish()
    before = np.arange(1, OUTSTANDING + 1) * 100.0 + 0.1
    assert done == pytest.approx(np.concatenate((before, np.arange(1, 5) * 100.0 + 2.0)))


def test_requests_go_to_who_has_least() -> None:
    """Two that come together are at two replicas."""
    service = Service(per_row=1.0, slo=1.0)
    load = Workload(name="test", arrivals=np.array([0.0, 0.1]), duration=9.0, service=service, least=2)
    plant = OwnQueues(load, draw(Conditions(spread=0.0), 0))
    plant.advance(9.0)
    assert plant.finish() == pytest.approx([1.0, 1.1])
