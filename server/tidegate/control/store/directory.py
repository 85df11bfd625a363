"""The state directory: private to its user, and to one process at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from tidegate.protocol.errors import StateUnusable


class StateDirectory:
    """Holds the directory from its making until ``release``.

    The lock is the kernel's (flock), so it goes with the process however that ends, and a second store of the same
    process is refused like any other. The number in the file is for the message only.

    Raises:
        StateUnusable: it cannot be made, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnusable(f"the state directory '{path}' cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise StateUnusable(
                f"the state directory '{path}' is in use by {f'process {holder}' if holder else 'another process'}: "
                "stop that, or name another directory"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def file(self, name: str) -> Path:
        """A file that its user alone can read, made where there is none.

        Raises:
            StateUnusable: it cannot be made.
        """
        path = self.path / name
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            path.chmod(0o600)
            self._sync()  # the file's name, which SQLite leaves to who made it
        except OSError as error:
            raise StateUnusable(f"the state file '{path}' cannot be used: {error.strerror}") from error
        return path

    def release(self) -> None:
        """Let another process have it. It may be called again."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            with suppress(OSError):
                os.ftruncate(lock, 0)
            os.close(lock)

    def _sync(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
