"""One request on its way through the queue, and the table of what may happen to it.

Rules: an item is answered once; what has been answered is never executed; its rows are always either waiting, at a
replica, or done (``waiting + taken + done == rows``). A request with more rows than the largest batch is cut into
parts from the front; ``cut`` says how far.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from tidegate.batching.bucket import Bucket, Key
    from tidegate.batching.lane import Lane

T = TypeVar("T")


class State(IntEnum):
    NEW = 0
    QUEUED = 1
    """Accepted; no row of it is at a replica."""
    TAKEN = 2
    """At least one row has been handed to a replica."""
    # From here on answered, for good.
    COMPLETED = 3
    FAILED = 4
    """The runtime's error, a lost replica, or the end of the service."""
    EXPIRED = 5
    """Its deadline passed, waiting or executing."""
    REFUSED = 6
    """Accepted, and then found unable to finish in time."""
    CANCELLED = 7
    """Nobody waits for it any more."""


TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.QUEUED}),
    State.QUEUED: frozenset({State.TAKEN, State.FAILED, State.EXPIRED, State.REFUSED, State.CANCELLED}),
    State.TAKEN: frozenset({State.QUEUED, State.COMPLETED, State.FAILED, State.EXPIRED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.EXPIRED: frozenset(),
    State.REFUSED: frozenset(),
    State.CANCELLED: frozenset(),
}


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as far as the order is concerned."""

    tenant: str = ""
    weight: float = 1.0
    """Share of this tenant relative to the others while they compete; more than 0."""
    priority: int = 0
    """Class; a lower one goes first."""


ANYBODY = Caller()


class Item(Generic[T]):
    """``rows`` rows (at least 1) and ``nbytes`` bytes, wanted before ``deadline``; ``payload`` is the shell's."""

    __slots__ = (
        "arrived",
        "begun",
        "bucket",
        "caller",
        "cut",
        "deadline",
        "deaths",
        "done",
        "key",
        "lane",
        "largest",
        "nbytes",
        "number",
        "payload",
        "rows",
        "state",
        "taken",
        "wait",
        "waiting",
    )

    bucket: Bucket

    def __init__(self, payload: T, key: Key, rows: int, nbytes: int, deadline: float, caller: Caller = ANYBODY) -> None:
        self.payload = payload
        self.key = key
        self.rows = rows
        self.nbytes = nbytes
        self.deadline = deadline
        self.caller = caller
        self.state = State.NEW
        self.number = 0
        self.arrived = 0.0
        self.wait: float | None = None  # seconds from arrival to a replica; None until a batch with it has ended
        self.largest = rows
        self.cut = 0
        self.waiting = 0
        self.taken = 0
        self.done = 0
        self.deaths = 0
        self.begun = False  # a part of its answer is with the caller: it cannot be executed again
        self.lane: Lane[T] | None = None

    def __repr__(self) -> str:
        return f"<Item {self.number} {self.state.name.lower()}, {self.waiting}+{self.taken}+{self.done} of {self.rows}>"

    @property
    def answered(self) -> bool:
        return self.state >= 3  # State.COMPLETED and what follows

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, rounded up."""
        return -(-self.nbytes // self.rows)

    def enter(self, state: State) -> None:
        """Change the state.

        Raises:
            RuntimeError: the table does not allow it; a fault of ours.
        """
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"item {self.number} cannot become {state.name} from {self.state.name}")
        self.state = state
