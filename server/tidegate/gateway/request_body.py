"""A request's body as it arrives: read within the limit, or thrown away so that the connection can be used again.

How long it may take is watched by the connection (``http_protocol``), which cancels the request with a refusal.
"""

from __future__ import annotations

from starlette.types import Receive

from tidegate.gateway.request_head import RequestHead
from tidegate.protocol.errors import PayloadTooLarge, RequestCancelled

DRAINED = 64 * 1024
"""Bytes of an unwanted body that are read so that the connection can be kept; beyond it a new one is cheaper."""


class RequestBody:
    """``arrived`` tells that no byte of it is left on the connection."""

    def __init__(self, head: RequestHead, receive: Receive) -> None:
        self._head = head
        self._receive = receive
        self.arrived = not head.has_body

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            PayloadTooLarge: it announces more than ``limit`` bytes, or sends them.
            RequestCancelled: the caller went away before its end.
        """
        announced = self._head.content_length
        if announced is not None and announced > limit:
            raise PayloadTooLarge(f"the body has {announced} bytes, the limit is {limit}")
        chunk = await self._chunk()
        if self.arrived and len(chunk) <= limit:
            return chunk
        chunks, size = [chunk], len(chunk)
        while not self.arrived:
            chunk = await self._chunk()
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                break
        if size > limit:
            raise PayloadTooLarge(f"the body has more than {limit} bytes, which is the limit")
        return b"".join(chunks)

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
        message = await self._receive()
        if message["type"] != "http.request":
            raise RequestCancelled("the caller went away")
        self.arrived = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk
