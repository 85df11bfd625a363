"""Where a server is, from its URL."""

from __future__ import annotations

import pytest

from tidegate.client import AsyncClient, Client
from tidegate.client.address import parse_address
from tidegate.protocol.errors import InvalidRequest


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://models.example/team/a/", "https://models.example/team/a"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("grpc://127.0.0.1:8081", "127.0.0.1:8081"),
        ("grpcs://[::1]:443", "[::1]:443"),
    ],
)
def test_an_address_is_shown_as_it_was_given(url: str, shown: str) -> None:
    """gRPC's as HOST:PORT."""
    assert str(parse_address(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1", "127.0.0.1:8080", "http://", "http://[::1", "http://h:port", "http://h:99999",
        "grpc://h", "grpc://h:1/path", "grpc://http://h:1", "http://h?x=1", "http://user:secret@h", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """By both clients, when they are made."""
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidRequest, match=r"expected http://HOST:PORT"):
            kind(url)
