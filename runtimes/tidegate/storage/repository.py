"""Which models a path holds.

::

    iris.joblib                   one model, named after the file; iris.model.yaml beside it configures it
    iris/model.joblib             one model, named after the directory; iris/model.yaml configures it
    iris/3/model.joblib           the same with versions, of which its version policy serves the highest
    iris/3/saved_model.pb         a directory is one model, too, if it holds a file that marks one …
    iris/3/model.savedmodel/      … and may lie one level deeper, as in Triton's repositories
    models/                       a directory of any of the above, each named after its file or directory

A file is a model if an installed runtime knows its suffix, a directory if one knows a file in it as its marker; the
marker goes before the suffixes. What is neither is passed over, so notes and data may lie beside models; what could be
read in two ways is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.catalogue import Catalogue, installed
from tidegate.runtimes.runtime import Format, Runtime
from tidegate.storage.config import FILE, NO_CONFIG, ModelConfig, read_config
from tidegate.storage.listing import Folder, read_listing
from tidegate.storage.policy import chosen_versions
from tidegate.storage.tree import Beside

FIRST_VERSION = "1"
"""The version of a model that has no version folders."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")

ReadConfig = Callable[[Path], ModelConfig]


class NothingHere(ModelLoadFailed):
    """A directory that holds no model, but may hold one later."""


class ModelSource(msgspec.Struct, frozen=True):
    """A version of a model that was found: a file or a directory, who reads it, and what its owner says of it."""

    name: str
    version: str
    path: Path
    runtime: str
    format: str
    beside: Beside = Beside.NOTHING
    """Which files beside ``path`` belong to it."""
    config: ModelConfig = NO_CONFIG
    config_path: Path | None = None
    """The file that ``config`` was read from."""


class Found(msgspec.Struct, frozen=True):
    """What one folder holds as one model. ``own``: the folder is its own."""

    path: Path
    runtime: Runtime
    form: Format
    own: bool = True


def scan(path: Path, name: str | None = None) -> tuple[ModelSource, ...]:
    """The versions of the models at ``path``, sorted by name and number; at least one. ``name`` renames a single model.

    Raises:
        ModelLoadFailed: nothing is there, it cannot be read, no runtime knows it, or it can be understood in two ways.
    """
    path = Path(os.path.abspath(path))  # not resolved: a link is named as its owner named it
    found = _found(path, installed())
    if name is None:
        return found
    if count := len({source.name for source in found}) - 1:
        raise ModelLoadFailed(f"'{shown(path, 300)}' holds {count + 1} models; the name '{shown(name)}' fits only one")
    if not _NAME.fullmatch(name):
        raise ModelLoadFailed(
            f"'{shown(name)}' is no valid model name; expected up to 128 letters, digits, '.', '_' and '-', "
            f"the first a letter or digit"
        )
    return tuple(msgspec.structs.replace(source, name=name) for source in found)


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
        return choose(read_listing(path), catalogue, read_config)
    return (_lone_file(path, catalogue),)


def _lone_file(path: Path, catalogue: Catalogue) -> ModelSource:
    """A file that was named itself. A ``model.yaml`` beside it makes its folder the folder of this model."""
    reading = Reading(catalogue, read_config)
    own = reading.config_beside(path)
    beside = [name for name in (own, path.parent / FILE) if name and name.is_file()]
    return reading.file(path, beside[0] if beside else None)


def choose(folder: Folder, catalogue: Catalogue, read: ReadConfig) -> tuple[ModelSource, ...]:
    """The models in a listing: the folder itself if it is one model, else everything in it, sorted by name and version.

    ``read`` is asked for the configuration of each model that has a file of it.

    Raises:
        ModelLoadFailed: see ``scan``.
    """
    reading = Reading(catalogue, read)
    files = reading.files(folder)
    versions = [child for child in folder.folders if _VERSION.fullmatch(child.path.name)]
    named = reading.models([child for child in folder.folders if child not in versions])
    alone = not named and (
        any(reading.holds(child) for child in versions) or [reading.stem(file) for file in files] == ["model"]
    )
    if alone or reading.is_marked(folder) or folder.path / FILE in folder.files:
        return reading.model(folder) or _nothing(folder, catalogue)
    found = [
        *named,
        *reading.models(versions),
        *((reading.file(file, reading.beside(folder, file)),) for file in files),
    ]
    if not found:
        return _nothing(folder, catalogue)
    found.sort(key=lambda versions: versions[0].name)
    for (one, *_), (other, *_) in pairwise(found):
        if one.name == other.name:
            raise ModelLoadFailed(
                f"two models are named '{one.name}': '{shown(one.path, 300)}' and '{shown(other.path, 300)}'"
            )
    return tuple(source for versions in found for source in versions)


def _nothing(folder: Folder, catalogue: Catalogue) -> tuple[ModelSource, ...]:
    markers = "".join(f", or {name}" for name in sorted(catalogue.markers()))
    raise NothingHere(
        f"directory '{shown(folder.path, 300)}' holds no model; expected files ending in one of "
        f"{', '.join(catalogue.suffixes())}{markers}, or directories with one such file each"
    )


class Reading:
    """How one catalogue and one reader of configurations understand folders."""

    def __init__(self, catalogue: Catalogue, read: ReadConfig) -> None:
        self._catalogue = catalogue
        self._read = read
        self._markers = catalogue.markers()

    def files(self, folder: Folder) -> list[Path]:
        """Those that are models by their suffix."""
        return [file for file in folder.files if self._catalogue.recognises(file)]

    def is_marked(self, folder: Folder) -> bool:
        return any(file.name in self._markers for file in folder.files)

    def holds(self, folder: Folder) -> bool:
        """Whether a folder is one model, or holds files or marked folders that are."""
        return bool(self.is_marked(folder) or self.files(folder) or any(map(self.is_marked, folder.folders)))

    def models(self, folders: list[Folder]) -> list[tuple[ModelSource, ...]]:
        """Of each folder that is a model its versions."""
        return [versions for folder in folders if (versions := self.model(folder))]

    def model(self, folder: Folder) -> tuple[ModelSource, ...]:
        """The versions of the one model that a folder is; none if neither it nor its version folders hold one."""
        versions = {child.path.name: child for child in folder.folders if _VERSION.fullmatch(child.path.name)}
        numbered = not self.is_marked(folder) and any(self.holds(child) for child in versions.values())
        if not numbered and not self.holds(folder):
            return ()
        described = folder.path / FILE if folder.path / FILE in folder.files else None
        config = self._read(described) if described else NO_CONFIG
        if not numbered:
            return (self._source(self._one(folder, config), folder.path, config, described),)
        if files := self.files(folder):
            raise ModelLoadFailed(
                f"directory '{shown(folder.path, 300)}' holds both '{shown(files[0].name)}' and version folders; "
                f"expected one or the other"
            )
        return tuple(
            self._source(self._version(versions[version], config), folder.path, config, described, version)
            for version in chosen_versions(folder.path, versions, config.version_policy)
        )

    def file(self, file: Path, described: Path | None) -> ModelSource:
        """A file without a folder of its own."""
        config = self._read(described) if described else NO_CONFIG
        runtime, form = self._catalogue.detect(file, config.runtime)
        return self._source(Found(file, runtime, form, own=False), file, config, described)

    def beside(self, folder: Folder, file: Path) -> Path | None:
        """The configuration of a file among others."""
        path = self.config_beside(file)
        return path if path in folder.files else None

    def config_beside(self, file: Path) -> Path | None:
        return file.with_name(f"{self.stem(file)}.{FILE}") if self._catalogue.recognises(file) else None

    def stem(self, file: Path) -> str:
        ends = [end for end in self._catalogue.suffixes() if file.name.lower().endswith(end)]
        return file.name[: -len(max(ends, key=len))] if ends else file.name

    def _version(self, folder: Folder, config: ModelConfig) -> Found:
        if folder.path / FILE in folder.files:
            raise ModelLoadFailed(
                f"'{shown(folder.path / FILE, 300)}' stands in a version folder; expected it in "
                f"'{shown(folder.path.parent, 300)}', for all versions"
            )
        return self._one(folder, config)

    def _one(self, folder: Folder, config: ModelConfig) -> Found:
        """The model in a folder: the folder itself, else the one file in it, else the one marked folder in it."""
        if marked := self._marked(folder, config):
            return marked
        files = self.files(folder)
        if config.runtime and len(files) > 1:
            suffixes = tuple(end for form in self._catalogue.find(config.runtime).formats for end in form.suffixes)
            files = [file for file in files if file.name.lower().endswith(suffixes)]
        inner = [] if files else [found for child in folder.folders if (found := self._marked(child, config))]
        if len(inner) == 1:
            return inner[0]
        if len(files) != 1:
            held = [*files, *(found.path for found in inner)]
            names = ", ".join(f"'{shown(path.name)}'" for path in held[:4]) or "none"
            raise ModelLoadFailed(
                f"directory '{shown(folder.path, 300)}' must hold exactly one model file; it holds {names}"
            )
        runtime, form = self._catalogue.detect(files[0], config.runtime)
        return Found(files[0], runtime, form)

    def _marked(self, folder: Folder, config: ModelConfig) -> Found | None:
        try:
            marked = self._catalogue.marked({file.name for file in folder.files}, config.runtime)
        except ModelLoadFailed as error:
            raise ModelLoadFailed(f"'{shown(folder.path, 300)}': {error.message}") from error
        return marked and Found(folder.path, *marked)

    def _source(
        self, found: Found, subject: Path, config: ModelConfig, described: Path | None, version: str = FIRST_VERSION
    ) -> ModelSource:
        """A model named as its owner says, else after its folder where it has one of its own, else after its file."""
        called = subject.name if found.own else self.stem(subject)
        name = config.name or _UNFIT.sub("-", called).lstrip("._-")[:128]
        if not name:
            raise ModelLoadFailed(
                f"no model name can be made from '{shown(subject, 300)}'; expected letters or digits in it"
            )
        beside = Beside.ALL if found.own else Beside.NAMED
        return ModelSource(
            name,
            version,
            found.path,
            found.runtime.name,
            found.form.name,
            beside if found.form.companions else Beside.NOTHING,
            config,
            described,
        )
