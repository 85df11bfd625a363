"""A run is a function of its arguments, and policies are told what the conditions let through."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import Decision, ScalingConfig
from tidegate.autoscaler.simulator import catalogue
from tidegate.autoscaler.simulator.clairvoyant import bound
from tidegate.autoscaler.simulator.conditions import Conditions, draw, guessed
from tidegate.autoscaler.simulator.contestants import parse, swept
from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.plays import Play, key_of, outcomes
from tidegate.autoscaler.simulator.run import Kind, simulate
from tidegate.autoscaler.simulator.workload import Service, Workload
from tidegate.protocol.errors import InvalidRequest

CONFIG = ScalingConfig(most=400)


class Seen(msgspec.Struct, frozen=True):
    looks: tuple[tuple[float, Observation | None], ...] = ()


class Watcher:
    """Implements Policy: it remembers what it is told, and orders what it was made with."""

    name = "watcher"

    def __init__(self, wanted: Callable[[float], int] = lambda _: 1) -> None:
        self.looks: list[tuple[float, Observation]] = []
        self._wanted = wanted

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> Seen:
        return Seen()

    def decide(self, now: float, observation: Observation | None, state: Seen, config: ScalingConfig) -> Decision[Seen]:
        assert observation is not None
        self.looks.append((now, observation))
        return Decision(replicas=self._wanted(now), reason="", state=state)


def every_second(duration: float) -> Workload:
    """A request at 0.5, 1.5, …"""
    arrivals = np.arange(0.5, duration, 1.0)
    return Workload(name="t", arrivals=arrivals, duration=duration, service=Service(per_row=0.1))


def short(name: str, seed: int = 0) -> Workload:
    return catalogue.make(name, seed).first(80.0)


@pytest.mark.parametrize("plant", ["own", "product"])
@pytest.mark.parametrize("policy", ["qda", "kpa", "hpa", "ray"])
def test_a_seed_gives_the_same_again(policy: str, plant: Kind) -> None:
    """Whatever policy and plant; and another seed another outcome."""
    contestant, conditions = parse(policy), Conditions(mean_life=60.0, blackouts=((30.0, 60.0),))
    load = short("mmpp_b8")
    config = contestant.config(load, conditions)

    def run(seed: int) -> Outcome:
        return simulate(load, contestant.policy(), config, conditions, seed=seed, plant=plant)

    assert run(1) == run(1)
    assert msgspec.structs.replace(run(2), seed=1) != run(1)


def test_metrics_are_late_and_replicas_are_not() -> None:
    """A look at second 10 has the counters of second 9, and the replicas of second 10."""
    watcher = Watcher(lambda now: 3 if now >= 5 else 1)
    conditions = Conditions(cold_start=4.5, spread=0.0, dropped=0.0)
    simulate(every_second(20.0), watcher, CONFIG, conditions)
    looks = dict(watcher.looks)
    assert not looks[1.0].fresh
    assert [looks[now].arrivals for now in (2.0, 10.0)] == [1, 9]
    assert (looks[9.0].ready, looks[9.0].warming, looks[9.0].started) == (1, (5.0, 5.0), ())
    assert (looks[10.0].ready, looks[10.0].warming, looks[10.0].started) == (3, (), (4.5, 4.5))


def test_looks_are_missing_as_often_as_conditions_say() -> None:
    """In a blackout all are, and else the share that is dropped, within 2 points; the counters stay as they were."""
    watcher = Watcher()
    simulate(every_second(2000.0), watcher, CONFIG, Conditions(dropped=0.05, blackouts=((100.0, 160.0),)))
    looks = dict(watcher.looks)
    assert not any(looks[float(now)].fresh for now in range(100, 160))
    assert looks[159.0].arrivals == looks[100.0].arrivals
    rest = [look.fresh for now, look in watcher.looks if now > 160]
    assert 1 - np.mean(rest) == pytest.approx(0.05, abs=0.02)


def test_a_fixed_number_costs_what_it_says() -> None:
    """Replica-seconds are replicas times the duration, without changes, and whoever is served at once is in time."""
    contestant = parse("fixed@4")
    load = every_second(100.0)
    load = msgspec.structs.replace(load, least=4)
    found = simulate(load, contestant.policy(), contestant.config(load, Conditions()), Conditions())
    assert (found.replica_seconds, found.changes, found.late, found.requests) == (400.0, 0, 0, 100)


def test_the_bound_is_below_the_cheapest_that_is_never_late() -> None:
    """Of all fixed numbers for steady load the cheapest without a late request costs more, but not twice as much."""
    load, conditions = catalogue.make("flat", 0).first(300.0), Conditions(spread=0.0, cold_start=1.0)
    for replicas in range(7, 40):
        contestant = parse(f"fixed@{replicas}")
        found = simulate(load, contestant.policy(), contestant.config(load, conditions), conditions)
        if not found.late:
            break
    assert 1.0 <= found.replica_seconds / bound(load, 1.0, draw(conditions, 0).jitter) < 2.0


def test_who_is_never_answered_is_late_and_has_no_percentile() -> None:
    """What the product refuses has no answer; an outcome is the same after it was written down."""
    load = short("flat")
    load = msgspec.structs.replace(load, service=Service(per_row=30.0), most=1)
    contestant = parse("fixed@1")
    config = contestant.config(load, Conditions())
    found = simulate(load, contestant.policy(), config, Conditions(), plant="product")
    assert found.p99 is None
    assert found.late == found.requests
    assert msgspec.json.decode(msgspec.json.encode(found), type=Outcome) == found


def test_dead_replicas_are_replaced() -> None:
    """With replicas that live for 20 s there are orders without end, and requests are answered all the same."""
    contestant = parse("fixed@4")
    load = msgspec.structs.replace(every_second(400.0), least=4)
    conditions = Conditions(cold_start=2.0, mean_life=20.0)
    found = simulate(load, contestant.policy(), contestant.config(load, conditions), conditions)
    assert found.changes > 40
    assert found.late < 10
    assert found.replica_seconds == pytest.approx(1600, rel=0.05)


def test_first_guesses_are_wrong() -> None:
    """Service times are guessed 30 % too long, starts 30 % too short: the wrong way, for both make it late."""
    assert guessed(Service(base=0.1, per_row=0.2), Conditions(cold_start=10.0)) == pytest.approx((0.13, 0.26, 7.0))


def test_what_is_done_is_not_played_again() -> None:
    """Outcomes come for the rest, and are told apart by all that a play has."""
    plays = [
        Play("step", lambda seed: short("step", seed), parse(policy), Conditions(cold_start=start), seed)
        for seed in (0, 1)
        for start in (1.0, 5.0)
        for policy in ("fixed@20", "kpa")
    ]
    first = list(outcomes(plays[:3]))
    rest = list(outcomes(plays, first))
    assert [key_of(each) for each in (*first, *rest)] == [each.key for each in plays]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nix", "policy is 'nix', expected one of qda, kpa"),
        ("qda@2", "policy is 'qda@2', expected a preference from 0 to 1 after the @"),
        ("kpa@x", "policy is 'kpa@x', expected NAME, NAME@NUMBER"),
        ("kpa@0", "expected a number above 0"),
        ("kpa:foo=1", "has the setting 'foo', expected one of stable_window"),
        ("kpa:scale_down_delay=x", "policy 'kpa@0.7:scale_down_delay=x'"),
        ("hpa:down_window=x", "a window that is no number"),
        ("qda:foo=1", "has the setting 'foo', expected none"),
    ],
)
def test_what_is_no_contestant(text: str, told: str) -> None:
    """One sentence that says what was expected."""
    with pytest.raises(InvalidRequest, match=told):
        parse(text)


def test_contestants_have_their_knobs() -> None:
    """A target is a share of what a replica can have in progress, and a sweep holds settings fast."""
    load = catalogue.make("mmpp_b8", 0)
    assert parse("ray").config(load, Conditions()).target == pytest.approx(0.7 * 8)
    assert parse("kpa@0.5").config(load, Conditions()).concurrency == 8
    assert parse("qda@0.3").config(load, Conditions()).preference == 0.3
    labels = [each.label for each in swept([parse("kpa@0.6:scale_down_delay=60"), parse("fixed@3")])]
    assert labels == [f"kpa@{knob}:scale_down_delay=60" for knob in (0.3, 0.5, 0.6, 0.7, 0.9)] + ["fixed@3"]
