"""The memory that the requests of one listener take together, from their first byte to the last of their answers.

Each request keeps to its own limits, but a thousand of them at a time would take all memory without this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.protocol.errors import Overloaded


class Budget:
    """Bytes that are held. A request that would exceed them is refused, for it may fit a moment later."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def __repr__(self) -> str:
        return f"<Budget {self._held} of {self._most} bytes held>"

    def take(self, size: int) -> None:
        """Hold ``size`` more bytes of a request.

        Raises:
            Overloaded: there is no room for them.
        """
        if self._held + size > self._most:
            raise Overloaded(
                f"requests of {self._held} bytes are being received, there is no room now", retry_after=1.0
            )
        self._held += size

    def give(self, size: int) -> None:
        self._held -= size

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold an answer of ``size`` bytes. It is made already, so it is not refused; requests to come are."""
        self._held += size
        try:
            yield
        finally:
            self._held -= size
