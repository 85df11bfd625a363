"""One gRPC connection to the null server: as much of HTTP/2 as it takes to give every call the same answer.

Headers are read on the first call of a connection only, and tell what all its calls are answered with: a client asks
for the signature on a connection of its own. What is sent is not held against the peer's window, which a client that
reads its answers opens again long before these small ones fill it.
"""

from __future__ import annotations

import asyncio
from typing import cast

from hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY = 0x1, 0x4, 0x1, 0x8, 0x20
INITIAL_WINDOW_SIZE = 4
WINDOW = 2**31 - 1
DEFAULT_WINDOW = 2**16 - 1
REOPEN = 2**30
"""Bytes received after which the connection's window is opened again."""

# Literals without indexing, so that they mean the same on every stream.
OPENING = b"\x88" + b"\x0f\x10\x10application/grpc"  # :status 200 (static 8), content-type (static 31)
TRAILERS = b"\x00\x0bgrpc-status\x010"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame, RFC 9113 section 4.1."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


GREETING = frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2) + WINDOW.to_bytes(4)) + frame(
    WINDOW_UPDATE, 0, 0, (WINDOW - DEFAULT_WINDOW).to_bytes(4)
)


class NullGrpc(asyncio.Protocol):
    """Answers ModelMetadata with the message ``metadata``, every other method with ``answer``."""

    def __init__(self, metadata: bytes, answer: bytes) -> None:
        self._metadata = metadata
        self._message = answer
        self._path: bytes | None = None
        self._left = bytearray()
        self._greeted = False
        self._received = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._left += data
        if not self._greeted:
            if len(self._left) < len(PREFACE):
                return
            del self._left[: len(PREFACE)]
            self._greeted = True
        said = bytearray()
        at = 0
        while len(self._left) - at >= 9:
            end = at + 9 + int.from_bytes(self._left[at : at + 3])
            if end > len(self._left):
                break
            stream = int.from_bytes(self._left[at + 5 : at + 9])
            said += self._reply(self._left[at + 3], self._left[at + 4], stream, bytes(self._left[at + 9 : end]))
            at = end
        del self._left[:at]
        if said:
            self._transport.write(bytes(said))

    def _reply(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        if kind == DATA:
            said = self._window(len(payload))
            return said + self._answer(stream) if flags & END_STREAM else said
        if kind == HEADERS:
            if self._path is None:
                self._path = _path(flags, payload)
            return self._answer(stream) if flags & END_STREAM else b""
        if kind == SETTINGS and not flags & ACK:
            return frame(SETTINGS, ACK, 0)
        if kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        return b""

    def _window(self, size: int) -> bytes:
        self._received += size
        if self._received < REOPEN:
            return b""
        grown, self._received = self._received, 0
        return frame(WINDOW_UPDATE, 0, 0, grown.to_bytes(4))

    def _answer(self, stream: int) -> bytes:
        message = self._metadata if (self._path or b"").endswith(b"/ModelMetadata") else self._message
        return (
            frame(HEADERS, END_HEADERS, stream, OPENING)
            + frame(DATA, 0, stream, b"\x00" + len(message).to_bytes(4) + message)
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS)
        )


def _path(flags: int, payload: bytes) -> bytes:
    padding = payload[0] if flags & PADDED else 0
    start = (1 if flags & PADDED else 0) + (5 if flags & PRIORITY else 0)
    headers = Decoder().decode(payload[start : len(payload) - padding], raw=True)
    return next((bytes(value) for name, value in headers if name == b":path"), b"")
