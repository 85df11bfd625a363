"""Which models a path holds.

::

    iris.joblib                   one model, named after the file
    iris/model.joblib             one model, named after the directory
    iris/3/model.joblib           the same with versions: the highest is taken
    models/                       a directory of any of the above, each named after its file or directory

A file is a model if an installed runtime knows its suffix. What is not one is passed over, so notes and data may lie
beside models; what could be read in two ways is refused.
"""

from __future__ import annotations

import os
import re
import stat
from itertools import pairwise
from pathlib import Path

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.catalogue import Catalogue, installed
from tidegate.storage.listing import Folder, read_listing

FIRST_VERSION = "1"
"""The version of a model that has no version folders."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")


class ModelSource(msgspec.Struct, frozen=True):
    """A model that was found: a file, and who reads it."""

    name: str
    version: str
    path: Path
    runtime: str
    format: str


def scan(path: Path, name: str | None = None) -> tuple[ModelSource, ...]:
    """The models at ``path``, sorted by name; at least one. ``name`` renames a single model.

    Raises:
        ModelLoadFailed: nothing is there, it cannot be read, no runtime knows it, or it can be understood in two ways.
    """
    path = Path(os.path.abspath(path))  # not resolved: a link is named as its owner named it
    found = _found(path, installed())
    if name is None:
        return found
    if len(found) > 1:
        raise ModelLoadFailed(f"'{shown(path, 300)}' holds {len(found)} models; the name '{shown(name)}' fits only one")
    if not _NAME.fullmatch(name):
        raise ModelLoadFailed(
            f"'{shown(name)}' is no valid model name; expected up to 128 letters, digits, '.', '_' and '-', "
            f"the first a letter or digit"
        )
    return (msgspec.structs.replace(found[0], name=name),)


def _found(path: Path, catalogue: Catalogue) -> tuple[ModelSource, ...]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ModelLoadFailed(
            f"'{shown(path, 300)}' does not exist; expected a model file or a directory of models"
        ) from None
    except OSError as error:
        raise ModelLoadFailed(f"'{shown(path, 300)}' cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        return choose(read_listing(path), catalogue)
    return (_source(path, catalogue),)


def choose(folder: Folder, catalogue: Catalogue) -> tuple[ModelSource, ...]:
    """The models in a listing: the folder itself if it is one model, else everything in it, sorted by name.

    Raises:
        ModelLoadFailed: see ``scan``.
    """
    files = _files(folder, catalogue)
    versions = [child for child in folder.folders if _VERSION.fullmatch(child.path.name)]
    named = _models([child for child in folder.folders if child not in versions], catalogue)
    numbered = any(_files(child, catalogue) for child in versions)
    if not named and (numbered or [_stem(file, catalogue) for file in files] == ["model"]):
        return tuple(_models([folder], catalogue))
    found = [*named, *_models(versions, catalogue), *(_source(file, catalogue) for file in files)]
    if not found:
        raise ModelLoadFailed(
            f"directory '{shown(folder.path, 300)}' holds no model; expected files ending in one of "
            f"{', '.join(catalogue.suffixes())}, or directories with one such file each"
        )
    found.sort(key=lambda source: source.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise ModelLoadFailed(
                f"two models are named '{one.name}': '{shown(one.path, 300)}' and '{shown(other.path, 300)}'"
            )
    return tuple(found)


def _models(folders: list[Folder], catalogue: Catalogue) -> list[ModelSource]:
    return [source for folder in folders if (source := _model(folder, catalogue)) is not None]


def _model(folder: Folder, catalogue: Catalogue) -> ModelSource | None:
    """The one model that a folder is; None if no file in it or in its version folders is one."""
    files = _files(folder, catalogue)
    versions = {child.path.name: child for child in folder.folders if _VERSION.fullmatch(child.path.name)}
    if not any(_files(child, catalogue) for child in versions.values()):
        return _source(_only(folder, files), catalogue, folder.path) if files else None
    if files:
        raise ModelLoadFailed(
            f"directory '{shown(folder.path, 300)}' holds both '{shown(files[0].name)}' and version folders; "
            f"expected one or the other"
        )
    # The highest number counts even if it is empty: an older model in its place would be a silent surprise.
    highest = max(versions, key=int)
    file = _only(versions[highest], _files(versions[highest], catalogue))
    return _source(file, catalogue, folder.path, highest)


def _files(folder: Folder, catalogue: Catalogue) -> list[Path]:
    return [file for file in folder.files if catalogue.recognises(file)]


def _only(folder: Folder, files: list[Path]) -> Path:
    if len(files) != 1:
        held = ", ".join(f"'{shown(file.name)}'" for file in files[:4]) or "none"
        raise ModelLoadFailed(
            f"directory '{shown(folder.path, 300)}' must hold exactly one model file; it holds {held}"
        )
    return files[0]


def _source(file: Path, catalogue: Catalogue, folder: Path | None = None, version: str = FIRST_VERSION) -> ModelSource:
    """A model named after its folder where it has one of its own, else after its file."""
    runtime, form = catalogue.detect(file)
    name = _UNFIT.sub("-", folder.name if folder else _stem(file, catalogue)).lstrip("._-")[:128]
    if not name:
        raise ModelLoadFailed(
            f"no model name can be made from '{shown(folder or file, 300)}'; expected letters or digits in it"
        )
    return ModelSource(name, version, file, runtime.name, form.name)


def _stem(file: Path, catalogue: Catalogue) -> str:
    suffix = max((end for end in catalogue.suffixes() if file.name.lower().endswith(end)), key=len)
    return file.name[: -len(suffix)]
