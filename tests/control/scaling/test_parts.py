"""The pure parts of scaling: the fleet, the record, what a manifest says, what a rollout needs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.autoscaler.policies import NAMES, policy_of
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.control.scaling import record as records
from tidegate.control.scaling.deciding import begun, told
from tidegate.control.scaling.fleet import Fleet, pause, seen
from tidegate.control.scaling.observing import failing_in, observation_of
from tidegate.control.scaling.reckoned import Slo, Starts
from tidegate.control.scaling.record import REMEMBERED, Record
from tidegate.control.scaling.scale import Scale, scaling_of
from tidegate.control.scaling.settings import ScalerSettings
from tidegate.control.services.running import Size
from tidegate.control.services.scaling import scales_of
from tidegate.resources.actuator import RevisionId
from tidegate.testing.figures import BUSY

COUNT = st.integers(0, 9)


def test_who_was_ordered_first_is_ready_first() -> None:
    """And who was ordered last goes first."""
    fleet = seen(Fleet(), 10.0, wanted=2, ready=0, failing=0)
    fleet = seen(fleet, 12.0, wanted=4, ready=0, failing=0)
    assert fleet.warming == (10.0, 10.0, 12.0, 12.0)
    fleet = seen(fleet, 15.0, wanted=4, ready=1, failing=0)
    assert (fleet.started, fleet.warming) == ((5.0,), (10.0, 12.0, 12.0))
    fleet = seen(fleet, 16.0, wanted=3, ready=1, failing=0)
    assert fleet.warming == (10.0, 12.0)
    fleet = seen(fleet, 17.0, wanted=3, ready=0, failing=0)  # one has ended, and is started again
    assert fleet.warming == (10.0, 12.0, 17.0)
    assert fleet.told().started == ()


def test_the_time_asleep_is_no_start() -> None:
    """Who wakes was ordered when he woke, not when he went to sleep."""
    scaling = scaling_of({"minReplicas": 0, "maxReplicas": 4}, None)
    assert scaling is not None
    scale = Scale(RevisionId("default", "iris", 1), "uid", scaling, wanted=1, ready=1)
    known, _ = begun(scale, 0.0)
    known = told(known, msgspec.structs.replace(scale, ready=0, asleep=True), 100.0, None)
    assert known.fleet.warming == ()
    known = told(known, msgspec.structs.replace(scale, ready=0), 5000.0, None)
    known = told(known, scale, 5002.0, None)
    assert known.fleet.started == (2.0,)


def test_failures_in_a_row_make_longer_pauses() -> None:
    """Until one becomes ready."""
    fleet = seen(Fleet(), 0.0, wanted=2, ready=1, failing=1)
    assert (fleet.failures, fleet.again_at, fleet.warming) == (1, 5.0, ())
    fleet = seen(fleet, 1.0, wanted=2, ready=1, failing=0)
    fleet = seen(fleet, 2.0, wanted=2, ready=1, failing=1)
    assert (fleet.failures, fleet.again_at) == (2, 12.0)
    fleet = seen(fleet, 3.0, wanted=2, ready=1, failing=0)
    fleet = seen(fleet, 4.0, wanted=2, ready=2, failing=0)
    assert (fleet.failures, fleet.again_at) == (0, 0.0)
    assert pause(1000) == 60.0


def test_a_failure_is_over_with_a_start_between_two_looks() -> None:
    """A forked worker is ready sooner than anybody looks. How long that took is not known."""
    fleet = seen(Fleet(), 0.0, wanted=2, ready=1, failing=1)
    fleet = seen(fleet, 1.0, wanted=2, ready=2, failing=0)
    assert (fleet.failures, fleet.again_at, fleet.started) == (0, 0.0, ())


@given(st.lists(st.tuples(COUNT, COUNT, COUNT), max_size=20))
def test_a_fleet_adds_up(looks: list[tuple[int, int, int]]) -> None:
    """Whatever is told: who is on his way is who is wanted and is neither ready nor failing."""
    fleet = Fleet()
    for at, (wanted, ready, failing) in enumerate(looks):
        fleet = seen(fleet, float(at), wanted=wanted, ready=ready, failing=failing)
        assert len(fleet.warming) == max(wanted - ready - failing, 0)
        assert list(fleet.warming) == sorted(fleet.warming)
        assert all(seconds >= 0.0 for seconds in fleet.started)


@pytest.mark.parametrize("policy", NAMES)
def test_what_is_kept_is_read_again(policy: str) -> None:
    """Of each policy; and what is none of it is not taken for one."""
    state = policy_of(policy).begin(100.0, 3, ScalingConfig(most=9))
    assert records.unpack(policy, records.pack(state)) == state
    memory = records.pack(state)
    record = Record(
        policy,
        3,
        "3 -> 3: so",
        "2026-01-01T00:00:00Z",
        Slo(0.812, given=False),
        Starts(9.0),
        clock=100.0,
        memory=memory,
    )
    assert records.read(records.write(record)) == record
    for memory in ("", "!", "AAAA", records.pack(Fleet(ready=3))[:-8]):
        assert records.unpack(policy, memory) is None
    assert records.unpack("another", record.memory) is None
    assert records.read({"desired": "x"}) is None


@pytest.mark.parametrize(("told", "desired"), [(3, 3), (True, None), (-1, None), ("3", None), (None, None)])
def test_a_number_that_somebody_wrote(told: object, desired: int | None) -> None:
    """Counts only where it is one."""
    assert records.desired_in({"desired": told}) == desired


def test_another_policy_did_not_reckon_so() -> None:
    """What one aimed at is not told of the next."""
    record = Record("qda", 3, "3 -> 3: so", "", Slo(0.2, given=True), Starts(9.0, 8.0, 12.0))
    assert record.of("qda") == record.reckoned(None, None) == record
    assert record.of("kpa") == Record("kpa", 3, "3 -> 3: so", "")


def test_a_new_revision_guesses_what_the_ones_before_it_took() -> None:
    """By the last of them that has seen a start, and none after it."""
    scaling = scaling_of({"maxReplicas": 4}, None)
    assert scaling is not None
    told: list[Starts | None] = [Starts(30.0, 29.0, 40.0), Starts(20.0, 19.0, 25.0), Starts(10.0), None, None]
    revisions = []
    for number, starts in enumerate(told, 1):
        metadata = {"name": f"iris-{number:05}", "namespace": "default", "uid": "u", "resourceVersion": "1"}
        status = {"scaling": records.write(Record("qda", 1, "", "", starts=starts))}
        revisions.append(
            {"apiVersion": "tidegate.dev/v1", "kind": "ServingRevision", "metadata": metadata, "status": status}
        )
    scales = scales_of({number: Size(1, scaling) for number in range(1, 6)}, revisions, {})
    assert [scale.scaling.config.first_start for scale in scales] == [10.0, 30.0, 20.0, 20.0, 20.0]


def test_the_history_is_bounded() -> None:
    """Only changes are in it, and the last ones stay."""
    record = Record("qda", 0, "", "")
    for number in range(1, 50):
        record = record.changed(number, f"{number - 1} -> {number}: so", 0.0).changed(number, "again", 1.0)
    assert len(record.history) == REMEMBERED
    assert [change.after for change in record.history] == list(range(50 - REMEMBERED, 50))


@pytest.mark.parametrize(
    ("component", "bounds"),
    [
        ({}, None),
        ({"maxReplicas": 1}, None),
        ({"minReplicas": 3, "maxReplicas": 3}, None),
        ({"minReplicas": 3, "maxReplicas": 4}, ("qda", 3, 4)),
        ({"minReplicas": 0}, ("qda", 0, 1)),
        ({"minReplicas": 2, "scalePolicy": {}}, ("qda", 2, 8)),
        ({"scaleTarget": 10}, ("kpa", 1, 8)),
        ({"scaleMetric": "cpu", "maxReplicas": 2}, ("hpa", 1, 2)),
        ({"scalePolicy": {"name": "fixed"}, "maxReplicas": 4}, None),
        ({"replicas": 4, "scalePolicy": {}}, None),
    ],
)
def test_what_a_manifest_says(component: dict[str, Any], bounds: tuple[str, int, int] | None) -> None:
    """Policy, least and most on a machine of eight cores."""
    scaling = scaling_of(component, None)
    if scaling is not None:
        scaling = scaling.bounded_by(8)
        assert (scaling.policy, scaling.config.least, scaling.config.most) == bounds
        assert scaling.at_least(100).config.least == scaling.config.most
    else:
        assert bounds is None


def test_what_is_turned_away_has_arrived() -> None:
    """Of a full queue the arrivals would else be as many as it can do, and never more."""
    observed = observation_of(BUSY, Fleet(ready=2, warming=(1.0,)), 4)
    assert observed is not None
    assert observed.arrivals == 3000 + 25 + 19
    assert (observed.waiting, observed.ready, observed.provisioned) == (21, 2, 4)
    assert failing_in(BUSY) == 1
    unloaded = msgspec.structs.replace(BUSY, batcher=None)
    assert observation_of(unloaded, Fleet(), 1) is observation_of(None, Fleet(), 1) is None


@pytest.mark.parametrize("field", ["tick", "keep_every"])
def test_a_time_that_leaves_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 0, expected a number above 0"):
        ScalerSettings(**{field: 0.0})
