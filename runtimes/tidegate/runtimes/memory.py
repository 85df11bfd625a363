"""Memory that two processes share and that no name leads to: when its last owner ends, it is gone.

On Linux it is a memfd, sealed so that a worker, which runs somebody's code, cannot shrink what the gateway reads
(reading past the end of a shrunk mapping would kill the gateway with SIGBUS). macOS has no memfd: there it is a
shared-memory object, unlinked at once, without the seals.
"""

from __future__ import annotations

import fcntl
import importlib
import mmap
import os
import secrets
import sys
from collections.abc import Iterable
from typing import Any

from tidegate.runtimes.frames import ChannelBroken

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector register; numpy and the frameworks under it like no less."""


def anonymous_memory(size: int) -> int:
    """A descriptor of ``size`` bytes of zeroed memory that can be shared; not inherited by children.

    Raises:
        OSError: no memory or no descriptor is left.
    """
    if sys.platform != "linux":
        return _unlinked_memory(size)
    descriptor = os.memfd_create("tidegate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unlinked_memory(size: int) -> int:
    shared: Any = importlib.import_module("_posixshmem")  # what multiprocessing.shared_memory uses; no public form
    name = f"/tidegate-{secrets.token_hex(8)}"
    descriptor: int = shared.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=0o600)
    shared.shm_unlink(name)
    os.ftruncate(descriptor, size)
    os.set_inheritable(descriptor, False)
    return descriptor


def map_memory(descriptor: int, size: int, *, writable: bool) -> mmap.mmap:
    """Map ``size`` bytes of a peer's memory. The mapping outlives the descriptor, which stays the caller's to close.

    Raises:
        ChannelBroken: it is smaller than it claims, or not sealed, so that the peer could shrink it.
    """
    try:
        if os.fstat(descriptor).st_size < size or size <= 0:
            raise ChannelBroken(f"shared memory is smaller than the {size} bytes that it claims")
        if sys.platform == "linux" and not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ChannelBroken("shared memory is not sealed against shrinking")
        return mmap.mmap(descriptor, size, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))
    except (OSError, ValueError) as error:
        raise ChannelBroken(f"what came as shared memory cannot be mapped: {error}") from error


def aligned(position: int) -> int:
    """The next position that is a multiple of ALIGNMENT."""
    return (position + ALIGNMENT - 1) & -ALIGNMENT


def layout(sizes: Iterable[int], start: int = 0) -> tuple[list[int], int]:
    """Where blocks of these sizes begin, each aligned, the first at or after ``start``; and where the last one ends."""
    offsets: list[int] = []
    position = start
    for size in sizes:
        position = aligned(position)
        offsets.append(position)
        position += size
    return offsets, position
