"""What a status says, looked at by itself: KServe's fields, conditions and their times."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.control.services import conditions
from tidegate.control.services.book import Book, TrackBook
from tidegate.control.services.conditions import FALSE, TRUE, UNKNOWN, Condition
from tidegate.control.services.not_yet import not_yet
from tidegate.control.services.picture import Picture
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.status import refused, status_of
from tidegate.control.services.wish import wish_of
from tidegate.resources.actuator import Phase, Standing
from tidegate.resources.document import Document
from tidegate.resources.revision import STABLE
from tidegate.resources.traffic import Share
from tidegate.testing.services import EPOCH, model_service

SETTINGS = ServiceSettings(base="http://gateway")
READY = Standing(Phase.READY, 1, 1)
STARTING = Standing(Phase.STARTING, 0, 1)
FAILED = Standing(Phase.FAILED, 0, 2, "it is no model")


def service(**predictor: Any) -> Document:
    document = model_service("a", **predictor)
    document["metadata"] |= {"generation": 3, "uid": "u"}
    return document


def picture(
    book: Book | None = None, standings: dict[int, Standing] | None = None, newest: int = 2, **more: Any
) -> Picture:
    """By default revision 2 has 10 per cent, and revision 1 the rest."""
    split = Book(
        last=2,
        tracks={STABLE: TrackBook("r", 2, 2)},
        rolledout=1,
        shares=(Share(1, 90), Share(2, 10)),
    )
    document = more.pop("service", None) or service(canaryTrafficPercent=10)
    told: dict[str, Any] = {
        "service": document,
        "wish": wish_of(document),
        "book": book or split,
        "newest": {STABLE: newest},
        "revisions": {},
        "standings": standings if standings is not None else {1: READY, 2: READY},
        "replicas": {1: 1, 2: 1},
        "failures": {},
        "now": EPOCH,
    }
    return Picture(**(told | more))


def told(seen: Picture) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status_of(seen, SETTINGS)["conditions"]}


def test_the_predictor_is_told_as_kserve_tells_it() -> None:
    """Names of revisions, shares with their tags, and where to ask."""
    status = status_of(picture(), SETTINGS)
    url = "http://gateway/serving/default/iris"
    assert status["components"]["predictor"] == {
        "latestCreatedRevision": "iris-00002",
        "latestReadyRevision": "iris-00002",
        "latestRolledoutRevision": "iris-00001",
        "traffic": [
            {"revisionName": "iris-00001", "percent": 90, "latestRevision": False, "tag": "prev"},
            {"revisionName": "iris-00002", "percent": 10, "latestRevision": True, "tag": "latest"},
        ],
        "url": url,
        "restUrl": f"{url}/v2/models/iris",
        "address": {"url": url},
    }
    assert (status["url"], status["address"]) == (url, {"url": url})
    assert (status["observedGeneration"], status["replicas"]) == (3, 2)
    assert status["selector"] == "serving.kserve.io/inferenceservice=iris"


def test_what_is_held_back_is_told_with_0() -> None:
    """As in KServe, so that its column shows it."""
    held = msgspec.structs.replace(picture().book, shares=(Share(1, 100),))
    traffic = status_of(picture(held), SETTINGS)["components"]["predictor"]["traffic"]
    assert [(each["percent"], each["tag"]) for each in traffic] == [(100, "prev"), (0, "latest")]


@pytest.mark.parametrize(
    ("standings", "newest", "state"),
    [
        ({1: READY, 2: READY}, 2, ("UpToDate", "Loaded", "Loaded")),
        ({1: READY, 2: STARTING}, 2, ("InProgress", "Loaded", "Loading")),
        ({1: READY, 2: FAILED}, 2, ("BlockedByFailedLoad", "Loaded", "FailedToLoad")),
        ({1: READY}, 0, ("InProgress", "Loaded", "Pending")),
        ({1: FAILED, 2: READY}, 2, ("UpToDate", "FailedToLoad", "Loaded")),
    ],
)
def test_the_model_is_told_in_kserves_words(
    standings: dict[int, Standing], newest: int, state: tuple[str, str, str]
) -> None:
    """What becomes of it, what answers now, and what is to answer."""
    model = status_of(picture(standings=standings, newest=newest), SETTINGS)["modelStatus"]
    states = model["states"]
    assert (model["transitionStatus"], states["activeModelState"], states["targetModelState"]) == state


def test_copies_of_what_failed_are_counted() -> None:
    """Of those that it is to have."""
    seen = picture(standings={1: READY, 2: FAILED}, replicas={1: 2, 2: 2})
    assert status_of(seen, SETTINGS)["modelStatus"]["copies"] == {"failedCopies": 2, "totalCopies": 2}


@pytest.mark.parametrize(
    ("standings", "newest", "ready", "latest"),
    [
        ({1: READY, 2: READY}, 2, TRUE, TRUE),
        ({1: READY, 2: STARTING}, 2, TRUE, UNKNOWN),
        ({1: READY, 2: FAILED}, 2, TRUE, FALSE),
        ({1: READY}, 0, TRUE, UNKNOWN),
        ({1: FAILED, 2: STARTING}, 2, FALSE, UNKNOWN),
        ({1: STARTING, 2: STARTING}, 2, UNKNOWN, UNKNOWN),
        ({}, 2, UNKNOWN, UNKNOWN),
    ],
)
def test_ready_is_whether_it_answers(standings: dict[int, Standing], newest: int, ready: str, latest: str) -> None:
    """Whether the newest revision does is another condition."""
    conditions = told(picture(standings=standings, newest=newest))
    assert (conditions["Ready"], conditions["PredictorReady"]) == (ready, ready)
    assert conditions["LatestDeploymentReady"] == latest


def test_a_failure_has_the_time_of_the_first() -> None:
    """Told again it changes nothing, so that no status is written for it; another one is another failure."""
    failed = {STABLE: Resolution("r", failure="'a' is not there", kind="ModelLoadFailed")}
    first = status_of(picture(newest=0, failures=failed), SETTINGS)
    later = service(canaryTrafficPercent=10) | {"status": first}
    seen = picture(service=later, newest=0, failures=failed, now=EPOCH + 60)
    assert status_of(seen, SETTINGS) == first
    other = {STABLE: Resolution("r", failure="'a' is a directory", kind="ModelLoadFailed")}
    again = status_of(msgspec.structs.replace(seen, failures=other), SETTINGS)
    assert first["modelStatus"]["lastFailureInfo"]["time"] == "2027-01-15T08:00:00Z"
    assert again["modelStatus"]["lastFailureInfo"]["time"] == "2027-01-15T08:01:00Z"


def test_a_condition_has_the_time_of_its_last_change() -> None:
    """Of its status, not of its words."""
    before = conditions.documents([Condition("A", TRUE), Condition("B", FALSE, "X", "x")], [], "1")
    after = conditions.documents([Condition("B", FALSE, "Y", "y"), Condition("A", UNKNOWN)], before, "2")
    assert after == [
        {"type": "A", "status": "Unknown", "lastTransitionTime": "2"},
        {"type": "B", "status": "False", "reason": "Y", "message": "y", "lastTransitionTime": "1"},
    ]


def test_a_refused_service_keeps_what_was_said() -> None:
    """All but whether it is ready, and why not."""
    before = status_of(picture(), SETTINGS)
    after = refused(service() | {"status": before}, "InvalidSpec", "x" * 5000, EPOCH)
    assert after["components"] == before["components"]
    assert after["bookkeeping"] == before["bookkeeping"]
    assert after["modelStatus"]["transitionStatus"] == "InvalidSpec"
    by_name = {each["type"]: each for each in after["conditions"]}
    assert [each["type"] for each in after["conditions"]] == sorted(by_name)
    assert (by_name["Ready"]["status"], by_name["IngressReady"]["status"]) == (FALSE, TRUE)
    assert len(by_name["Ready"]["message"]) == 1024


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"predictor": {}}, []),
        ({"predictor": {}, "rollout": {"strategy": "immediate", "historyLimit": 2}}, []),
        ({"predictor": {}, "rollout": {"strategy": "canary", "analysis": {}}}, []),
        ({"predictor": {}, "notify": [{}], "slo": {}}, ["slo"]),
        ({"predictor": {"logger": {}}}, ["predictor.logger"]),
        (
            {"predictor": {"timeout": 5, "model": {"runtimeVersion": "1"}}},
            ["predictor.timeout", "predictor.model.runtimeVersion"],
        ),
        ({"predictor": {"batcher": {"priorities": {"levels": 2}}}}, ["predictor.batcher.priorities.levels"]),
        ({"predictor": {"minReplicas": 0}}, []),
        ({"predictor": {"minReplicas": 3, "maxReplicas": 3}}, []),
        ({"predictor": {"minReplicas": 3, "maxReplicas": 4}}, []),
        ({"predictor": {"maxReplicas": 1}}, []),
        ({"predictor": {"scalePolicy": {"name": "fixed"}}}, []),
        ({"predictor": {"scalePolicy": {"name": "kpa"}}}, []),
        ({"predictor": {"replicas": 2, "minReplicas": 0, "maxReplicas": 9, "scalePolicy": {}}}, []),
    ],
)
def test_what_waits_for_a_later_version(spec: Document, fields: list[str]) -> None:
    """Each field by its path, and only where it would make a difference."""
    assert [sentence.split(" is not honoured yet: ")[0] for sentence in not_yet(spec)] == [f"spec.{f}" for f in fields]


@pytest.mark.parametrize(
    "field", ["retry", "max_retry", "at_once", "history", "downloads_at_once", "job_interval", "jobs_kept_for"]
)
def test_settings_leave_something(field: str) -> None:
    """A bound of nothing is refused."""
    with pytest.raises(ValueError, match=rf"^{field} is 0(\.0)?, expected a number above 0$"):
        msgspec.convert({field: 0}, ServiceSettings)
    with pytest.raises(ValueError, match=r"^keep_previous is -1, expected at least 0$"):
        ServiceSettings(keep_previous=-1.0)
