"""What stands after ``tidegate serve``: models and directories of them, or manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.app.manifests import TypedManifest


def is_manifest(path: Path) -> bool:
    """Whether a path is a manifest: YAML is, and JSON that says of which kind it is, for models are JSON, too."""
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".json") or not path.is_file():
        return False
    return _names_a_kind(path) if suffix == ".json" else not _is_read_by_a_runtime(path)


def _names_a_kind(path: Path) -> bool:
    import msgspec

    from tidegate.resources.manifest import MAX_BYTES

    class Head(msgspec.Struct):
        apiVersion: str
        kind: str

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            return False
        msgspec.json.decode(data, type=Head)
    except (OSError, ValueError):  # whoever reads it as a model says what is wrong with it
        return False
    return True


def _is_read_by_a_runtime(path: Path) -> bool:
    from tidegate.runtimes.catalogue import installed

    return installed().recognises(path)


def typed_manifests(paths: Sequence[Path]) -> tuple[TypedManifest, ...]:
    """The documents of manifests, checked as ``tidegate apply`` checks them.

    Raises:
        Failure: one cannot be read, or is at fault; all faults have been told by then.
    """
    from tidegate.app.manifests import TypedManifest, located
    from tidegate.cli.manifests import Place, read_documents

    directories: dict[str, Path] = {}
    for path in paths:
        directories[_source(path)] = path.parent
    documents: list[Any] = read_documents([str(path) for path in paths], Place(), "started") if paths else []
    return tuple(
        TypedManifest(f"{each.source}:{each.line}", located(each.document, directories[each.source]))
        for each in documents
    )


def _source(path: Path) -> str:
    """As a file is called in what is told of it."""
    from tidegate.protocol.errors import shown

    return shown(path, 1000)
