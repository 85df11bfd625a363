"""A server under load is a child process that is up when it answers, and gone afterwards."""

from __future__ import annotations

import json
import sys

import pytest

from tidegate.loadtests.server import NotServing, Server, first_output, free_ports, null

ANSWER = {"outputs": [{"name": "y", "data": [[1, 2], [3]]}, {"name": "z", "data": [4]}]}


def test_the_first_output_is_flat() -> None:
    """v2 lets data be nested or not; servers differ in it."""
    assert first_output(json.dumps(ANSWER).encode()) == [1, 2, 3]


def test_free_ports_differ() -> None:
    """A server that needs three gets three."""
    assert len(set(free_ports(3))) == 3


@pytest.mark.e2e
def test_it_answers_and_ends() -> None:
    """The first answer is the server's, and after it nothing that was started runs."""
    with null() as server:
        server.ready()
        answer = server.first_answer(b"{}")
        processes = server.processes()
    assert first_output(answer) == [0]
    assert len(processes) == 1
    assert not processes[0].is_running()


@pytest.mark.e2e
def test_one_that_ends_tells_why() -> None:
    """What it wrote is in the error, which comes at once."""
    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with Server("broken", command, free_ports(1)[0], "m") as server, pytest.raises(NotServing, match="no model"):
        server.first_answer(b"{}")
