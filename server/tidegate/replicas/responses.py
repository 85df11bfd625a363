"""The responses of one request that is answered by a stream: from the connection that receives them to who reads them.

It is bounded by the worker, which sends no more than its window allows until a response is released.
"""

from __future__ import annotations

import asyncio
from collections import deque

from tidegate.replicas.batch import BatchResult


class Responses:
    """``end`` is the future of the request as a whole; what it tells comes after all responses."""

    def __init__(self, end: asyncio.Future[BatchResult]) -> None:
        self._end = end
        self._ready: deque[BatchResult] = deque()
        self._waiting: asyncio.Future[None] | None = None
        end.add_done_callback(lambda _: self._wake())

    def put(self, response: BatchResult) -> None:
        self._ready.append(response)
        self._wake()

    async def next(self) -> BatchResult | None:
        """The next response, which must be released; None after the last.

        Raises:
            TidegateError: what the request ended with.
        """
        while not self._ready:
            if self._end.done():
                self._end.result().release()
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._ready.popleft()

    def close(self) -> None:
        """Nobody reads any more: give back what is left."""
        while self._ready:
            self._ready.popleft().release()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
