"""Shared-memory slots: where tensors lie that are too large to travel in a frame.

The gateway owns every slot. One slot serves one batch at a time: the gateway writes the inputs at its front, the
worker reads them there and writes the outputs behind them, the gateway reads those and takes the slot back. So there
is one writer at a time by protocol, and no lock. Each use has a generation of its own: an answer that names another
one is late and is dropped. A slot that was handed to a worker comes back when the worker answers or is dead.

A slot's size is a power of two, so that it fits many batches. A worker whose outputs do not fit sends a memory of its
own, once, and the gateway asks for a larger slot the next time.
"""

from __future__ import annotations

import contextlib
import mmap
import os

from tidegate.runtimes.frames import ChannelBroken, SlotUse
from tidegate.runtimes.memory import anonymous_memory, map_memory

SMALLEST = 64 << 10
"""Bytes of the smallest slot. Smaller ones would save memory that is not worth the system calls."""


class Slot:
    """One piece of shared memory. ``announced``: the peer has got its descriptor."""

    __slots__ = ("announced", "descriptor", "generation", "id", "memory", "size")

    def __init__(self, number: int, size: int) -> None:
        self.id = number
        self.size = size
        self.generation = 0
        self.announced = False
        self.descriptor = anonymous_memory(size)
        try:
            self.memory = mmap.mmap(self.descriptor, size)
        except OSError:
            os.close(self.descriptor)
            raise

    def __repr__(self) -> str:
        return f"<Slot {self.id}, {self.size} bytes, generation {self.generation}>"

    @property
    def use(self) -> SlotUse:
        return SlotUse(self.id, self.generation, self.size)


class SlotPool:
    """The slots that a gateway shares with one worker: at most ``max_bytes``, of which ``idle_bytes`` stay unused."""

    def __init__(self, max_bytes: int, idle_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._idle_bytes = idle_bytes
        self._idle: dict[int, list[Slot]] = {}
        self._idle_size = 0
        self._used: dict[int, Slot] = {}
        self._used_size = 0
        self._next = 1
        self._closed = False

    def __repr__(self) -> str:
        return f"<SlotPool {self._used_size} bytes used, {self._idle_size} idle>"

    @property
    def used_bytes(self) -> int:
        return self._used_size

    @property
    def idle_bytes(self) -> int:
        return self._idle_size

    def acquire(self, nbytes: int) -> tuple[Slot | None, list[int]]:
        """A slot of at least ``nbytes``, and the ids of slots given up for it; no slot while too much is in use.

        One batch larger than the whole bound is let through while nothing else is in use: it would never fit.

        Raises:
            OSError: the system has no memory or no descriptor left.
        """
        size = size_class(nbytes)
        free = self._idle.get(size)
        if free:
            slot = free.pop()
            self._idle_size -= size
        else:
            if self._used and self._used_size + size > self._max_bytes:
                return None, []
            slot = Slot(self._next, size)  # first: where it cannot be made, the caller would not learn what was dropped
            self._next += 1
            dropped = self._shrink(max(0, self._max_bytes - self._used_size - size))
            self._take(slot)
            return slot, dropped
        self._take(slot)
        return slot, []

    def release(self, slot: Slot) -> list[int]:
        """Take a slot back; the ids returned are of slots that no longer exist, for the peer to forget.

        Raises:
            ValueError: it was not in use.
        """
        if self._used.pop(slot.id, None) is None:
            raise ValueError(f"{slot!r} is not in use")
        self._used_size -= slot.size
        self._idle.setdefault(slot.size, []).append(slot)
        self._idle_size += slot.size
        return self._shrink(0 if self._closed else self._idle_bytes)

    def close(self) -> None:
        """Free what is idle now, and what is in use as soon as it is released: the peer is gone."""
        self._closed = True
        self._shrink(0)

    def _take(self, slot: Slot) -> None:
        slot.generation += 1
        self._used[slot.id] = slot
        self._used_size += slot.size

    def _shrink(self, bound: int) -> list[int]:
        """Give up idle slots, the largest first, until no more than ``bound`` bytes are idle."""
        dropped: list[int] = []
        while self._idle_size > bound:
            size = max(size for size, slots in self._idle.items() if slots)
            slot = self._idle[size].pop()
            self._idle_size -= size
            os.close(slot.descriptor)
            with contextlib.suppress(BufferError):  # somebody still holds a view: the mapping goes with that one
                slot.memory.close()
            if slot.announced:
                dropped.append(slot.id)
        return dropped


class SlotMap:
    """A worker's side: the slots that one gateway has shown it."""

    def __init__(self) -> None:
        self._memory: dict[int, mmap.mmap] = {}

    def __len__(self) -> int:
        return len(self._memory)

    def memory(self, use: SlotUse, descriptor: int | None) -> mmap.mmap:
        """The memory of a slot. ``descriptor`` comes with its first use, and stays the caller's to close.

        Raises:
            ChannelBroken: an unknown slot, or one that is not what it claims.
        """
        if descriptor is not None:
            self._memory[use.id] = map_memory(descriptor, use.size, writable=True)
        memory = self._memory.get(use.id)
        if memory is None or len(memory) != use.size:
            raise ChannelBroken(f"slot {use.id} of {use.size} bytes was never shown")
        return memory

    def forget(self, ids: tuple[int, ...]) -> None:
        """Drop slots that are gone. Their pages go back once no array looks at them."""
        for number in ids:
            self._memory.pop(number, None)


def size_class(nbytes: int) -> int:
    """The size of the slot that takes ``nbytes``."""
    return max(SMALLEST, 1 << max(0, nbytes - 1).bit_length())
