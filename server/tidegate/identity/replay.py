"""Which one-time tokens were used. Pure, and closed rather than forgetful: what cannot be remembered is refused.

It remembers a token until it would have expired anyway. Of tokens issued before its own time it knows nothing, so it
takes none of them: after a restart a token that was used before could otherwise be used again.
"""

from __future__ import annotations

from heapq import heappop, heappush

from tidegate.identity.authenticator import Refused

MOST = 100_000
"""Tokens that are remembered, about 20 MB of them."""


class Replays:
    """``began`` is when it began to remember, in seconds since 1970."""

    def __init__(self, began: float, most: int = MOST) -> None:
        self._began = began
        self._most = most
        self._used: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._used)

    def use(self, token_id: object, issued: object, expires: float, now: float) -> None:
        """Take a token for its one use; ``expires`` is when nobody would accept it any more.

        Raises:
            Refused: it was used, does not say what it is, or there is no room to remember it.
        """
        while self._ends and self._ends[0][0] <= now:
            self._used.discard(heappop(self._ends)[1])
        if not isinstance(token_id, str) or not 0 < len(token_id) <= 256:
            raise Refused("a one-time token without 'jti'")
        if not isinstance(issued, int | float) or issued < self._began:
            raise Refused("a one-time token from before this process began")
        if token_id in self._used:
            raise Refused("a one-time token that was used before")
        if len(self._used) >= self._most:
            raise Refused(f"a one-time token, while {self._most} others are remembered")
        self._used.add(token_id)
        heappush(self._ends, (expires, token_id))
