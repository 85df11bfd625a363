"""How far a stream may be ahead of its reader, with the model in one thread and the reader in another."""

from __future__ import annotations

import threading

import pytest

from tidegate.runtimes.flow import Flow
from tidegate.runtimes.frames import Window


def entering(flow: Flow, number: int, nbytes: int) -> tuple[threading.Thread, list[bool]]:
    """Ask for room in a thread of its own; what it was told is in the list once the thread is over."""
    told: list[bool] = []
    thread = threading.Thread(target=lambda: told.append(flow.enter(number, nbytes)))
    thread.start()
    return thread, told


def test_there_is_room_within_the_window() -> None:
    """As many responses and bytes as it says, and one of any size where nothing is unread."""
    flow = Flow(Window(2, 100))
    assert flow.enter(0, 60)
    assert flow.enter(1, 40)
    flow.acknowledge(0)
    flow.acknowledge(1)
    assert flow.enter(2, 1000)
    assert repr(flow) == "<Flow open, 1 responses, 1000 bytes unread>"


@pytest.mark.parametrize(
    ("window", "nbytes"),
    [pytest.param(Window(1, 100), 1, id="responses"), pytest.param(Window(9, 100), 60, id="bytes")],
)
def test_without_room_the_model_waits(window: Window, nbytes: int) -> None:
    """Until a response is read; reading one that nobody knows makes none."""
    flow = Flow(window)
    assert flow.enter(0, 60)
    thread, told = entering(flow, 1, nbytes)
    flow.acknowledge(7)
    assert told == []
    flow.acknowledge(0)
    thread.join(60)
    assert told == [True]


def test_who_waits_is_told_of_the_end() -> None:
    """A closed flow has room for nothing."""
    flow = Flow(Window(1, 100))
    assert flow.enter(0, 1)
    thread, told = entering(flow, 1, 1)
    flow.close()
    thread.join(60)
    assert told == [False]
    assert not flow.enter(2, 1)
