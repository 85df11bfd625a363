"""Which replicas go when there are to be fewer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """A replica, as far as it matters for whether it is the one to go."""

    ready: bool
    sequences: int = 0
    """That it keeps the state of; they are lost with it."""
    inflight: int = 0
    """Batches that it has, which it finishes."""


def leaving(candidates: Sequence[Candidate], count: int) -> list[int]:
    """The indexes of those that go: first who takes no requests anyway, then who keeps the fewest sequences, then who
    has the least to finish, of equal ones the newest, who stands last.
    """
    order = sorted(
        range(len(candidates)),
        key=lambda index: (
            candidates[index].ready,
            candidates[index].sequences,
            candidates[index].inflight,
            -index,
        ),
    )
    return sorted(order[:count])
