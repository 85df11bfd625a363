"""Requests that only one place may execute, and those of which a part of the answer is out."""

from __future__ import annotations

import pytest

from tidegate.batching.batch import Batch
from tidegate.batching.batcher import Batcher
from tidegate.batching.bucket import Pinned
from tidegate.batching.item import Item
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import ReplicaLost, SequenceLost, TidegateError


class Scene:
    def __init__(self) -> None:
        self.batcher: Batcher[str] = Batcher("m", BatchSettings(max_batch=1), str.encode)

    def offer(self, name: str, place: int | None, now: float = 0.0) -> Item[str]:
        item = Item(name, Pinned(place, "k"), 1, 4, 1000.0)
        self.batcher.offer(item, now)
        return item

    def take(self, place: int | None, now: float = 0.0) -> str | None:
        batch = self.batch(place, now)
        return None if batch is None else batch.parts[0].item.payload

    def batch(self, place: int | None, now: float = 0.0) -> Batch[str] | None:
        return self.batcher.take(now, idle=1, place=place)

    def failures(self) -> dict[str, TidegateError]:
        return {item.payload: error for item, error in self.batcher.failures()}


def test_a_pinned_request_waits_for_its_place() -> None:
    """And lets those behind it pass that may go elsewhere."""
    scene = Scene()
    scene.offer("for 1", 1)
    scene.offer("for any", None)
    scene.offer("for 2", 2)
    assert [scene.take(3), scene.take(3)] == ["for any", None]
    assert [scene.take(2), scene.take(1)] == ["for 2", "for 1"]
    assert scene.batcher.waiting == 0


def test_who_has_no_place_takes_all() -> None:
    """Where nothing is pinned nobody names one."""
    scene = Scene()
    scene.offer("for 1", 1)
    assert scene.take(None) == "for 1"


def test_a_place_is_deserted() -> None:
    """What waits for it is answered, and what may go elsewhere goes."""
    scene = Scene()
    for name, place in (("for 1", 1), ("for any", None), ("for 2", 2)):
        scene.offer(name, place)
    scene.batcher.desert(1, SequenceLost)
    told = scene.failures()
    assert list(told) == ["for 1"]
    assert isinstance(told["for 1"], SequenceLost)
    assert [scene.take(2), scene.take(2)] == ["for any", "for 2"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_begun_answer_is_not_repeated(begun: bool) -> None:
    """A replica that ends takes it with it; one that has not begun is executed again."""
    scene = Scene()
    scene.offer("a", None)
    batch = scene.batch(1)
    assert batch is not None
    if begun:
        assert scene.batcher.begin(batch)
    scene.batcher.lost(batch, 1.0)
    told = scene.failures()
    if begun:
        assert isinstance(told["a"], ReplicaLost)
        assert "a part of its answer has gone out" in told["a"].message
    else:
        assert told == {}
        assert scene.take(1) == "a"


def test_an_answer_that_nobody_waits_for_does_not_begin() -> None:
    """Its caller went away meanwhile."""
    scene = Scene()
    item = scene.offer("a", None)
    batch = scene.batch(1)
    assert batch is not None
    scene.batcher.cancel(item, 1.0)
    assert not scene.batcher.begin(batch)
