"""The file of API keys: read as a whole or not at all, replaced in one step, and by one writer at a time."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from tidegate.identity.key import Key, Keys
from tidegate.identity.settings import Unusable

MAX_BYTES = 16 << 20
"""Of the file, so that a wrong path does not fill the memory; more than 50,000 keys."""


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds, as JSON."""

    version: Literal[1]
    keys: tuple[Key, ...] = ()


def read_keys(path: Path) -> Keys:
    """All keys of a file.

    Raises:
        Unusable: there is none, others may write to it, or anything in it is not as it should be.
    """
    try:
        with path.open("rb") as file:
            check_owner(path, os.fstat(file.fileno()))
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unusable(f"API keys {path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise Unusable(f"API keys {path} are larger than {MAX_BYTES >> 20} MiB, which no such file is")
    try:
        return Keys.of(msgspec.json.decode(data, type=Content).keys)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Unusable(f"API keys {path} cannot be used: {error}") from error


def check_owner(path: Path, status: os.stat_result) -> None:
    """Whether the file is one that only its owner, who is us or root, can have written.

    Raises:
        Unusable: it is not.
    """
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable(f"API keys {path} can be written by other users; expected a file of yours with mode 0600")


@contextmanager
def changing(path: Path) -> Iterator[list[Key]]:
    """The keys of a file, to be changed in place; on leaving the file is replaced, unless there was an error.

    Who else changes it meanwhile waits. A file that is not there yet is an empty one.

    Raises:
        Unusable: as ``read_keys``; or it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise Unusable(f"API keys {path} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = list(read_keys(path).by_id.values()) if path.exists() else []
        yield keys
        Keys.of(keys)
        _replace(path, msgspec.json.format(msgspec.json.encode(Content(1, tuple(keys))), indent=1), folder)
    finally:
        os.close(folder)


def _replace(path: Path, data: bytes, folder: int) -> None:
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # with mode 0600
        try:
            with open(number, "wb") as file:
                file.write(data + b"\n")
                file.flush()
                os.fsync(number)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        os.fsync(folder)
    except OSError as error:
        raise Unusable(f"API keys {path} cannot be written: {error.strerror or error}") from error
