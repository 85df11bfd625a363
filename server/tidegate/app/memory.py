"""How the C library's allocator treats what large requests leave behind.

glibc gives large blocks back to the system at once, and the next request of that size pays for fresh pages: 260 page
faults, a third of the gateway's time, for an image of 600 KB. Kept, they cost memory up to the bound.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 64 << 20
"""Bytes at the end of the heap that are kept: some of the largest bodies that are allowed by default."""
_MAPPED = 32 << 20
"""Bytes from which a block has a mapping of its own, and its pages go with it; glibc takes no more than this."""


def keep_freed_memory(environment: Mapping[str, str]) -> None:
    """For this process, unless its environment sets glibc's tunables itself. Nothing where there is no glibc."""
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in environment):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _MAPPED)
