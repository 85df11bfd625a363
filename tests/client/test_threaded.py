"""What a thread's iterator does when Ctrl-C comes at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tidegate.client.threaded import LoopThread


class Interrupted(asyncio.DefaultEventLoopPolicy):
    """Once it is asked, its loops raise KeyboardInterrupt in who has just scheduled something, as a signal may."""

    asked = False

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        schedule = loop.call_soon_threadsafe

        def interrupted(*given: Any, **options: Any) -> asyncio.Handle:
            handle = schedule(*given, **options)
            if self.asked:
                self.asked = False
                raise KeyboardInterrupt
            return handle

        loop.call_soon_threadsafe = interrupted  # type: ignore[method-assign, assignment]
        return loop


@pytest.fixture
def policy() -> Iterator[Interrupted]:
    before = asyncio.get_event_loop_policy()
    policy = Interrupted()
    asyncio.set_event_loop_policy(policy)
    yield policy
    asyncio.set_event_loop_policy(before)


def test_an_interrupt_before_the_future_is_known_ends_an_iterator(policy: Interrupted) -> None:
    """The next one is under way by then, and will never come; whoever is interrupted is not kept waiting for it."""
    ended = []

    async def results() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def last() -> None:
        """Nothing is left to do."""

    thread = LoopThread("interrupted")
    generator: Any = results()
    iterator = thread.iterate(generator)
    assert next(iterator) == 1
    policy.asked = True
    with pytest.raises(KeyboardInterrupt):
        next(iterator)
    assert ended == [True]
    thread.close(last)
