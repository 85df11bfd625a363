"""A small reply in one write, and a body that is read without a message, do what uvicorn's own ways would."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest
from starlette.types import Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tidegate.gateway.http.direct_body import body_at_once
from tidegate.gateway.http.direct_reply import BUFFERED, reply_at_once
from tidegate.gateway.http.infer_route import respond
from tidegate.gateway.http.replies import Reply, error_reply, json_reply
from tidegate.protocol.errors import ModelNotFound, Overloaded
from tidegate.testing.backends import identity_route
from tidegate.testing.requests import BODY, head
from tidegate.testing.served import served

FLAGS = (
    "response_started",
    "response_complete",
    "expected_content_length",
    "keep_alive",
    "waiting_for_100_continue",
    "disconnected",
    "more_body",
    "body",
)


class Written:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return False


class Exchange:
    """uvicorn's view of one request, and what became of it."""

    def __init__(self, method: str = "POST", *, body: bytes = BODY, more_body: bool = False, **more: Any) -> None:
        self.transport = Written()
        self.completed = 0
        transport = cast(asyncio.Transport, self.transport)
        values: dict[str, Any] = {"access_log": False, "keep_alive": True, "expect_100_continue": False, **more}
        self.cycle = RequestResponseCycle(
            scope=cast(Any, {"type": "http", "method": method}),
            transport=transport,
            flow=FlowControl(transport),
            logger=logging.getLogger(),
            access_logger=logging.getLogger(),
            default_headers=[],
            message_event=asyncio.Event(),
            on_response=self.complete,
            **values,
        )
        self.cycle.body += body
        self.cycle.more_body = more_body
        self.cycle.message_event.set()

    def complete(self) -> None:
        self.completed += 1

    @property
    def outcome(self) -> tuple[Any, ...]:
        flags = [getattr(self.cycle, name) for name in FLAGS]
        return b"".join(self.transport.writes), self.completed, self.cycle.message_event.is_set(), *flags


def disconnect(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True


def pause(cycle: RequestResponseCycle) -> None:
    cycle.flow.pause_writing()


def begin(cycle: RequestResponseCycle) -> None:
    cycle.response_started = True


def nothing(cycle: RequestResponseCycle) -> None:
    pass


@pytest.mark.parametrize("expect_100_continue", [False, True])
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(json_reply(b'{"a":1}'), id="result"),
        pytest.param(json_reply(b""), id="empty"),
        pytest.param(json_reply(b"x" * BUFFERED), id="largest"),
        pytest.param(Reply(200, (), b"x"), id="no-headers"),
        pytest.param(error_reply(ModelNotFound("m")), id="error"),
        pytest.param(error_reply(Overloaded("full", retry_after=1.0)), id="error-with-a-header"),
    ],
)
def test_the_same_bytes_and_the_same_state(reply: Reply, expect_100_continue: bool) -> None:
    """One write leaves the client and the connection with what uvicorn's own way leaves them with."""
    ours = Exchange(expect_100_continue=expect_100_continue)
    theirs = Exchange(expect_100_continue=expect_100_continue)
    assert reply_at_once(ours.cycle, reply)
    asyncio.run(respond(reply, cast(Send, theirs.cycle.send)))
    assert ours.outcome == theirs.outcome
    assert len(ours.transport.writes) == 1


@pytest.mark.parametrize(
    ("exchange", "spoil", "body"),
    [
        pytest.param({"method": "HEAD"}, nothing, b"", id="head"),
        pytest.param({"keep_alive": False}, nothing, b"", id="the-connection-ends"),
        pytest.param({"access_log": True}, nothing, b"", id="access-log"),
        pytest.param({}, disconnect, b"", id="the-caller-left"),
        pytest.param({}, pause, b"", id="a-slow-reader"),
        pytest.param({}, begin, b"", id="begun"),
        pytest.param({}, nothing, bytes(BUFFERED + 1), id="large"),
    ],
)
def test_whatever_is_unusual_is_left_to_uvicorn(
    exchange: dict[str, Any], spoil: Callable[[RequestResponseCycle], None], body: bytes
) -> None:
    """Nothing is written, and nothing of the request's state is touched."""
    left = Exchange(**exchange)
    spoil(left.cycle)
    before = left.outcome
    assert not reply_at_once(left.cycle, json_reply(body))
    assert left.outcome == before


def test_a_body_that_is_there_is_what_a_message_would_bring() -> None:
    """And the state is the same after either."""
    ours, theirs = Exchange(), Exchange()
    message = asyncio.run(theirs.cycle.receive())
    assert message == {"type": "http.request", "body": body_at_once(ours.cycle), "more_body": False}
    assert ours.outcome == theirs.outcome


@pytest.mark.parametrize(
    ("exchange", "spoil"),
    [
        pytest.param({"more_body": True}, nothing, id="not-all-of-it"),
        pytest.param({"expect_100_continue": True}, nothing, id="100-continue-is-expected"),
        pytest.param({}, disconnect, id="the-caller-left"),
    ],
)
def test_any_other_body_is_left_to_uvicorn(
    exchange: dict[str, Any], spoil: Callable[[RequestResponseCycle], None]
) -> None:
    """No byte of it is taken."""
    left = Exchange(**exchange)
    spoil(left.cycle)
    before = left.outcome
    assert body_at_once(left.cycle) is None
    assert left.outcome == before


@pytest.mark.parametrize("line", [b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue"])
def test_over_a_connection(line: bytes) -> None:
    """Whichever way a reply goes, the client reads the same, and two requests in one segment are answered in order."""
    request = head(b"Content-Length: %d" % len(BODY)) + BODY
    last = head(b"Content-Length: %d" % len(BODY), line) + BODY
    with served(identity_route("m")) as server, server.connect() as connection:
        connection.send(request + last)
        first = connection.reply()
        assert first.status == 200
        if line.startswith(b"Expect"):
            assert connection.reply().status == 100
        assert connection.reply().body == first.body
