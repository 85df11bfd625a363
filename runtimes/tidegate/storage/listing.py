"""What lies in a directory, as a value: a snapshot of names, four levels deep, that decisions are made over."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown

DEPTH = 4
"""A directory of models, a model in it, a version of that model, the directory that the version is."""


class Folder(msgspec.Struct, frozen=True):
    """A directory's visible content, sorted by name. ``folders`` is empty at the deepest level that is read."""

    path: Path
    files: tuple[Path, ...] = ()
    folders: tuple[Folder, ...] = ()


def read_listing(path: Path, depth: int = DEPTH) -> Folder:
    """List a directory and, ``depth`` levels in all, what is below it.

    Hidden entries are left out. Links are followed: whoever vouches for the directory vouches for what it links to,
    and a mounted ConfigMap or a hub's cache consists of links. What is no directory counts as a file; whether it
    can be read is found out when it is loaded.

    Raises:
        ModelLoadFailed: a directory cannot be read.
    """
    files: list[Path] = []
    folders: list[Folder] = []
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        for entry in entries:
            if entry.is_dir():
                if depth > 1:
                    folders.append(read_listing(entry, depth - 1))
            else:
                files.append(entry)
    except OSError as error:
        raise ModelLoadFailed(f"directory '{shown(path, 300)}' cannot be read: {error.strerror}") from error
    return Folder(path, tuple(files), tuple(folders))
