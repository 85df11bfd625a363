"""Copies of artifacts by their content, so that what is served never changes.

A file that is overwritten in place changes under the worker that maps it, or ends it where it became shorter; and a
replica that starts later loads another model than its siblings. So an artifact is copied before it is served, to
``sha256-DIGEST/model``, where DIGEST is of the copy's own content: what is loaded is what was hashed. The same content
is there once, for versions, models and servers on the same directory.

A hard link would be free and protects from nothing: writing in place writes to it, too. A reflink does protect, and is
what ``copy_file_range`` makes where the file system can.

An entry appears by a rename, complete. It is not synced to disk, but hashed again each time a server takes it, so a
crash costs a copy and not a model. Who uses an entry holds a shared lock on its directory; without use, the least
recently used entries are removed once they are above ``max_bytes`` together.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, ShuttingDown, shown
from tidegate.storage.tree import Beside, Part, digest_of, read_parts

log = logging.getLogger(__name__)

_ENTRY = "sha256-"
_DRAFT = "draft-"
_MODEL = "model"
_CHUNK = 16 << 20
"""Bytes between two looks at whether the server is ending; hashing as many takes some hundredths of a second."""
_TRIES = 3
"""Copies of an artifact that is written to meanwhile, before giving up."""
_NO_FAST_COPY = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where copies lie, and how much is kept of what nobody serves.

    Raises:
        ValueError: ``max_bytes`` is negative.
    """

    directory: Path
    """Made when it is first used, readable by its owner only. Servers may share it."""
    max_bytes: int = 10 << 30
    """Of all copies that no server uses; those in use are there for as long as they are."""

    def __post_init__(self) -> None:
        if self.max_bytes < 0:
            raise ValueError(f"max_bytes is {self.max_bytes}, expected at least 0")


class Held(msgspec.Struct, frozen=True):
    """A copy that stays until ``ArtifactCache.release``. ``path`` is where the artifact is now."""

    path: Path
    digest: str
    lock: int
    """The descriptor whose lock keeps it."""


class ArtifactCache:
    """The copies of one server. Its methods do file I/O and block; they may be called from several threads."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._ending = threading.Event()
        self._held: dict[int, Held] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def hold(self, path: Path, beside: Beside = Beside.NOTHING, trusted: bool = True) -> Held:
        """Copy the artifact at ``path`` unless its content is here already; see ``read_parts`` for what belongs to it.

        Raises:
            ModelLoadFailed: it cannot be read or copied, or is written to all the time.
            ShuttingDown: the cache was closed meanwhile.
        """
        try:
            self._settings.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
            held = self._kept(read_parts(path, beside, trusted))
            if held is None:
                held = self._copied(path, beside, trusted)
                self._evict()
        except OSError as error:
            where = shown(error.filename or self._settings.directory, 300)
            raise ModelLoadFailed(
                f"'{shown(path, 300)}' cannot be copied to the model cache: '{where}': {error.strerror}; "
                f"--model-cache-directory names another place, --no-model-cache serves files where they lie"
            ) from error
        with self._guard:
            self._held[held.lock] = held
        return held if path.is_dir() else msgspec.structs.replace(held, path=held.path / path.name)

    def release(self, held: Held) -> None:
        """The copy is not needed any more. Whether it is kept for the next time is the bound's affair."""
        with self._guard:
            mine = self._held.pop(held.lock, None)
        if mine is not None:
            os.close(mine.lock)

    def close(self) -> None:
        """Break off what is being copied, and release everything."""
        self._ending.set()
        with self._guard:
            held, self._held = list(self._held.values()), {}
        for each in held:
            os.close(each.lock)

    def _kept(self, parts: tuple[Part, ...]) -> Held | None:
        """The entry with this content, if it is here and whole."""
        if not any(self._settings.directory.glob(f"{_ENTRY}*")):
            return None
        return self._take(digest_of(parts, self._hash))

    def _take(self, digest: str) -> Held | None:
        entry = self._entry(digest)
        lock = _locked(entry, fcntl.LOCK_SH)
        if lock is None:
            return None
        model = entry / _MODEL
        if self._digest(model) == digest:
            os.utime(entry)
            return Held(model, digest, lock)
        os.close(lock)
        if (lock := _locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
            raise ModelLoadFailed(f"'{entry}' in the model cache is damaged, and in use by another server")
        _remove(entry, lock)
        return None

    def _copied(self, path: Path, beside: Beside, trusted: bool) -> Held:
        for _ in range(_TRIES):
            before = read_parts(path, beside, trusted)
            draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._settings.directory))
            lock = _locked(draft, fcntl.LOCK_EX)
            if lock is None:  # another server has taken it for a dead one's, in the moment before it was locked
                continue
            held = None
            try:
                self._copy(before, draft / _MODEL)
                if read_parts(path, beside, trusted) == before:
                    held = self._published(draft, self._digest(draft / _MODEL), lock)
            finally:
                if held is None:
                    _remove(draft, lock)
            if held is not None:
                return held
            if (faster := self._kept(read_parts(path, beside, trusted))) is not None:
                return faster
        raise ModelLoadFailed(f"'{shown(path, 300)}' was written to while it was copied, {_TRIES} times in a row")

    def _published(self, draft: Path, digest: str, lock: int) -> Held | None:
        """Give a draft the name of its content, and keep it; None if it is there already."""
        entry = self._entry(digest)
        try:
            draft.rename(entry)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return None
        fcntl.flock(lock, fcntl.LOCK_SH)
        # For a moment there was no lock, and another server may have found an entry that nobody uses.
        return Held(entry / _MODEL, digest, lock) if _is_at(lock, entry) else None

    def _entry(self, digest: str) -> Path:
        return self._settings.directory / f"{_ENTRY}{digest}"

    def _digest(self, model: Path) -> str:
        return digest_of(read_parts(model), self._hash)

    def _copy(self, parts: tuple[Part, ...], target: Path) -> None:
        target.mkdir()
        for part in parts:
            place = target / part.name
            if part.directory:
                place.mkdir(exist_ok=True)
            else:
                self._copy_file(part.path, place)
                place.chmod(0o444)
        for part in reversed(parts):  # directories last, or nothing could be put into them
            if part.directory:
                (target / part.name).chmod(0o555)
        target.chmod(0o555)

    def _copy_file(self, source: Path, target: Path) -> None:
        with source.open("rb", buffering=0) as reading, target.open("xb", buffering=0) as writing:
            fast = hasattr(os, "copy_file_range")
            while not self._ending.is_set():
                try:
                    count = os.copy_file_range(reading.fileno(), writing.fileno(), _CHUNK) if fast else 0
                except OSError as error:
                    if error.errno not in _NO_FAST_COPY:
                        raise
                    fast = False
                if not fast:
                    chunk = memoryview(reading.read(_CHUNK))
                    count = len(chunk)
                    while chunk:
                        chunk = chunk[writing.write(chunk) :]
                if count == 0:
                    return
        raise ShuttingDown

    def _hash(self, path: Path) -> bytes:
        hashed = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while not self._ending.is_set():
                chunk = file.read(_CHUNK)
                if not chunk:
                    return hashed.digest()
                hashed.update(chunk)
        raise ShuttingDown

    def _evict(self) -> None:
        """Remove what was begun and left by servers that are gone, and the longest unused entries above the bound."""
        unused: list[tuple[int, int, Path]] = []
        for entry in self._settings.directory.iterdir():
            lock = _locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is None:
                continue
            if entry.name.startswith(_DRAFT):
                _remove(entry, lock)
            else:
                unused.append((os.fstat(lock).st_mtime_ns, _size(entry), entry))
                os.close(lock)
        total = sum(size for _, size, _ in unused)
        for _, size, entry in sorted(unused):
            if total <= self._settings.max_bytes:
                return
            if (lock := _locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)) is not None:
                _remove(entry, lock)
            total -= size


def _remove(entry: Path, lock: int) -> None:
    """Remove what is locked for us alone. It gets another name first: whoever waits for its lock sees that it is gone.

    What cannot be removed is left: another user's, say. It is not in the way, and the next server tries again.
    """
    try:
        if not entry.name.startswith(_DRAFT):
            gone = entry.with_name(f"{_DRAFT}{entry.name}-{os.getpid()}")
            entry.rename(gone)
            entry = gone
        _delete(entry)
    except OSError as error:
        log.warning("'%s' in the model cache cannot be removed: %s", entry, error.strerror)
    finally:
        os.close(lock)


def _locked(directory: Path, how: int) -> int | None:
    """A descriptor with a lock on a directory; None if it is not there, or was renamed or locked by somebody else."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, how)
        if _is_at(lock, directory):
            return lock
    except BlockingIOError:
        pass
    os.close(lock)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still names what the descriptor was opened for."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _size(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())


def _delete(directory: Path) -> None:
    for folder, _, _ in os.walk(directory):
        os.chmod(folder, 0o700)  # from the top: what is read-only cannot be emptied
    shutil.rmtree(directory)
