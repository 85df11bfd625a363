"""POSTs through the guard: sent as they are, answered whatever the status, and silent about the path."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import httpx
import pytest

from tidegate.outgoing.fetch import DestinationRefused, FetchFailed
from tidegate.outgoing.sending import Answer, send
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.testing.clock import run_virtual

T = TypeVar("T")


def answered(answer: bytes, ask: Callable[[int], Awaitable[T]]) -> tuple[T, list[bytes]]:
    """What asking a server gives that has one answer to everything and then closes, and what it was asked."""

    async def main() -> tuple[T, list[bytes]]:
        heard: list[bytes] = []
        talks: list[asyncio.Task[None]] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.append(asyncio.current_task())  # type: ignore[arg-type]
            with suppress(asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                heard.append(head + await reader.readexactly(5))
                writer.write(answer)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            result = await ask(server.sockets[0].getsockname()[1])
            await asyncio.gather(*talks)
        return result, heard

    return asyncio.run(main())


def post(answer: bytes, **settings: float) -> tuple[Answer, list[bytes]]:
    async def ask(port: int) -> Answer:
        allowed = OutgoingSettings(
            origins=(f"http://127.0.0.1:{port}",),
            networks=("127.0.0.0/8",),
            **settings,  # type: ignore[arg-type]
        )
        return await send(f"http://127.0.0.1:{port}/secret/path", b"hello", {"x-own": "y"}, allowed)

    return answered(answer, ask)


@pytest.mark.parametrize("status", [200, 302, 404, 429, 503])
def test_any_status_is_an_answer(status: int) -> None:
    """With its headers and its body; a redirect leads nowhere."""
    reply = f"HTTP/1.1 {status} X\r\nRetry-After: 3\r\nLocation: http://169.254.169.254/\r\ncontent-length: 2\r\n\r\nok"
    answer, heard = post(reply.encode())
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (status, b"ok", "3")
    [request] = heard
    assert request.startswith(b"POST /secret/path HTTP/1.1\r\n")
    assert b"x-own: y\r\n" in request.lower()
    assert request.endswith(b"hello")


def test_what_was_answered_is_done_though_its_body_breaks_off() -> None:
    """To ask again would do it twice."""
    answer, _ = post(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nx")
    assert (answer.status, answer.body) == (200, b"")


def test_a_long_body_is_cut() -> None:
    """Nobody reads it to its end."""
    answer, _ = post(b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n" + b"x" * 30, max_bytes=10)
    assert answer.body == b"x" * 10


def test_who_does_not_answer_is_named_without_the_path() -> None:
    """Which is the secret, for some."""
    with pytest.raises(FetchFailed, match=r"^http://127\.0\.0\.1:\d+ cannot be asked: ") as caught:
        post(b"")
    assert "secret" not in caught.value.message


def test_words_of_the_url_are_in_no_error() -> None:
    """They are all that keeps others from posting to a channel's webhook."""

    async def ask(port: int) -> None:
        allowed = OutgoingSettings(origins=(f"http://127.0.0.1:{port}",), networks=("127.0.0.0/8",))
        with pytest.raises(FetchFailed, match=rf"^http://127\.0\.0\.1:{port} ") as failed:
            await send(f"http://user:word@127.0.0.1:{port}/secret?token", b"hello", {}, allowed)
        assert not re.search("secret|token|word", str(failed.value))

    answered(b"nonsense\r\n\r\n", ask)


class Silent(httpx.AsyncBaseTransport):
    """Never answers; with a status, never to its end."""

    def __init__(self, status: int = 0) -> None:
        self._status = status

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._status:
            await asyncio.Event().wait()
        return httpx.Response(self._status, content=self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()


async def timed(transport: Silent) -> Answer:
    try:
        return await send("https://h/secret", b"", {}, OutgoingSettings(timeout=10.0), transport=transport)
    finally:
        assert asyncio.get_running_loop().time() == pytest.approx(10.0)


def test_time_is_bounded() -> None:
    """A status that came in time is the answer all the same: what was asked is done."""
    with pytest.raises(FetchFailed, match=r"^https://h did not answer within 10 s$"):
        run_virtual(timed(Silent()))
    answer = run_virtual(timed(Silent(202)))
    assert (answer.status, answer.body) == (202, b"")


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://h/secret", "http://h:x/secret", "http://[secret", "http://h\x00/secret"]
)
def test_what_is_no_url_is_told_without_it(url: str) -> None:
    """It came out of a secret, perhaps."""
    with pytest.raises((FetchFailed, DestinationRefused)) as caught:
        asyncio.run(send(url, b"", {}, OutgoingSettings(origins=("http://h",))))
    assert "secret" not in str(caught.value)


def test_the_guard_holds_here_too() -> None:
    """An origin that is not allowed, and an address that is private."""

    async def ask(port: int) -> None:
        with pytest.raises(DestinationRefused, match="is not among the allowed origins"):
            await send(f"http://127.0.0.1:{port}/", b"hello", {}, OutgoingSettings())
        with pytest.raises(DestinationRefused, match="which is neither public nor allowed"):
            await send(
                f"http://127.0.0.1:{port}/", b"hello", {}, OutgoingSettings(origins=(f"http://127.0.0.1:{port}",))
            )

    assert answered(b"", ask)[1] == []
