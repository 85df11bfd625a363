"""The first signal asks, the second insists."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tidegate.app.signals import EndSignals


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [
        pytest.param(signal.SIGTERM, "SIGTERM", 143, id="SIGTERM"),
        pytest.param(signal.SIGINT, "SIGINT", 130, id="SIGINT"),
    ],
)
def test_the_first_signal_asks(number: signal.Signals, name: str, code: int) -> None:
    """The event is set, nobody is cancelled, and the shell's code for the signal is known."""

    async def main() -> tuple[str, int, bool]:
        with EndSignals() as signals:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                await signals.asked.wait()
            return signals.name, signals.code, signals.forced

    assert asyncio.run(main()) == (name, code, False)


def test_the_second_signal_cancels_and_a_third_changes_nothing() -> None:
    """What runs after the cancellation, to clean up, is not cancelled again."""

    async def main() -> tuple[bool, int]:
        with EndSignals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(10):
                await signals.asked.wait()
                os.kill(os.getpid(), signal.SIGINT)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    assert task is not None
                    task.uncancel()
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(5):
                    await asyncio.sleep(0)
            return signals.forced, signals.code

    assert asyncio.run(main()) == (True, 130)


def test_an_end_that_is_on_its_way_is_not_broken_off() -> None:
    """A second signal while the last things are closed cancels nobody."""

    async def main() -> tuple[bool, int]:
        with EndSignals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(10):
                await signals.asked.wait()
                signals.ignore()
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10):
                    await asyncio.sleep(0)
            return signals.forced, signals.number

    assert asyncio.run(main()) == (False, signal.SIGINT)


def test_the_handlers_are_given_back() -> None:
    """After the server, Ctrl-C is Python's own again."""

    async def main() -> None:
        with EndSignals():
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL

    asyncio.run(main())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
