"""What a caller shows of himself: a token in a header or in metadata, a certificate of the connection. Pure.

Over HTTP and gRPC alike it is ``authorization: Bearer …`` or ``x-api-key: …``. Whatever is shown in another way, twice,
or is too long, is a token that nobody recognises, so that its answer is the one of every wrong token.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

MAX_TOKEN = 8192
"""Bytes of a token; an issuer's with many groups in it may have half of it."""

_AUTHORIZATION = b"authorization"
_API_KEY = b"x-api-key"
_BEARER = b"bearer "

UNREADABLE = "?"
"""A token that nobody has."""


class Certificate(msgspec.Struct, frozen=True):
    """The names in a client certificate that an authority of ours has signed: URIs, DNS names and e-mail addresses.

    Each is ``KIND:NAME`` (``URI:spiffe://example/ns/a``), so that one kind cannot pass for another.
    """

    names: tuple[str, ...]


class Credentials(msgspec.Struct, frozen=True):
    """``token`` is "" where none is shown."""

    token: str = ""
    certificate: Certificate | None = None


def read_credentials(headers: Iterable[tuple[bytes, bytes]], certificate: Certificate | None = None) -> Credentials:
    """The credentials in headers with lower-case names, and of the connection that they came by."""
    token = ""
    for name, value in headers:
        if name == _AUTHORIZATION:
            shown = _bearer(value)
        elif name == _API_KEY:
            shown = _text(value)
        else:
            continue
        token = UNREADABLE if token else shown
    return Credentials(token, certificate)


def read_certificate(peer: dict[str, object] | None) -> Certificate | None:
    """The names of a certificate in the form of ``ssl.SSLSocket.getpeercert``; None without one.

    Its subject's common name is not looked at: what may stand there is not bounded by authorities' name constraints.
    """
    if not peer:
        return None
    pairs = peer.get("subjectAltName", ())
    kinds = {"URI", "DNS", "email"}
    names = (
        f"{pair[0]}:{pair[1]}"
        for pair in (pairs if isinstance(pairs, tuple) else ())
        if isinstance(pair, tuple) and len(pair) == 2 and pair[0] in kinds
    )
    return Certificate(tuple(names))


def _bearer(value: bytes) -> str:
    return _text(value[len(_BEARER) :]) if value[: len(_BEARER)].lower() == _BEARER else UNREADABLE


def _text(value: bytes) -> str:
    value = value.strip(b" \t")
    return value.decode() if value and len(value) <= MAX_TOKEN and value.isascii() else UNREADABLE
