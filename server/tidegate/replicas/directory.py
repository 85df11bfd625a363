"""The private directory of a worker's socket, and the sweeping of those that nobody owns any more.

A directory is removed by whoever lives longer, the gateway or the worker. If both are killed at the same instant it
stays, so the next gateway looks: an owner holds a shared lock on its directory, and one that can be locked
exclusively has none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path

from tidegate.runtimes.address import socket_address

PREFIX = "tidegate-worker-"
_SOCKET = "worker"
_TRIES = 8
"""Directories made before giving up; more than one is needed only where somebody sweeps in the very moment."""


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
        for _ in range(_TRIES):
            # Absolute, because the worker has the path, too, and a model may change its working directory.
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=os.path.abspath(parent or tempfile.gettempdir())))
            try:
                return cls(path, _lock(path, fcntl.LOCK_SH))
            except (FileNotFoundError, BlockingIOError):
                continue  # somebody who sweeps took it for a stale one, between the two calls: make another
            except OSError:
                _erase(path)
                raise
        raise OSError(errno.EAGAIN, "a new directory is swept away each time", str(parent))

    def remove(self) -> None:
        """Remove it and its socket, gone already or not. A second call does nothing."""
        if self._descriptor >= 0:
            _erase(self.path)
            os.close(self._descriptor)
            self._descriptor = -1


def sweep(parent: str) -> int:
    """Remove the directories in ``parent`` that neither a gateway nor a worker owns; returns how many."""
    removed = 0
    for path in Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            descriptor = _lock(path, fcntl.LOCK_EX)
        except OSError:  # somebody has it, or it is none of ours
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


def _lock(path: Path, kind: int) -> int:
    """A descriptor that holds the lock.

    Raises:
        FileNotFoundError: it is not there, or another one is by now.
        BlockingIOError: somebody else has locked it.
        OSError: it is not ours, or there is no descriptor left.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "another user's directory", str(path))
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if os.stat(path).st_ino != os.fstat(descriptor).st_ino:
            raise FileNotFoundError(errno.ENOENT, "another directory has its name by now", str(path))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
