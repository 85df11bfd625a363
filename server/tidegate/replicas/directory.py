"""The private directory of a worker's socket, and the sweeping of those that nobody owns any more.

A directory is removed by whoever lives longer, the gateway or the worker. If both are killed at the same instant it
stays, so the next gateway looks: an owner holds a shared lock on its directory, and one that can be locked
exclusively has none.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from tidegate.runtimes.address import socket_address

PREFIX = "tidegate-worker-"
_SOCKET = "worker"


class PrivateDirectory:
    """A directory that only this user can enter, for one worker."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def socket(self) -> Path:
        return self.path / _SOCKET

    @property
    def address(self) -> str:
        """Where to connect to the worker, while this directory is held."""
        return socket_address(self.socket, self._descriptor)

    @classmethod
    def make(cls, parent: str) -> PrivateDirectory:
        """A new one in ``parent``, "" for the system's directory for temporary files.

        Raises:
            OSError: it cannot be made.
        """
        while True:
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent or None))
            descriptor = _lock(path, fcntl.LOCK_SH)
            if descriptor is not None:
                return cls(path, descriptor)
            # Somebody who sweeps took it for a stale one, between the two calls: it is gone, make another.

    def remove(self) -> None:
        """Remove it and its socket, gone already or not."""
        _erase(self.path)
        os.close(self._descriptor)


def sweep(parent: str) -> int:
    """Remove the directories in ``parent`` that neither a gateway nor a worker owns; returns how many."""
    removed = 0
    for path in Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        descriptor = _lock(path, fcntl.LOCK_EX)
        if descriptor is None:
            continue
        removed += _erase(path)
        os.close(descriptor)
    return removed


def _erase(path: Path) -> bool:
    """Remove what a worker makes and nothing else: a directory of that name with other things in it is not ours."""
    try:
        (path / _SOCKET).unlink(missing_ok=True)
        path.rmdir()
    except OSError:
        return False
    return True


def _lock(path: Path, kind: int) -> int | None:
    """A descriptor that holds the lock, None where it is not ours, not there, or locked by somebody else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
