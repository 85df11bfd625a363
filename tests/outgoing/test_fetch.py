"""Requests through the guard, against servers on this machine, whose addresses are closed until they are allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tidegate.outgoing.fetch import DestinationRefused, FetchFailed, GuardedTransport, fetch
from tidegate.outgoing.settings import OutgoingSettings, allows, origin_of

T = TypeVar("T")

LOOPBACK = ("127.0.0.0/8", "::1/128")


def answered(answer: bytes, ask: Callable[[int], Awaitable[T]]) -> tuple[T, list[bytes]]:
    """What asking a server gives that has one answer to everything, and what it was asked."""

    async def main() -> tuple[T, list[bytes]]:
        heard: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            return await ask(server.sockets[0].getsockname()[1]), heard

    return asyncio.run(main())


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def test_an_allowed_host_is_asked_by_its_name_at_the_address_that_was_looked_at() -> None:
    """The name is resolved once; the server still reads it in Host."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async def ask(port: int) -> bytes:
        settings = OutgoingSettings(origins=(f"http://keys.example:{port}",), networks=LOOPBACK)
        return await fetch(
            f"http://keys.example:{port}/a?b", settings, transport=GuardedTransport(settings, resolve=resolve)
        )

    body, heard = answered(OK, ask)
    assert (body, asked) == (b"ok", ["keys.example"])
    assert heard[0].startswith(b"GET /a?b HTTP/1.1\r\nhost: keys.example:") or b"\r\nHost: keys.example:" in heard[0]


def test_loopback_is_closed_unless_its_network_is_allowed() -> None:
    """An origin that is allowed by name alone may have come to lie at this machine."""

    async def ask(port: int) -> None:
        with pytest.raises(DestinationRefused, match=r"is at 127\.0\.0\.1, which is neither public nor allowed"):
            await fetch(f"http://127.0.0.1:{port}/", OutgoingSettings(origins=(f"http://127.0.0.1:{port}",)))

    assert answered(OK, ask)[1] == []


def test_one_closed_address_among_others_refuses_the_host() -> None:
    """Else the order of a resolver's answer would decide."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "169.254.169.254"]

    settings = OutgoingSettings(origins=("http://mixed.example",))
    with pytest.raises(DestinationRefused, match=r"169\.254\.169\.254"):
        asyncio.run(fetch("http://mixed.example/", settings, transport=GuardedTransport(settings, resolve=resolve)))


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/", "https://keys.example:444/", "http://keys.example/", "ftp://keys.example/",
        "https://keys.example.evil.example/", "https://keys.example@evil.example/", "file:///etc/passwd",
        "https://xkeys.example/",
    ],
)  # fmt: skip
def test_an_origin_that_is_not_allowed_is_refused_before_its_name_is_resolved(url: str) -> None:
    """Resolving is a request, too, and can tell somebody that there is one."""

    async def resolve(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    settings = OutgoingSettings(origins=("https://keys.example",))
    with pytest.raises((DestinationRefused, FetchFailed)):
        asyncio.run(fetch(url, settings, transport=GuardedTransport(settings, resolve=resolve)))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n" + b"x" * 30, "more than 20 bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\nx", "cannot be fetched"),
        (b"nonsense\r\n\r\n", "cannot be fetched"),
    ],
    ids=["redirect", "missing", "large", "cut", "nonsense"],
)  # fmt: skip
def test_what_is_no_usable_answer_is_an_error(answer: bytes, problem: str) -> None:
    """Redirects are not followed, and no answer is read beyond its bound."""

    async def ask(port: int) -> None:
        settings = OutgoingSettings(origins=(f"http://127.0.0.1:{port}",), networks=LOOPBACK, max_bytes=20)
        with pytest.raises(FetchFailed, match=problem):
            await fetch(f"http://127.0.0.1:{port}/", settings)

    answered(answer, ask)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names for itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    async def ask(port: int) -> bytes:
        settings = OutgoingSettings(origins=(f"http://127.0.0.1:{port}",), networks=LOOPBACK)
        return await fetch(f"http://127.0.0.1:{port}/", settings)

    assert answered(OK, ask)[0] == b"ok"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example", True), ("https://A.Example", True), ("https://x.b.example", True),
        ("https://b.example", False), ("https://xb.example", False), ("http://a.example", False),
        ("http://[::1]:80", True),
    ],
)  # fmt: skip
def test_origins_are_compared_by_scheme_host_and_port(url: str, allowed: bool) -> None:
    """A star stands for what is below a domain, and not for the domain itself."""
    settings = OutgoingSettings(origins=("https://a.example", "https://*.b.example", "http://[::1]"))
    scheme, _, rest = origin_of(url).partition("://")
    host, _, port = (
        rest.rpartition(":") if rest.rpartition(":")[2].isdigit() else (rest, "", "443" if scheme == "https" else "80")
    )
    assert allows(settings, scheme, host, int(port)) is allowed


@pytest.mark.parametrize(
    "origin", ["", "example.com", "https://*", "https://a/b", "ftp://a", "https://a:b", "https://u@a"]
)
def test_an_origin_has_one_form(origin: str) -> None:
    """Anything else is a mistake that is told at the start."""
    with pytest.raises(ValueError, match="origins has"):
        OutgoingSettings(origins=(origin,))


def test_a_network_has_one_form() -> None:
    """As above."""
    with pytest.raises(ValueError, match=r"networks has 'ten', expected one such as 10\.0\.0\.0/8"):
        OutgoingSettings(networks=("ten",))
