"""A request's body as it arrives: read within the limit, or thrown away so that the connection can be used again.

How long it may take is watched by the connection (``protocol``), which cancels the request with a refusal.
"""

from __future__ import annotations

import asyncio

import numpy as np
from starlette.types import Receive, Scope

from tidegate.gateway.budget import Budget
from tidegate.gateway.http.direct_body import BODY_AT_ONCE, RECEIVE_INTO, SMALLEST
from tidegate.gateway.http.request_head import RequestHead
from tidegate.protocol.compression import inflate
from tidegate.protocol.errors import PayloadTooLarge, RequestCancelled
from tidegate.protocol.limits import Limits
from tidegate.protocol.tensors import Buffer

DRAINED = 64 * 1024
"""Bytes of an unwanted body that are read so that the connection can be kept; beyond it a new one is cheaper."""

OFF_LOOP = 256 * 1024
"""Bytes from which (de)compression goes to a thread: at this size it takes some milliseconds, without the GIL."""


class RequestBody:
    """``arrived`` tells that no byte of it is left on the connection, ``held`` how many bytes a budget holds for it."""

    def __init__(self, head: RequestHead, scope: Scope, receive: Receive) -> None:
        self._head = head
        self._scope = scope
        self._receive = receive
        self.arrived = not head.has_body
        self.held = 0

    async def read(self, limit: int, budget: Budget) -> Buffer:
        """The whole body. It stays on the ``budget``, for the caller to give back.

        Raises:
            PayloadTooLarge: it announces more than ``limit`` bytes, or sends them.
            Overloaded: there is no room for it.
            RequestCancelled: the caller went away before its end.
        """
        announced = self._head.content_length
        if announced is not None and announced > limit:
            raise PayloadTooLarge(f"the body has {announced} bytes, the limit is {limit}")
        chunks: list[bytes] = []
        while True:
            chunk = await self._chunk()
            self.hold(len(chunk), budget)
            if self.held > limit:
                raise PayloadTooLarge(f"the body has more than {limit} bytes, which is the limit")
            if self.arrived and not chunks:
                return chunk
            if announced is not None and announced >= SMALLEST and not chunks and len(chunk) < announced:
                return await self._directly(chunk, announced, budget)
            chunks.append(chunk)
            if self.arrived:
                return b"".join(chunks)

    async def _directly(self, first: bytes, size: int, budget: Budget) -> memoryview:
        """A body of ``size`` bytes that begins with ``first``, the rest received where it is to lie."""
        memory = np.empty(size, np.uint8).data  # a bytearray would be filled with zeros first
        memory[: len(first)] = first
        await self._scope["state"][RECEIVE_INTO](memory[len(first) :], lambda came: self.hold(came, budget))
        self.arrived = True
        return memory.toreadonly()

    async def read_inflated(self, limits: Limits, budget: Budget) -> Buffer:
        """The whole body, decompressed. Both forms stay on the ``budget``.

        Raises:
            InvalidRequest: it is not compressed as its head says, and whatever ``read`` raises.
        """
        data = await self.read(limits.max_body_bytes, budget)
        encoding = self._head.content_encoding
        if not encoding:
            return data
        limit = limits.max_inflated_bytes
        if len(data) < OFF_LOOP // 8:
            data = inflate(data, encoding, limit=limit)
        else:
            data = await asyncio.to_thread(inflate, data, encoding, limit=limit)
        self.hold(len(data), budget)
        return data

    def hold(self, size: int, budget: Budget) -> None:
        """Hold ``size`` bytes that have arrived, or that it was inflated to.

        Raises:
            Overloaded: there is no room for them.
        """
        budget.take(size)
        self.held += size

    async def drain(self) -> None:
        """Throw away a body that has arrived or is short. A caller that waits for "100 Continue" sends none."""
        announced = self._head.content_length
        if not self.arrived and not self._head.expects_continue and announced is not None and announced <= DRAINED:
            await self.discard(DRAINED)

    async def discard(self, most: int) -> None:
        """Throw away what arrives, up to its end or ``most`` bytes or the end of the connection."""
        size = 0
        try:
            while not self.arrived and size <= most:
                size += len(await self._chunk())
        except RequestCancelled:
            self.arrived = True

    async def _chunk(self) -> bytes:
        whole: bytes | None = self._scope["state"][BODY_AT_ONCE]()
        if whole is not None:
            self.arrived = True
            return whole
        message = await self._receive()
        if message["type"] != "http.request":
            raise RequestCancelled("the caller went away")
        self.arrived = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk
