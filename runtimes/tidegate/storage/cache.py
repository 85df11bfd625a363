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
import os
import re
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, ShuttingDown, shown
from tidegate.storage.config import FILE
from tidegate.storage.done import UNHEARD, Done
from tidegate.storage.entry import DRAFT, is_at, locked, remove, size_of
from tidegate.storage.tree import Beside, Part, digest_of, read_parts, size_of_parts

_ENTRY = "sha256-"
_MODEL = "model"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
"""Bytes that are hashed or copied between two looks at whether the server is ending; larger ones are no faster."""
_TRIES = 3
"""Copies of an artifact that is written to meanwhile, before giving up."""
_COPYING = 2
"""Times that each byte of a copy is handled: it is copied, and the copy is hashed."""
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
    config: Path | None = None
    """The copy of the model's settings, where they were taken along."""

    @property
    def folder(self) -> Path:
        """The directory of the artifact's files: the artifact itself, or what its one file lies in."""
        return self.path if self.path.is_dir() else self.path.parent


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

    def hold(
        self,
        path: Path,
        beside: Beside = Beside.NOTHING,
        trusted: bool = True,
        config: Path | None = None,
        done: Done = UNHEARD,
    ) -> Held:
        """Copy the artifact at ``path`` unless its content is here already; see ``read_parts`` for what belongs to it.
        ``done`` counts the bytes that are hashed and copied.

        Raises:
            ModelLoadFailed: it cannot be read or copied, or is written to all the time.
            ShuttingDown: the cache was closed meanwhile.
        """
        try:
            self._settings.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
            read = partial(read_parts, path, beside, trusted, config)
            parts = read()
            done.expect(_COPYING * size_of_parts(parts))
            held = self._kept(parts, done)
            if held is None:
                held = self._copied(path, read, done)
                self._evict()
        except OSError as error:
            where = shown(error.filename or self._settings.directory, 300)
            raise ModelLoadFailed(
                f"'{shown(path, 300)}' cannot be copied to the model cache: '{where}': {error.strerror}; "
                f"--model-cache-directory names another place, --no-model-cache serves files where they lie"
            ) from error
        self._keep(held)
        return held if path.is_dir() else msgspec.structs.replace(held, path=held.path / path.name)

    def hold_digest(self, digest: str, done: Done = UNHEARD) -> Held | None:
        """The copy with this content, hashed again, if it is here. Its ``path`` is a directory, of a file's copy, too.

        Raises:
            ModelLoadFailed: it is damaged, or cannot be read.
            ShuttingDown: the cache was closed meanwhile.
        """
        if not _DIGEST.fullmatch(digest):
            return None
        try:
            held = self._take(digest, done)
        except OSError as error:
            where = shown(error.filename or self._entry(digest), 300)
            raise ModelLoadFailed(f"'{where}' in the model cache cannot be read: {error.strerror}") from error
        return None if held is None else self._keep(held)

    def pin(self, digest: str) -> Held | None:
        """The same without a look at its content: it stays where it is, for whoever takes it later."""
        if not _DIGEST.fullmatch(digest):
            return None
        entry = self._entry(digest)
        lock = locked(entry, fcntl.LOCK_SH)
        return None if lock is None else self._keep(Held(entry / _MODEL, digest, lock, _config_in(entry)))

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

    def _kept(self, parts: tuple[Part, ...], done: Done) -> Held | None:
        """The entry with this content, if it is here and whole."""
        if not any(self._settings.directory.glob(f"{_ENTRY}*")):
            return None
        done.expect(size_of_parts(parts))
        return self._take(self._digest(parts, done), done)

    def _take(self, digest: str, done: Done) -> Held | None:
        entry = self._entry(digest)
        lock = locked(entry, fcntl.LOCK_SH)
        if lock is None:
            return None
        try:
            parts = _parts_in(entry)
            done.expect(size_of_parts(parts))
            whole = self._digest(parts, done) == digest
        except BaseException:
            os.close(lock)
            raise
        if whole:
            os.utime(entry)
            return Held(entry / _MODEL, digest, lock, _config_in(entry))
        os.close(lock)
        if (lock := locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
            raise ModelLoadFailed(f"'{entry}' in the model cache is damaged, and in use")
        remove(entry, lock)
        return None

    def _copied(self, path: Path, read: Callable[[], tuple[Part, ...]], done: Done) -> Held:
        for attempt in range(_TRIES):
            before = read()
            if attempt:
                done.expect(_COPYING * size_of_parts(before))
            draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self._settings.directory))
            lock = locked(draft, fcntl.LOCK_EX)
            if lock is None:  # another server has taken it for a dead one's, in the moment before it was locked
                continue
            held = None
            try:
                self._copy(before, draft, done)
                if read() == before:
                    held = self._published(draft, self._digest(_parts_in(draft), done), lock)
            finally:
                if held is None:
                    remove(draft, lock)
            if held is not None:
                return held
            if (faster := self._kept(read(), done)) is not None:
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
        return Held(entry / _MODEL, digest, lock, _config_in(entry)) if is_at(lock, entry) else None

    def _entry(self, digest: str) -> Path:
        return self._settings.directory / f"{_ENTRY}{digest}"

    def _keep(self, held: Held) -> Held:
        with self._guard:
            self._held[held.lock] = held
        return held

    def _digest(self, parts: tuple[Part, ...], done: Done) -> str:
        return digest_of(parts, partial(self._hash, done))

    def _copy(self, parts: tuple[Part, ...], draft: Path, done: Done) -> None:
        target = draft / _MODEL
        target.mkdir()
        for part in parts:
            place = (draft if part.name == FILE else target) / part.name
            if part.directory:
                place.mkdir(exist_ok=True)
            else:
                self._copy_file(part.path, place, done)
                place.chmod(0o444)
        for part in reversed(parts):  # directories last, or nothing could be put into them
            if part.directory:
                (target / part.name).chmod(0o555)
        target.chmod(0o555)

    def _copy_file(self, source: Path, target: Path, done: Done) -> None:
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
                done.add(count)
        raise ShuttingDown

    def _hash(self, done: Done, path: Path) -> bytes:
        hashed = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while not self._ending.is_set():
                chunk = file.read(_CHUNK)
                if not chunk:
                    return hashed.digest()
                hashed.update(chunk)
                done.add(len(chunk))
        raise ShuttingDown

    def _evict(self) -> None:
        """Remove what was begun and left by servers that are gone, and the longest unused entries above the bound."""
        unused: list[tuple[int, int, Path]] = []
        for entry in self._settings.directory.iterdir():
            lock = locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is None:
                continue
            if entry.name.startswith(DRAFT):
                remove(entry, lock)
            else:
                unused.append((os.fstat(lock).st_mtime_ns, size_of(entry), entry))
                os.close(lock)
        total = sum(size for _, size, _ in unused)
        for _, size, entry in sorted(unused):
            if total <= self._settings.max_bytes:
                return
            if (lock := locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)) is not None:
                remove(entry, lock)
            total -= size


def _parts_in(entry: Path) -> tuple[Part, ...]:
    return read_parts(entry / _MODEL, config=_config_in(entry))


def _config_in(entry: Path) -> Path | None:
    """The model's settings in an entry. They lie beside the model, so that it is found as it was."""
    config = entry / FILE
    return config if config.is_file() else None
