"""What people are told of services, where that is more than what happened."""

from __future__ import annotations

from tidegate.app.events import Event, Loaded, LoadFailed
from tidegate.app.news import News
from tidegate.control.services.turns import Name
from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady
from tidegate.protocol.messages import ModelMetadata
from tidegate.resources.actuator import Resolved, RevisionId, Workload

NAME = Name("team", "iris")
METADATA = ModelMetadata("iris", "fake", (), ())
LATE = ModelNotReady("iris", "it is loading")


def workload(version: str = "") -> Workload:
    return Workload(RevisionId(*NAME, 7), {}, Resolved("m", "", version))


def test_a_service_is_called_as_callers_and_metrics_call_it() -> None:
    """With its namespace, and by its model version; by the number of its revision where the model has none."""
    told: list[Event] = []
    news = News(told.append, lambda *name: name == NAME)
    news.loaded(workload(), 1.5, METADATA)
    news.failed(workload("3"), ModelLoadFailed("it is rotten"))
    news.unresolved(NAME, ModelLoadFailed("it is not there"))
    assert told == [
        Loaded("team/iris", "7", 1.5, METADATA),
        LoadFailed("team/iris", "3", "it is rotten", serving=True),
        LoadFailed("team/iris", "", "it is not there", serving=True),
    ]


def test_what_is_late_is_told_once() -> None:
    """By whoever notices it first; that it cannot be loaded at all is something else, and so is another time."""
    told: list[Event] = []
    news = News(told.append, lambda *name: False)
    news.late(NAME, LATE)
    news.failed(workload(), LATE)
    assert len(told) == 1
    news.failed(workload(), ModelLoadFailed("it is rotten"))
    assert len(told) == 2
    news.loaded(workload(), 1.0, METADATA)
    news.failed(workload(), LATE)
    news.late(NAME, LATE)
    assert len(told) == 4


def test_a_service_that_is_made_anew_is_told_of_anew() -> None:
    """What was said of another one of its name is forgotten with that."""
    told: list[Event] = []
    news = News(told.append, lambda *name: False)
    news.late(NAME, LATE)
    news.forget(NAME)
    news.late(NAME, LATE)
    assert len(told) == 2


def test_at_the_end_nothing_is_told() -> None:
    """All are gone then."""
    told: list[Event] = []
    news = News(told.append, lambda *name: False)
    news.close()
    news.unloaded(workload())
    assert told == []
