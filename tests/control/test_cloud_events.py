"""Occurrences as CloudEvents."""

from __future__ import annotations

import re
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.cloud_events import cloud_event, sequenced, source_of
from tidegate.resources.document import GroupKind, Key
from tidegate.resources.store import Severity, Told
from tidegate.testing.stores import key, occurrence


def test_an_occurrence_is_a_cloud_event() -> None:
    """With all that the specification requires, and the occurrence as data."""
    told = occurrence("uid/rollout 3/7", severity=Severity.WARNING, data={"from": 1})
    assert cloud_event(told) == {
        "specversion": "1.0",
        "id": "uid/rollout 3/7",
        "source": "/apis/tidegate.dev/v1/namespaces/default/modelservices/iris",
        "type": "dev.tidegate.rollout.succeeded",
        "subject": "iris",
        "time": "2027-01-15T08:00:00.000Z",
        "datacontenttype": "application/json",
        "data": {
            "kind": "ModelService",
            "namespace": "default",
            "name": "iris",
            "uid": "u",
            "severity": "Warning",
            "reason": "RolloutSucceeded",
            "message": "revision 2 has all of the traffic",
            "details": {"from": 1},
        },
    }


def test_a_source_is_a_path_also_of_what_is_not_served() -> None:
    """Of what has no namespace, and of kinds of others."""
    assert source_of(Key(GroupKind("", "Node"), "", "n")) == "/apis//node/n"
    kind = GroupKind("serving.kserve.io", "ClusterServingRuntime")
    assert source_of(Key(kind, "", "n")) == "/apis/serving.kserve.io/v1alpha1/clusterservingruntimes/n"


@given(st.integers(1, 10**11), st.integers(1, 10**11))
def test_positions_sort_as_text(one: int, other: int) -> None:
    """As the extension ``sequence`` asks for."""
    first, second = (sequenced(Told(number, occurrence()))["sequence"] for number in (one, other))
    assert (first < second) == (one < other)
    assert int(first) == one


@given(st.floats(0, 4e9))
def test_attributes_are_as_the_specification_wants_them(time: float) -> None:
    """Names of lower case letters and digits, a time of RFC 3339."""
    event = sequenced(Told(1, occurrence(time=time, about=key(namespace="other"))))
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in event)
    assert abs(datetime.fromisoformat(event["time"]).timestamp() - time) < 0.001
