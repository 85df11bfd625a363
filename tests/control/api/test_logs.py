"""What replicas have written, at the admin port."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tidegate.identity.identity import Identity, Proof
from tidegate.replicas.log import Follower, Log, LogLine
from tidegate.resources.actuator import RevisionId
from tidegate.testing.api import Api, OpenDoor
from tidegate.testing.stores import in_loop

LOGS = "/tidegate/v1/namespaces/default/services/iris/logs"


class Logs:
    """Two revisions of iris that run."""

    def __init__(self) -> None:
        self.of = {RevisionId("default", "iris", number): Log() for number in (1, 2)}
        self.followers: list[Follower] = []
        self.followed = asyncio.Event()
        """Set once both are."""

    def say(self, number: int, text: str, at: float) -> None:
        log = self.of[RevisionId("default", "iris", number)]
        log.replica().write(f"{text}\n".encode(), at)

    def revisions(self, namespace: str, service: str) -> list[RevisionId]:
        return [revision for revision in self.of if revision[:2] == (namespace, service)]

    def logs(self, revision: RevisionId) -> tuple[LogLine, ...]:
        return self.of[revision].lines()

    def follow(self, revision: RevisionId) -> Follower:
        self.followers.append(self.of[revision].follow())
        if len(self.followers) == len(self.of):
            self.followed.set()
        return self.followers[-1]


@pytest.fixture
def logs() -> Logs:
    logs = Logs()
    logs.say(1, "loading", 1.0)
    logs.say(2, "loading, too", 2.0)
    logs.say(1, "ready", 3.0)
    return logs


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("", ["loading", "loading, too", "ready"]),
        ("?revision=1", ["loading", "ready"]),
        ("?tail=1", ["ready"]),
        ("?tail=0", []),
        ("?tail=2&revision=2", ["loading, too"]),
    ],
)
def test_lines_come_in_the_order_of_their_times(logs: Logs, query: str, lines: list[str]) -> None:
    """Of all revisions that run, or of one; the last of them."""

    @in_loop
    async def run() -> None:
        async with Api.open(logs=logs) as api:
            answer = await api.ask("GET", LOGS + query)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
            assert [msgspec.json.decode(line)["line"] for line in answer.text.splitlines()] == lines

    run()


@in_loop
async def test_a_line_tells_whose_it_is() -> None:
    """Time, revision, and which replica of it."""
    logs = Logs()
    logs.say(2, "x", 1.5)
    async with Api.open(logs=logs) as api:
        answer = await api.ask("GET", LOGS)
        assert answer.json() == {"time": 1.5, "revision": 2, "replica": 1, "line": "x"}


def test_who_follows_gets_what_comes(logs: Logs) -> None:
    """After what is kept, of each revision, until all of them are gone."""

    @in_loop
    async def run() -> None:
        async with Api.open(logs=logs) as api:
            asking = asyncio.create_task(api.ask("GET", f"{LOGS}?follow=true&tail=1"))
            await logs.followed.wait()
            logs.say(2, "second", 4.0)
            logs.say(1, "first", 5.0)
            for log in logs.of.values():
                log.close()
            answer = await asking
            lines = [msgspec.json.decode(line)["line"] for line in answer.text.splitlines()]
            assert lines[0] == "ready"
            assert sorted(lines[1:]) == ["first", "second"]

    run()


def test_an_api_that_ends_ends_who_follows(logs: Logs) -> None:
    """As a watch."""

    @in_loop
    async def run() -> None:
        async with Api.open(logs=logs) as api:
            asking = asyncio.create_task(api.ask("GET", f"{LOGS}?follow=true"))
            await logs.followed.wait()
            api.app.close()
            answer = await asking
            assert len(answer.text.splitlines()) == 3
            for follower in logs.followers:
                with pytest.raises(StopAsyncIteration):
                    await anext(follower)

    run()


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        (LOGS.replace("iris", "rose"), 404, "no revision of service 'default/rose' runs, and has a log"),
        (f"{LOGS}?revision=3", 404, "no revision 3 of service 'default/iris' runs, and has a log"),
        (f"{LOGS}?tail=-1", 400, "the parameter 'tail' is '-1', expected a whole number up to 1000000"),
        (f"{LOGS}?revision=٣", 400, "the parameter 'revision' is '٣', expected a whole number up to 1000000"),
        (f"{LOGS}?follow=yes", 400, "the parameter 'follow' is 'yes', expected true or false"),
    ],
)
def test_what_cannot_be_shown_is_told(logs: Logs, path: str, status: int, message: str) -> None:
    """As a Status, like every error of the API."""

    @in_loop
    async def run() -> None:
        async with Api.open(logs=logs) as api:
            answer = await api.ask("GET", path)
            assert (answer.status_code, answer.json()["message"]) == (status, message)

    run()


@in_loop
async def test_logs_take_the_role_to_look() -> None:
    """They may hold what requests hold."""
    async with Api.open(logs=Logs(), door=OpenDoor(Identity("ann", Proof.KEY))) as api:
        answer = await api.ask("GET", LOGS)
        assert answer.status_code == 403
        assert "takes the role view" in answer.json()["message"]
