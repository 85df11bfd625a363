"""What belongs to an artifact, file by file: a directory with everything in it, or a file with what is beside it.

Nothing but files and directories is taken: reading a pipe waits for ever, a device is endless. A link is what it leads
to, wherever that is, if its owner is trusted: a hub's cache and a mounted ConfigMap consist of such links. From others
a link may lead to places below the artifact's own directory only. A hard link cannot be told from a file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.storage.config import FILE

MAX_ENTRIES = 100_000
"""Files and directories of one artifact; a tokenizer or a SavedModel has dozens."""
MAX_DEPTH = 64

_BYTECODE = "__pycache__"
"""Python writes it, a worker of root's into a read-only directory, too: it would be a change of the content."""
_COMPANION = "._-"
"""What may follow the stem in the name of a file that belongs to another."""


class Beside(Enum):
    """Which files beside a file belong to it."""

    NOTHING = "nothing"
    NAMED = "named"
    """Those that begin with its stem: it lies among other models."""
    ALL = "all"
    """It has a directory of its own."""


class Part(msgspec.Struct, frozen=True):
    """A file or a directory of an artifact. ``name`` counts from the artifact's own place; "" is a directory itself."""

    name: str
    path: Path
    directory: bool
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0


def read_parts(
    path: Path, beside: Beside = Beside.NOTHING, trusted: bool = True, config: Path | None = None
) -> tuple[Part, ...]:
    """The parts of the artifact at ``path``, sorted by name; ``beside`` is for one that is a file.

    Hidden entries, Python's bytecode and the model's own ``model.yaml`` are no parts; but ``config`` is one, under the
    name ``model.yaml`` wherever it lies, for whom a model's settings are part of what it is.

    Raises:
        ModelLoadFailed: something is neither file nor directory, leads where it may not, or cannot be read.
    """
    whole = path.is_dir()
    walk = _Walk(path, "" if trusted else os.path.realpath(path if whole else path.parent))
    try:
        parts = list(walk.directory(path, "", ()) if whole else walk.files(path, beside))
        if config is not None:
            own = _Walk(config, "" if trusted else os.path.realpath(config.parent))  # above its versions, say
            parts.append(own.file(config, FILE))
    except OSError as error:
        where = shown(error.filename or path, 300)
        raise ModelLoadFailed(f"'{where}' cannot be read: {error.strerror}") from error
    return tuple(sorted(parts, key=lambda part: part.name))


def size_of_parts(parts: tuple[Part, ...]) -> int:
    """Bytes of all files."""
    return sum(part.size for part in parts)


class _Walk:
    """``base`` is what links may not lead out of; "" lets them lead anywhere."""

    def __init__(self, top: Path, base: str) -> None:
        self._top = top
        self._base = base
        self._entries = 0

    def directory(self, path: Path, name: str, above: tuple[tuple[int, int], ...]) -> Iterator[Part]:
        status = path.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above or len(above) == MAX_DEPTH:
            raise ModelLoadFailed(f"'{shown(path, 300)}' is a directory that leads into itself, or is too deep")
        yield Part(name, path, directory=True)
        with os.scandir(path) as entries:
            visible = [entry.name for entry in entries if not entry.name.startswith(".") and entry.name != _BYTECODE]
        for child in sorted(visible):
            if not name and child == FILE:
                continue
            inner = f"{name}/{child}" if name else child
            if (path / child).is_dir():
                self._count()
                self._check(path / child)
                yield from self.directory(path / child, inner, (*above, identity))
            else:
                yield self.file(path / child, inner)

    def files(self, path: Path, beside: Beside) -> Iterator[Part]:
        yield self.file(path, path.name)
        if beside is Beside.NOTHING:
            return
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
        for name in sorted(names):
            belongs = beside is Beside.ALL or (name.startswith(path.stem) and name[len(path.stem) :][:1] in _COMPANION)
            if belongs and name != path.name and not name.endswith(FILE):
                yield self.file(path.parent / name, name)

    def file(self, path: Path, name: str) -> Part:
        self._count()
        self._check(path)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelLoadFailed(f"'{shown(path, 300)}' is neither a file nor a directory")
        return Part(name, path, False, status.st_size, status.st_mtime_ns, status.st_ino)

    def _count(self) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ModelLoadFailed(f"'{shown(self._top, 300)}' holds more than {MAX_ENTRIES} files and directories")

    def _check(self, path: Path) -> None:
        if self._base and os.path.commonpath((self._base, os.path.realpath(path))) != self._base:
            raise ModelLoadFailed(
                f"'{shown(path, 300)}' is a link that leads out of the model's directory; from a source that is not "
                f"trusted only links within it are followed"
            )


def digest_of(parts: tuple[Part, ...], hash_file: Callable[[Path], bytes]) -> str:
    """SHA-256 over the names of all parts and the hashes of the files, in hexadecimal digits.

    Where the artifact lies is not in it, so that a file has the digest of a directory with this file alone.
    """
    whole = hashlib.sha256()
    for part in parts:
        if not part.name:
            continue
        content = b"directory" if part.directory else hash_file(part.path)
        for field in (os.fsencode(part.name), content):
            whole.update(len(field).to_bytes(8, "little"))
            whole.update(field)
    return whole.hexdigest()
