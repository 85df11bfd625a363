"""How much of a piece of work on bytes is done, for whoever waits for it. It may be done in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable

_STEPS = 100
"""Times that progress is told at most: of a large model it is made a thousand times a second."""


class Done:
    """Counts bytes that are handled against those that are to be. How many these are shows only as it goes on, a copy
    that must be made again, say: the share that is told stands still then, and never falls."""

    def __init__(self, tell: Callable[[float], None] | None) -> None:
        """``tell`` is called with the share that is done, above 0 and at most 1, whenever it is a hundredth more."""
        self._tell = tell
        self._expected = 0
        self._count = 0
        self._told = 0

    def __repr__(self) -> str:
        return f"<Done {self._count} of {self._expected} bytes>"

    def expect(self, count: int) -> None:
        """So many bytes more are to be handled."""
        self._expected += count

    def add(self, count: int) -> None:
        """So many bytes were handled."""
        if self._tell is None:
            return
        self._count += count
        step = min(_STEPS * self._count // max(self._expected, 1), _STEPS)
        if step > self._told:
            self._told = step
            self._tell(step / _STEPS)


UNHEARD = Done(None)
"""Nobody waits."""
