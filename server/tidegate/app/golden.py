"""Where requests with known answers are read: files of this machine that whoever writes a manifest may have read.

That is not any file. What stands in it is shown where a model answers otherwise, so that one who may only write
manifests could read this machine's files by it. It must lie in the model's own directory, or in one that the server
was told to trust, with all links followed.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tidegate.batching.checks import check_seconds, check_whole
from tidegate.control.location import path_of
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.trust import TrustPolicy

FIELD = "spec.rollout.analysis.golden.uri"
MIB = 1 << 20


class GoldenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What stored requests may take.

    Raises:
        ValueError: a bound is below what it can be.
    """

    max_requests: int = 1000
    """In all files together. They are sent one after the other."""
    max_bytes: int = 64 * MIB
    """All files together, which are read as a whole."""
    timeout: float = 60.0
    """Seconds for one answer; the gateway's own default."""

    def __post_init__(self) -> None:
        check_whole(self, 1, "max_requests", "max_bytes")
        check_seconds(self, "timeout")


class Unreadable(Exception):
    """There are no stored requests to be had; the message is one sentence."""


def documents(uri: str, model: Path | None, trust: TrustPolicy, settings: GoldenSettings) -> list[tuple[str, bytes]]:
    """The documents of a file or a directory, in the order of their names, each with where it lies.

    ``model`` is the path of the model that they belong to, from which a relative one counts: it is its directory, or
    lies in it. A directory is read without those below it.

    Raises:
        Unreadable: there is none, it may not be read, or there is too much.
    """
    base = None if model is None else model if model.is_dir() else model.parent
    try:
        path = path_of(uri, base, FIELD)
    except ModelLoadFailed as error:
        raise Unreadable(error.message) from error
    allowed = trust if model is None else TrustPolicy((*trust.directories, model))
    try:
        return _read(Path(os.path.realpath(path)), uri, allowed, settings)
    except OSError as error:
        raise Unreadable(f"{FIELD} '{shown(uri, 300)}' cannot be read: {error.strerror}") from error


def _read(path: Path, uri: str, allowed: TrustPolicy, settings: GoldenSettings) -> list[tuple[str, bytes]]:
    told = f"{FIELD} '{shown(uri, 300)}'"
    if not allowed.trusts(path):  # before it is looked at: whether it is there is nobody's business either
        raise Unreadable(
            f"{told} lies neither in the model's own directory nor below one that --trust names, and is not read"
        )
    files = sorted(each for each in path.iterdir() if each.suffix in (".json", ".jsonl")) if path.is_dir() else [path]
    found: list[tuple[str, bytes]] = []
    left = settings.max_bytes
    for each in files:
        file = Path(os.path.realpath(each))
        if not allowed.trusts(file):
            raise Unreadable(f"{told}: {shown(each.name)} is a link that leads to where nothing is read")
        if not file.is_file():
            raise Unreadable(f"{told}: {shown(each.name)} is no file")
        with file.open("rb") as opened:
            data = opened.read(left + 1)
        left -= len(data)
        if left < 0:
            raise Unreadable(f"{told} has more than {settings.max_bytes} bytes, which is the limit")
        found += _documents(each, data)
        if len(found) > settings.max_requests:
            raise Unreadable(f"{told} has more than {settings.max_requests} requests, which is the limit")
    if not found:
        raise Unreadable(f"{told} has no requests, expected files NAME.json")
    return found


def _documents(file: Path, data: bytes) -> list[tuple[str, bytes]]:
    """The one of a file, or those of its lines."""
    if file.suffix != ".jsonl":
        return [(shown(file.name), data)]
    lines = enumerate(data.splitlines(), 1)
    return [(f"{shown(file.name)}:{number}", line) for number, line in lines if line.strip()]
