"""Putting tensors into the memory that they travel in."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.protocol.tensors import Tensor
from tidegate.runtimes.frames import Placed
from tidegate.runtimes.memory import anonymous_memory


@contextmanager
def in_memory(tensors: list[Tensor], offsets: list[int], total: int) -> Iterator[tuple[tuple[Placed, ...], int]]:
    """Copy tensors into a memory of their own, whose descriptor is open in the meantime."""
    descriptor = anonymous_memory(total)
    try:
        with mmap.mmap(descriptor, total) as memory, memoryview(memory) as view:
            placed = place(tensors, offsets, view)
        yield placed, descriptor
    finally:
        os.close(descriptor)


def place(tensors: list[Tensor], offsets: list[int], memory: memoryview) -> tuple[Placed, ...]:
    """Copy tensors to their places in ``memory``."""
    placed: list[Placed] = []
    for tensor, offset in zip(tensors, offsets, strict=True):
        end = offset + tensor.nbytes
        memory[offset:end] = tensor.data
        placed.append(Placed(tensor.name, tensor.datatype, tensor.shape, offset, tensor.nbytes))
    return tuple(placed)
