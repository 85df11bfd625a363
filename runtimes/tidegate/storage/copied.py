"""What a copy in the model cache is: the model of it, told as ``repository`` tells it of where it was copied from."""

from __future__ import annotations

from pathlib import Path

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.catalogue import Catalogue, installed
from tidegate.storage.cache import Held
from tidegate.storage.config import NO_CONFIG, read_config
from tidegate.storage.listing import read_listing
from tidegate.storage.repository import FIRST_VERSION, ModelSource


def copied_source(held: Held, name: str = "model", version: str = FIRST_VERSION) -> ModelSource:
    """The model in a copy, under a name and a version that its owner gives it.

    Raises:
        ModelLoadFailed: no runtime reads it, or it can be understood in two ways.
    """
    catalogue = installed()
    config = read_config(held.config) if held.config is not None else NO_CONFIG
    listing = read_listing(held.folder, depth=1)
    marked = catalogue.marked({file.name for file in listing.files}, config.runtime)
    path = held.folder if marked else _main(listing.files, catalogue, config.runtime, held.digest)
    runtime, form = marked or catalogue.detect(path, config.runtime)
    return ModelSource(
        name, version, path, runtime.name, form.name, config=config, config_path=held.config
    )  # what lies beside it belongs to it, and has been copied already


def _main(files: tuple[Path, ...], catalogue: Catalogue, runtime: str, digest: str) -> Path:
    """The file that was copied; those that came along begin with its stem, so that it has the shortest name."""
    suffixes = catalogue.suffixes()
    if runtime:
        suffixes = tuple(end for form in catalogue.find(runtime).formats for end in form.suffixes)
    found = sorted((file for file in files if file.name.lower().endswith(suffixes)), key=lambda file: len(file.name))
    if not found:
        names = ", ".join(shown(file.name) for file in files[:4]) or "nothing"
        raise ModelLoadFailed(f"the copy sha256:{digest} holds {names}, which no installed runtime reads")
    return found[0]
