"""Which revision an undo goes back to, and what it changes. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.failure import Failure
from tidegate.cli.history import Change, changes, chosen, number_of, of_service, settled

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("xyz", min_size=1, max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("xyz", min_size=1, max_size=1), JSON, max_size=3)


def service(**predictor: Any) -> dict[str, Any]:
    return {"kind": "ModelService", "metadata": {"name": "iris"}, "status": {"components": {"predictor": predictor}}}


def revision(number: int, track: str = "", kind: str = "ModelService") -> dict[str, Any]:
    spec = {"service": {"kind": kind, "name": "iris"}, "number": number, "track": track}
    return {"metadata": {"name": f"iris-{number:05}"}, "spec": spec}


@pytest.mark.parametrize(
    ("status", "number"),
    [
        pytest.param(
            {"latestCreatedRevision": "iris-00003", "latestRolledoutRevision": "iris-00003"}, 2, id="the-one-before"
        ),
        pytest.param(
            {
                "latestCreatedRevision": "iris-00003",
                "latestRolledoutRevision": "iris-00003",
                "previousRolledoutRevision": "iris-00001",
            },
            1,
            id="the-one-rolled-out-before",
        ),
        pytest.param(
            {"latestCreatedRevision": "iris-00003", "latestRolledoutRevision": "iris-00002"}, 2, id="out-of-a-canary"
        ),
        pytest.param(
            {
                "latestCreatedRevision": "iris-00001",
                "latestRolledoutRevision": "iris-00001",
                "previousRolledoutRevision": "iris-00002",
            },
            2,
            id="back-again",
        ),
        pytest.param({"latestRolledoutRevision": "iris-00009"}, 2, id="one-that-is-not-kept"),
        pytest.param({}, 2, id="no-status"),
    ],
)
def test_an_undo_without_a_number_goes_to_what_was_before(status: dict[str, str], number: int) -> None:
    """Before what the spec is now, which need not be the highest number; a canary's revisions are not the service's."""
    revisions = [revision(1), revision(2), revision(3), revision(4, "canary-1")]
    assert number_of(chosen(service(**status), revisions, None)) == number


def test_one_that_is_not_there_is_told_with_those_that_are() -> None:
    """Or that there is none before."""
    with pytest.raises(Failure, match="'iris' has no revision 7 any more; there are 1, 2"):
        chosen(service(), [revision(1), revision(2)], 7)
    with pytest.raises(Failure, match="'iris' has no earlier revision"):
        chosen(service(), [revision(1)], None)


def test_revisions_of_another_kind_s_service_are_another_s() -> None:
    """Two kinds may have had the same name, one after the other."""
    mixed = [revision(2), revision(1), revision(3, kind="InferenceService")]
    assert [number_of(each) for each in of_service(mixed, service())] == [1, 2]


def applied(document: Any, told: list[Change]) -> Any:
    """A document after its changes."""
    for path, _, after in told:
        *steps, last = path.split(".")
        place = document
        for step in steps:
            place = place[step]
        if after is None:
            place.pop(last, None)
        else:
            place[last] = after
    return document


def bare(document: Any) -> Any:
    """Without what is null, which in a manifest is not there."""
    if isinstance(document, dict):
        return {name: bare(value) for name, value in document.items() if value is not None}
    return document


@given(OBJECTS, OBJECTS)
def test_the_changes_lead_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """All of them, and none where they are the same."""
    before, after = bare(before), bare(after)
    told = list(changes(before, after))
    assert (told == []) is (repr(before) == repr(after) or before == after)
    assert applied(before, told) == after


def test_a_rollout_is_done_when_the_newest_is_ready() -> None:
    """As far as the server has looked at it; one that cannot be loaded ends the waiting."""
    latest = {"type": "LatestDeploymentReady", "status": "True"}
    document = service(traffic=[{"revisionName": "iris-00002", "percent": 100}, {"revisionName": "x", "percent": 0}])
    assert settled(document).told == "its revision is being made"
    document["status"]["conditions"] = [latest]
    assert settled(document) == (True, "100 % to iris-00002")
    document["metadata"]["generation"] = 2
    assert not settled(document).met
    document["status"] |= {"observedGeneration": 2, "conditions": [{**latest, "status": "False", "message": "no file"}]}
    with pytest.raises(Failure, match="'iris' is not rolled out: no file"):
        settled(document)
