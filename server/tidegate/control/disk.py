"""Looking at the paths that are served: what each holds, and what is wrong with what cannot be told.

One model that is wrong hides no other: it becomes a problem under its name, and what is served of it stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tidegate.control.offer import Offer, Survey
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.catalogue import installed
from tidegate.storage.config import FILE, read_config
from tidegate.storage.listing import Folder, read_listing
from tidegate.storage.repository import ModelSource, NothingHere, choose, scan
from tidegate.storage.tree import Part, read_parts


class Root(msgspec.Struct, frozen=True):
    """A path that the user named, and the name for the single model in it, if there is one."""

    path: Path
    name: str | None = None


def survey(roots: Iterable[Root], trusted: bool) -> Survey:
    """Look at all of them. It reads directories and configurations, and blocks."""
    offers: dict[str, dict[str, Offer]] = {}
    problems: dict[str, str] = {}
    unread: dict[Path, str] = {}
    for root in roots:
        try:
            sources = _sources(root, problems)
        except ModelLoadFailed as error:
            unread[root.path] = error.message
            continue
        for source in sources:
            offer = Offer(source, _parts(source, trusted), root.path)
            former = offers.setdefault(source.name, {}).setdefault(source.version, offer)
            if former.source.path != source.path:
                problems[source.name] = (
                    f"{former.source.path} and {source.path} would both be model '{source.name}' "
                    f"version {source.version}"
                )
    told = {
        name: dict(sorted(versions.items(), key=lambda item: int(item[0])))
        for name, versions in sorted(offers.items())
        if name not in problems
    }
    return Survey(told, problems, unread)


def _sources(root: Root, problems: dict[str, str]) -> list[ModelSource]:
    try:
        return list(scan(root.path, root.name))
    except NothingHere:
        return []
    except ModelLoadFailed:
        path = Path(os.path.abspath(root.path))
        if root.name is not None or not path.is_dir():
            raise
        folder = read_listing(path)
        if folder.path / FILE in folder.files or any(child.path.name.isdecimal() for child in folder.folders):
            raise  # it is, or may be, one model itself
    return _one_by_one(folder, problems)


def _one_by_one(folder: Folder, problems: dict[str, str]) -> list[ModelSource]:
    """The models in a folder that is wrong as a whole."""
    catalogue = installed()
    pieces = [Folder(folder.path, (), (child,)) for child in folder.folders]
    pieces += [
        Folder(folder.path, tuple(file for file in folder.files if file == path or _beside(file, path)))
        for path in folder.files
        if catalogue.recognises(path)
    ]
    found: list[ModelSource] = []
    for piece in pieces:
        try:
            found += choose(piece, catalogue, read_config)
        except NothingHere:
            continue
        except ModelLoadFailed as error:
            named = piece.folders[0].path if piece.folders else piece.files[0]
            problems[named.name.partition(".")[0] if piece.files else named.name] = error.message
    return found


def _beside(file: Path, model: Path) -> bool:
    """Whether a file is the configuration of another one."""
    return file.name.endswith(f".{FILE}") and model.name.startswith(file.name.removesuffix(FILE))


def _parts(source: ModelSource, trusted: bool) -> tuple[Part, ...]:
    try:
        return read_parts(source.path, source.beside, trusted)
    except ModelLoadFailed:
        return ()  # its load will say why
