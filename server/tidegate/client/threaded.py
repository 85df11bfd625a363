"""Clients for everybody who has no event loop: an asynchronous one, in a loop that a thread of its own runs.

One deadline can bound a call only where the call can be given up at any point, which blocking sockets do not allow: a
server that sends a byte now and then keeps them waiting for ever. So there is no second client over blocking sockets,
and what is true of an asynchronous client is true of its twin.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from tidegate.protocol.errors import RequestCancelled


class Closing(Protocol):
    """An asynchronous client."""

    async def close(self) -> None: ...


P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=Closing)


class LoopThread:
    """An event loop in a thread. Begun by the first ``run``; a daemon, so that nobody who forgets it waits for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()  # the collector may end an iterator while its own thread holds it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._open: set[AsyncGenerator[Any, None]] = set()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it; an interruption of the wait cancels it.

        Raises:
            RequestCancelled: this was closed meanwhile.
            RuntimeError: this is closed.
        """
        try:
            loop = self._started()
        except RuntimeError:
            main.close()
            raise
        call = _Call(main)
        try:
            return asyncio.run_coroutine_threadsafe(call.result(), loop).result()
        except CancelledError:
            raise RequestCancelled("the client was closed before the answer came") from None
        except BaseException:  # KeyboardInterrupt: also while it is scheduled, before anybody has its future
            with suppress(RuntimeError):  # closed meanwhile, which has ended it
                loop.call_soon_threadsafe(call.cancel)  # what is done is not changed by it
            raise

    def iterate(self, results: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """What an asynchronous generator gives there, one by one. Closing this closes it, and waits for that."""
        turn = asyncio.Lock()
        with self._lock:
            self._open.add(results)
        try:
            while (result := self.run(_next(results, turn))) is not None:
                yield result
        finally:
            self._discard(results, turn)

    def _discard(self, results: AsyncGenerator[Any, None], turn: asyncio.Lock) -> None:
        with self._lock:
            self._open.discard(results)
            if self._loop is None:  # closed, which has ended it
                return
            closing = asyncio.run_coroutine_threadsafe(_close(results, turn), self._loop)
        if threading.current_thread() is not self._thread:  # it is where the collector has found what nobody holds
            with suppress(CancelledError):  # closed meanwhile
                closing.result()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what runs, run ``last``, and end the thread. A second call does nothing."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
            results = list(self._open)
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_ended(results, last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
                self._thread.start()
            return self._loop


class _Call(Generic[T]):
    """A coroutine that runs in the loop, and can be called off there before it has begun."""

    def __init__(self, main: Coroutine[Any, Any, T]) -> None:
        self._main = main
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    async def result(self) -> T:
        if self._cancelled:
            self._main.close()
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        return await self._main

    def cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()


async def _next(results: AsyncGenerator[T, None], turn: asyncio.Lock) -> T | None:
    async with turn:
        return await anext(results, None)


async def _close(results: AsyncGenerator[Any, None], turn: asyncio.Lock) -> None:
    async with turn:  # whoever waited for the next one may have been interrupted, and its end take a while
        await results.aclose()


async def _ended(results: Iterable[AsyncGenerator[Any, None]], last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for each in results:  # the outermost of those that nobody waits for at the moment
        await each.aclose()
    await last()
    await asyncio.get_running_loop().shutdown_asyncgens()


class Threaded(Generic[C]):
    """The twin of an asynchronous client, whose calls wait for their results. Use it as a context manager, or close it.

    Any number of threads may share it; their calls run side by side. It is not carried over a fork: make one in each
    process.
    """

    def __init__(self, client: C, name: str) -> None:
        self._client = client
        self._thread = LoopThread(name)

    def __repr__(self) -> str:
        return repr(self._client).replace("Async", "", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up the calls that other threads still make, and close the connections."""
        self._thread.close(self._client.close)


def blocking(
    method: Callable[Concatenate[C, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Threaded[C], P], T]:
    """The method of an asynchronous client as one that waits for its result."""

    @wraps(method)
    def call(self: Threaded[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._client, *args, **kwargs))

    return call


def iterating(
    method: Callable[Concatenate[C, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Threaded[C], P], Generator[T, None, None]]:
    """The method of an asynchronous client as one whose results are waited for."""

    @wraps(method)
    def call(self: Threaded[C], /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return self._thread.iterate(method(self._client, *args, **kwargs))

    return call
