"""gzip and deflate of whole bodies, with a bound on what comes out.

``deflate`` is the zlib container (RFC 9110, section 8.4.1.2); the raw stream that some clients send under that
name is read too. Inflating stops at the limit: a body is never larger in memory than it may be.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from tidegate.protocol.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType, shown
from tidegate.protocol.tensors import Buffer

LEVEL = 1
"""zlib's fastest. Tensors compress little more at higher levels, and several times slower."""

MAX_MEMBERS = 4096
"""gzip members of one body. Each costs a fresh inflater, so that a body of empty ones would cost minutes."""

_CHUNK = 1 << 16
"""Bytes inflated at a time: zlib copies what is left over at a member's end."""

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_WINDOW = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class _Machine(Protocol):
    def decompress(self, data: memoryview, max_length: int, /) -> bytes: ...


def inflate(body: Buffer, encoding: str, *, limit: int) -> bytes:
    """``body`` without its Content-Encoding, at most ``limit`` bytes. "" and "identity" are none.

    Raises:
        UnsupportedMediaType: an encoding other than gzip and deflate.
        PayloadTooLarge: there are more than ``limit`` bytes in it.
        InvalidRequest: it is corrupt, cut short, or followed by something else.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return bytes(body)
    window = _WINDOW.get(name)
    if window is None:
        raise UnsupportedMediaType(f"Content-Encoding '{shown(name)}' is not supported; send gzip, deflate or none")
    if window == _ZLIB and not _is_zlib(body):
        window = _RAW
    return _members(body, window, limit, name)


def deflate(body: Buffer, encoding: str) -> bytes:
    """``body`` in an encoding that ``choose_encoding`` named: "gzip" or "deflate"."""
    compressor = zlib.compressobj(LEVEL, wbits=_WINDOW[encoding])
    return compressor.compress(body) + compressor.flush()


def choose_encoding(accept_encoding: str) -> str | None:
    """The encoding of an answer to a request with this Accept-Encoding: "gzip", "deflate", or None for none.

    The one with the highest weight is taken; among equals gzip, then deflate, and none only where it weighs more.
    A weight that is no number counts as 0, so that a broken header leaves the answer as it is.
    """
    if not accept_encoding:
        return None
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        name, _, attributes = item.partition(";")
        weights[name.strip()] = _weight(attributes)
    other = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", other))
    chosen, best = max((("gzip", gzip), ("deflate", weights.get("deflate", other))), key=lambda pair: pair[1])
    # identity is acceptable even where it is not named, but then nobody asked for it.
    return chosen if best > 0 and best >= weights.get("identity", 0.0) else None


def _members(body: Buffer, window: int, limit: int, name: str) -> bytes:
    parts: list[bytes] = []
    room, rest = limit, memoryview(body).cast("B")
    for _ in range(MAX_MEMBERS):
        machine = zlib.decompressobj(wbits=window)
        while not machine.eof:
            if not rest:
                raise InvalidRequest(f"the body is not valid {name}: it ends too early")
            part = _some(machine, rest[:_CHUNK], room, limit, name)
            parts.append(part)
            room -= len(part)
            rest = rest[_CHUNK:]
        left = rest.nbytes + len(machine.unused_data)
        if not left:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        if window != _GZIP:
            raise InvalidRequest(f"the body is not valid {name}: {left} bytes follow its end")
        rest = memoryview(body).cast("B")[-left:]
    raise InvalidRequest(f"the body has more than {MAX_MEMBERS} gzip members")


def _some(machine: _Machine, chunk: memoryview, room: int, limit: int, name: str) -> bytes:
    try:
        # One byte more than allowed tells a body at the limit from one above it; 0 would mean no bound at all.
        part = machine.decompress(chunk, room + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not valid {name}: {error}") from error
    if len(part) > room:
        raise PayloadTooLarge(f"the body inflates to more than {limit} bytes, which is the limit")
    return part


def _is_zlib(body: Buffer) -> bool:
    """Whether the first two bytes are a zlib header (RFC 1950): method 8, and a multiple of 31."""
    head = bytes(memoryview(body).cast("B")[:2])
    return len(head) == 2 and head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0


def _weight(attributes: str) -> float:
    key, _, value = attributes.strip().partition("=")
    if not key:
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if key.strip() == "q" and 0.0 <= weight <= 1.0 else 0.0
