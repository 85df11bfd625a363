"""Directories of the model cache: found, locked, removed by several servers at once.

Who uses one holds a shared lock on it; who removes it locks it for itself alone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

DRAFT = "draft-"
"""Before the names of what is no entry: not yet, or not any more."""


def remove(entry: Path, lock: int) -> None:
    """Remove what is locked for us alone. It gets another name first: whoever waits for its lock sees that it is gone.

    What cannot be removed is left: another user's, say. It is not in the way, and the next server tries again.
    """
    try:
        if not entry.name.startswith(DRAFT):
            gone = entry.with_name(f"{DRAFT}{entry.name}-{os.getpid()}")
            entry.rename(gone)
            entry = gone
        _delete(entry)
    except OSError as error:
        log.warning("'%s' in the model cache cannot be removed: %s", entry, error.strerror)
    finally:
        os.close(lock)


def locked(directory: Path, how: int) -> int | None:
    """A descriptor with a lock on a directory; None if it is not there, or was renamed or locked by somebody else."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, how)
        if is_at(lock, directory):
            return lock
    except BlockingIOError:
        pass
    os.close(lock)
    return None


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still names what the descriptor was opened for."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def size_of(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())


def _delete(directory: Path) -> None:
    for folder, _, _ in os.walk(directory):
        os.chmod(folder, 0o700)  # from the top: what is read-only cannot be emptied
    shutil.rmtree(directory)
