"""Which revision of a service answers a caller: shares of a range of numbers, and a hash that puts a key there. Pure.

The range ends with the canaries, and a share that grows does so at its lower end. So who is in it stays in it while it
grows, whichever of them it is; only the stable revision, and shares before the one that grows, give callers up.

The hash is BLAKE2b over the salt's digest and the key. It is the same in every process, as Python's own ``hash`` is
not, and what it makes of a key with one salt tells nothing of what it makes of it with another. A CRC's would: it is
linear, so that the callers chosen for one service's canary would be chosen for those of others, too. What it costs,
``loadtests/routing_cost.py`` tells.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

import msgspec

from tidegate.resources.traffic import Share

PARTS = 10_000
"""Into how many numbers the callers are put: a share of one percent is a hundred of them."""


def salted(salt: str) -> bytes:
    """What keys are hashed after: of one length, so that no salt and key run into another pair."""
    return blake2b(salt.encode(), digest_size=16).digest()


def part_of(salt: bytes, key: bytes) -> int:
    """The number of a key, below ``PARTS``; ``salt`` is what ``salted`` made."""
    return int.from_bytes(blake2b(salt + key, digest_size=8).digest()) % PARTS


class Split(msgspec.Struct, frozen=True):
    """Revisions, and where the numbers of each begin. The first begins at 0."""

    revisions: tuple[int, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, shares: Sequence[Share]) -> Split:
        """The split of shares, the stable one first. Those that do not add up to 100 keep their proportions.

        Raises:
            ValueError: they add up to nothing.
        """
        total = sum(share.percent for share in shares)
        if total <= 0:
            raise ValueError("the shares add up to nothing")
        before = accumulate((share.percent for share in shares[:-1]), initial=0)
        return cls(
            tuple(share.revision for share in shares), tuple(round(percent * PARTS / total) for percent in before)
        )

    def at(self, part: int) -> int:
        """The revision that a number belongs to."""
        return self.revisions[bisect_right(self.starts, part) - 1]
