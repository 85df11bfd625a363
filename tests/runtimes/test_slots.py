"""Shared memory: who owns a slot when, how much there is at most, and that nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtimes.frames import ChannelBroken, SlotUse
from tidegate.runtimes.memory import ALIGNMENT, anonymous_memory, layout, map_memory
from tidegate.runtimes.slots import SMALLEST, Slot, SlotMap, SlotPool, size_class
from tidegate.testing.storm import descriptors_left

MIB = 1 << 20


def _taken(pool: SlotPool, nbytes: int) -> Slot:
    slot, _ = pool.acquire(nbytes)
    assert slot is not None
    return slot


@pytest.mark.parametrize(
    ("nbytes", "size"),
    [
        pytest.param(0, SMALLEST, id="nothing"),
        pytest.param(SMALLEST, SMALLEST, id="exactly the smallest"),
        pytest.param(SMALLEST + 1, 2 * SMALLEST, id="one more"),
        pytest.param(600_000, MIB, id="an image"),
    ],
)
def test_size_class(nbytes: int, size: int) -> None:
    """A slot's size is the power of two that fits, from 64 KiB on."""
    assert size_class(nbytes) == size


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 200))
def test_layout(sizes: list[int], start: int) -> None:
    """Blocks begin aligned, in order, do not overlap, and end where the layout says."""
    offsets, end = layout(sizes, start)
    position = start
    for offset, size in zip(offsets, sizes, strict=True):
        assert offset % ALIGNMENT == 0
        assert offset >= position
        position = offset + size
    assert end == position


def test_a_slot_is_used_again_with_a_new_generation() -> None:
    """The same memory serves the next request, and a late answer to the last one shows itself."""
    pool = SlotPool(MIB, MIB)
    slot = _taken(pool, 1000)
    first = slot.use
    assert pool.release(slot) == []
    again = _taken(pool, 1000)
    assert again is slot
    assert again.use == SlotUse(first.id, first.generation + 1, first.size)
    pool.release(again)
    pool.close()


def test_the_bound() -> None:
    """Beyond the bound there is no slot until one is released."""
    pool = SlotPool(4 * SMALLEST, 4 * SMALLEST)
    slots = [_taken(pool, SMALLEST) for _ in range(4)]
    assert pool.acquire(1) == (None, [])
    pool.release(slots[0])
    assert pool.acquire(1)[0] is slots[0]
    for slot in slots:
        pool.release(slot)
    pool.close()


def test_one_large_request_passes_alone() -> None:
    """A request over the whole bound is served while nothing else is, for it would never fit otherwise."""
    pool = SlotPool(SMALLEST, 0)
    large = _taken(pool, 4 * SMALLEST)
    assert pool.acquire(1) == (None, [])
    pool.release(large)
    pool.close()


def test_idle_memory_is_bounded() -> None:
    """Idle slots over their bound are freed, and the peer is told of those that it knows."""
    pool = SlotPool(MIB, SMALLEST)
    known, unknown = _taken(pool, SMALLEST), _taken(pool, SMALLEST)
    known.announced = True
    assert pool.release(unknown) == []
    assert pool.release(known) == [known.id]
    assert repr(pool) == f"<SlotPool 0 bytes used, {SMALLEST} idle>"
    pool.close()
    assert pool.idle_bytes == 0


def test_idle_slots_make_room() -> None:
    """Idle slots of another size do not keep a request from its memory."""
    pool = SlotPool(4 * SMALLEST, 4 * SMALLEST)
    small = _taken(pool, SMALLEST)
    small.announced = True
    pool.release(small)
    large, dropped = pool.acquire(4 * SMALLEST)
    assert large is not None
    assert dropped == [small.id]
    pool.release(large)
    pool.close()


def test_a_slot_that_cannot_be_made_costs_no_other() -> None:
    """Without a descriptor nothing is given up, for the worker would never hear of it."""
    pool = SlotPool(SMALLEST * 2, SMALLEST * 2)
    slot, _ = pool.acquire(SMALLEST)
    assert slot is not None
    pool.release(slot)
    with descriptors_left(0), pytest.raises(OSError, match="Too many open files"):
        pool.acquire(SMALLEST * 2)
    assert (pool.used_bytes, pool.idle_bytes) == (0, SMALLEST)
    pool.close()


def test_a_closed_pool_frees_what_comes_back() -> None:
    """The slot of an answer that is still being read is freed when the answer is released."""
    before = len(os.listdir("/dev/fd"))
    pool = SlotPool(MIB, MIB)
    slot = _taken(pool, 1)
    view = memoryview(slot.memory)
    pool.close()
    assert pool.used_bytes == SMALLEST
    pool.release(slot)
    assert bytes(view[:2]) == b"\0\0"
    del view, slot
    assert len(os.listdir("/dev/fd")) == before


def test_released_once() -> None:
    """Releasing a slot twice is a fault that shows."""
    pool = SlotPool(MIB, MIB)
    slot = _taken(pool, 1)
    pool.release(slot)
    with pytest.raises(ValueError, match=r"<Slot 1, 65536 bytes, generation 1> is not in use"):
        pool.release(slot)
    pool.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4 * SMALLEST)), max_size=40))
def test_the_pool_keeps_its_books(steps: list[tuple[bool, int]]) -> None:
    """Whatever comes and goes: no slot is used twice at once, the bounds hold, and all of it is freed at the end."""
    pool = SlotPool(8 * SMALLEST, 2 * SMALLEST)
    used: list[Slot] = []
    for take, nbytes in steps:
        if take:
            slot, _ = pool.acquire(nbytes)
            if slot is not None:
                assert slot not in used
                assert slot.size >= nbytes
                used.append(slot)
        elif used:
            pool.release(used.pop(nbytes % len(used)))
        assert pool.used_bytes == sum(slot.size for slot in used) <= 8 * SMALLEST
        assert pool.idle_bytes <= 2 * SMALLEST
        assert pool.used_bytes + pool.idle_bytes <= 10 * SMALLEST
    for slot in used:
        pool.release(slot)
    pool.close()
    assert (pool.used_bytes, pool.idle_bytes) == (0, 0)


def test_both_sides_see_the_same_memory() -> None:
    """What the gateway writes the worker reads, after it has been shown the slot once."""
    pool, worker = SlotPool(MIB, MIB), SlotMap()
    slot = _taken(pool, 100)
    slot.memory[:5] = b"hello"
    assert worker.memory(slot.use, slot.descriptor)[:5] == b"hello"
    slot.memory[:5] = b"again"
    assert worker.memory(slot.use, None)[:5] == b"again"
    worker.forget((slot.id,))
    assert len(worker) == 0
    with pytest.raises(ChannelBroken, match=r"slot 1 of 65536 bytes was never shown"):
        worker.memory(slot.use, None)
    pool.release(slot)
    pool.close()


def test_a_worker_cannot_shrink_what_the_gateway_reads() -> None:
    """Shared memory is sealed: a peer that truncates it gets an error, instead of the reader a SIGBUS."""
    descriptor = anonymous_memory(4096)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def test_memory_of_a_peer_is_checked(tmp_path: Path) -> None:
    """A descriptor that is too small, or no sealed memory, is refused before it is mapped."""
    descriptor = anonymous_memory(4096)
    with pytest.raises(ChannelBroken, match=r"smaller than the 8192 bytes that it claims"):
        map_memory(descriptor, 8192, writable=False)
    os.close(descriptor)
    file = tmp_path / "file"
    file.write_bytes(b"x" * 4096)
    descriptor = os.open(file, os.O_RDONLY)
    with pytest.raises(ChannelBroken, match=r"cannot be mapped: "):
        map_memory(descriptor, 4096, writable=False)
    os.close(descriptor)
    unsealed = os.memfd_create("test")
    os.ftruncate(unsealed, 4096)
    with pytest.raises(ChannelBroken, match=r"cannot be mapped|not sealed against shrinking"):
        map_memory(unsealed, 4096, writable=False)
    os.close(unsealed)


def test_descriptors_are_not_inherited() -> None:
    """A child that a model starts does not get the memory of requests."""
    descriptor = anonymous_memory(4096)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
