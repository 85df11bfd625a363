"""What a model that is loaded on demand is made of, each time that it wakes: the same plan, the same copy."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.app.copy import Copy
from tidegate.app.served_model import ServedModel


class ServedLives:
    """Implements control's Lives. A copy that was taken once is kept while the model sleeps: it wakes as the same."""

    def __init__(self, copy: Copy, make: Callable[[Copy], ServedModel]) -> None:
        self._copy = copy
        self._make = make

    def next(self) -> ServedModel:
        return self._make(self._copy)

    async def close(self) -> None:
        """See control's Lives."""
        await self._copy.release()
