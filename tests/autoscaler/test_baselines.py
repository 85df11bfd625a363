"""The baselines as a service sees them, second by second: what they measure, when they decide, how they rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tidegate.autoscaler.hpa_settings import HpaSettings, KedaSettings
from tidegate.autoscaler.kpa_settings import KpaSettings
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policies import policy_of
from tidegate.autoscaler.policy import Decision, Policy, ScalingConfig


class Service:
    """One that does at once what a policy decides, under a load that is given for each second."""

    def __init__(self, policy: Policy[Any], config: ScalingConfig, replicas: int, *, start: float = 0.0) -> None:
        self.policy, self.config, self.replicas = policy, config, replicas
        self.now = start
        self.state = policy.begin(self.now, replicas, config)
        self.arrivals, self.busy = 0, 0.0
        self.decision: Decision[Any] | None = None

    def second(self, waiting: int = 0, *, come: int = 0, busy: float = 0.0, blind: bool = False) -> int:
        """One second with so many requests in the queue, arrivals, and executing replicas. How many there are then."""
        self.now += 1.0
        self.arrivals += come
        self.busy += busy
        look = Observation(
            arrivals=self.arrivals,
            completions=0,
            busy_seconds=self.busy,
            batches=0,
            waiting=waiting,
            ready=self.replicas,
            provisioned=self.replicas,
        )
        self.decision = self.policy.decide(self.now, None if blind else look, self.state, self.config)
        self.state, self.replicas = self.decision.state, self.decision.replicas
        return self.replicas

    def until(self, holds: Callable[[int], bool], waiting: int = 0, *, within: int = 2000) -> int:
        """Seconds until it has as many as that."""
        for count in range(1, within + 1):
            if holds(self.second(waiting)):
                return count
        raise AssertionError(f"{self.replicas} replicas after {within} s: {self.said}")

    def rests(self) -> bool:
        """Whether it comes to be asked no more without a request."""
        return any(self.second() >= 0 and self.decision and self.decision.next_at is None for _ in range(100))

    @property
    def said(self) -> str:
        assert self.decision is not None
        return self.decision.reason


def test_kpa_averages_over_its_window() -> None:
    """20 at a time of 2 each for 30 s, then 40 for 30 s: 30 over the stable window, 40 over the panic window."""
    service = Service(policy_of("kpa", KpaSettings(target_utilisation=1.0)), ScalingConfig(target=2, most=100), 20)
    for _ in range(30):
        service.second(20)
    for _ in range(30):
        service.second(40)
    while "between" in service.said:
        service.second(40)
    assert service.decision is not None
    assert service.decision.terms["panic"] == 40.0
    assert service.decision.terms["stable"] == pytest.approx(30.0, abs=0.7)
    assert service.decision.terms["wish_panic"] == 20.0


def test_kpa_decides_every_two_seconds() -> None:
    """In between what was said holds."""
    service = Service(policy_of("kpa"), ScalingConfig(target=10, most=100), 1)
    decided = []
    for second in range(1, 9):
        service.second(10)
        if "between" not in service.said:
            decided.append(second)
    assert decided == [1, 3, 5, 7]


def test_kpa_says_why() -> None:
    """The numbers that decided."""
    service = Service(policy_of("kpa"), ScalingConfig(target=10, most=100), 1)
    service.second(50)
    assert service.said == (
        "1 -> 8: concurrency 50 over 60 s and 50 over 6 s, 7 per replica need 8 and 8; panic for 0 s, none goes below 8"
    )


def test_kpa_counts_requests_per_second() -> None:
    """280 a second are two replicas' worth at 140."""
    service = Service(policy_of("kpa"), ScalingConfig(metric="rps", most=100), 1)
    for _ in range(5):
        service.second(come=280)
    assert service.replicas == 2


@pytest.mark.parametrize("delay", [0.0, 300.0])
def test_kpa_goes_down_after_its_delay(delay: float) -> None:
    """Without one as soon as the mean falls. Half of what is ready goes at once, and each half waits for the delay."""
    service = Service(policy_of("kpa", KpaSettings(scale_down_delay=delay)), ScalingConfig(target=1, most=100), 1)
    for _ in range(120):
        service.second(14)
    assert service.replicas == 20
    begins = service.until(lambda replicas: replicas < 20)
    assert delay < begins <= delay + 5
    if delay:
        assert "for 300 s none goes below" in service.said
    assert begins + service.until(lambda replicas: replicas == 1) <= 4 * delay + 70


def test_kpa_takes_the_last_replica() -> None:
    """A window of 60 s without requests, and it goes: requests went through the queue for longer than 30 s."""
    service = Service(policy_of("kpa"), ScalingConfig(least=0, target=10, most=10), 1)
    for _ in range(200):
        service.second(3)
    took = service.until(lambda replicas: replicas == 0)
    assert 60 <= took <= 66
    assert "no traffic for" in service.said
    assert service.rests()


def test_kpa_keeps_the_last_replica_for_the_retention() -> None:
    """From when it is inactive on."""
    service = Service(policy_of("kpa", KpaSettings(pod_retention=100.0)), ScalingConfig(least=0, target=10, most=10), 1)
    for _ in range(200):
        service.second(3)
    assert 160 <= service.until(lambda replicas: replicas == 0) <= 166


@pytest.mark.parametrize("metric", ["concurrency", "rps"])
def test_kpa_is_woken_at_once(metric: Any) -> None:
    """By the first request, also right after it has begun."""
    service = Service(policy_of("kpa"), ScalingConfig(least=0, target=10, most=10, metric=metric), 0)
    assert service.second(1, come=1) == 1


def test_kpa_counts_the_seconds_that_nobody_looked_as_empty() -> None:
    """After an idle hour one busy second is one of sixty."""
    service = Service(policy_of("kpa"), ScalingConfig(target=10, most=100), 1)
    assert service.rests()
    service.now += 3600.0
    service.second(60)
    while "between" in service.said:
        service.second(60)
    assert service.decision is not None
    assert service.decision.terms["stable"] <= 2.0


@pytest.mark.parametrize("name", ["kpa", "hpa"])
def test_a_restart_holds(name: str) -> None:
    """Ten replicas without a request: none goes in the first minute."""
    service = Service(policy_of(name), ScalingConfig(metric="concurrency", target=10, most=100), 10)
    for _ in range(60):
        assert service.second() == 10


@pytest.mark.parametrize("name", ["kpa", "hpa", "ray"])
def test_a_clock_that_is_set_back_is_a_restart(name: str) -> None:
    """Neither do they freeze until the old time comes, nor does anything go at once."""
    service = Service(policy_of(name), ScalingConfig(metric="concurrency", target=2, most=100), 4, start=5000.0)
    for _ in range(100):
        service.second(8)
    service.now = 10.0
    held = service.replicas
    assert service.second() == held
    assert service.until(lambda replicas: replicas == 100, 9000, within=80)


@pytest.mark.parametrize("name", ["kpa", "hpa", "ray"])
def test_a_minute_of_blindness_lowers_nothing(name: str) -> None:
    """And after it decisions are made of what is seen then."""
    service = Service(policy_of(name), ScalingConfig(metric="concurrency", target=2, most=100), 5)
    for _ in range(60):
        service.second(10)
    held = service.replicas
    for _ in range(60):
        assert service.second(blind=True) == held
        assert "no metrics" in service.said
    assert service.until(lambda replicas: replicas > held, 100) <= 41


def test_hpa_decides_every_fifteen_seconds() -> None:
    """With the default rules from one to five, to ten, to twenty; then the target is met."""
    service = Service(policy_of("hpa"), ScalingConfig(metric="concurrency", target=5, most=100), 1)
    changes = []
    for second in range(1, 60):
        before = service.replicas
        if service.second(100) != before:
            changes.append((second, service.replicas))
    assert changes == [(1, 5), (16, 10), (31, 20)]


def test_hpa_says_why() -> None:
    """The metric, and what held it up."""
    service = Service(policy_of("hpa"), ScalingConfig(metric="concurrency", target=5, most=100), 2)
    service.second(100)
    assert service.said == "2 -> 6: concurrency 50 per replica, target 5: 20; at this rate 6"


def test_hpa_goes_down_after_five_minutes() -> None:
    """Or after the window that it was given."""
    for window, least, most in ((300.0, 300, 316), (60.0, 60, 76)):
        down = HpaSettings().down
        settings = HpaSettings(down=type(down)(window=window, rules=down.rules))
        service = Service(policy_of("hpa", settings), ScalingConfig(metric="concurrency", target=5, most=100), 20)
        for _ in range(60):
            service.second(100)
        assert least <= service.until(lambda replicas: replicas < 20, within=400) <= most + 15


def test_hpa_measures_the_time_in_which_replicas_execute() -> None:
    """Two replicas that execute all the time are at 100 % for a target of 50."""
    service = Service(policy_of("hpa"), ScalingConfig(target=50, most=100), 2)
    while service.replicas == 2:
        service.second(busy=2.0)
    assert service.replicas == 4
    assert service.decision is not None
    assert service.decision.terms["metric"] == 100.0


def test_hpa_with_a_processor_keeps_one() -> None:
    """Also where the service may sleep: one that sleeps uses no processor that could wake it."""
    service = Service(policy_of("hpa"), ScalingConfig(least=0, most=5), 0)
    assert service.second() == 1
    for _ in range(1000):
        assert service.second() == 1


@pytest.mark.parametrize(("push", "latest"), [(False, 30), (True, 1)])
def test_keda_wakes(push: bool, latest: int) -> None:
    """At its next look, at most 30 s later, or at once where it is told. A request that waits is seen for ever."""
    settings = HpaSettings(keda=KedaSettings(push=push))
    service = Service(policy_of("hpa", settings), ScalingConfig(least=0, metric="rps", target=5, most=9), 0)
    for _ in range(5):
        assert service.second() == 0
    assert service.second(1, come=1) == int(push)
    if not push:
        assert service.until(lambda replicas: replicas == 1, 1) <= latest


def test_keda_takes_the_last_after_its_cooldown() -> None:
    """Five minutes without a request, and up to a look more."""
    service = Service(policy_of("hpa"), ScalingConfig(least=0, metric="concurrency", target=5, most=9), 1)
    for _ in range(60):
        service.second(4)
    assert 270 <= service.until(lambda replicas: replicas == 0) <= 360
    assert "not active for" in service.said


def test_ray_wishes_for_half_a_minute_before_it_grows() -> None:
    """And for ten before it shrinks; the controller hears of it up to 10 s late."""
    service = Service(policy_of("ray"), ScalingConfig(most=100), 1)
    assert 30 <= service.until(lambda replicas: replicas > 1, 10) <= 42
    assert service.replicas == 5
    for _ in range(60):
        service.second(10)
    assert 600 <= service.until(lambda replicas: replicas < 5) <= 650


@pytest.mark.parametrize("name", ["kpa", "hpa", "ray"])
def test_it_rests_at_its_lower_bound(name: str) -> None:
    """And goes on as if it had been asked all the time: an hour later a request is decided of."""
    service = Service(policy_of(name), ScalingConfig(metric="concurrency", target=2, most=100), 1)
    assert service.rests()
    service.now += 3600.0
    assert service.until(lambda replicas: replicas > 1, 50) <= 50


def test_ray_wakes_at_once() -> None:
    """Without a delay."""
    service = Service(policy_of("ray"), ScalingConfig(least=0, most=9), 0)
    assert service.second() == 0
    assert service.second(1) == 1


def test_fixed_is_fixed() -> None:
    """At its lower bound; it asks for no time."""
    service = Service(policy_of("fixed"), ScalingConfig(least=3, most=9), 1)
    assert service.second(500) == 3
    assert service.said == "1 -> 3: 3 is what the service says"
    assert service.decision is not None
    assert service.decision.next_at is None
