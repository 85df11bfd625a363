"""``tidegate validate``: manifests held against the schema, without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from tidegate.resources.faults import Fault
    from tidegate.resources.manifest import Manifest

SUFFIXES = (".yaml", ".yml", ".json")
"""What is read of a directory."""


@dataclass(frozen=True)
class Verdict:
    """What is said of one document."""

    source: str
    document: Manifest
    kind: str
    name: str
    faults: Sequence[Fault]
    warnings: Sequence[Fault]
    notes: Sequence[tuple[tuple[str | int, ...], str]]
    """Of a valid one of KServe's, what is not the same here."""


def validate(
    paths: Annotated[tuple[str, ...], Parameter(show_env_var=False, negative=(), allow_leading_hyphen=True)],
    /,
    *,
    strict: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
) -> int:
    """Check manifests, and tell all that is wrong with them at once.

    Parameters
    ----------
    paths
        Files, directories (their .yaml, .yml and .json), or - for stdin.
    strict
        Take warnings for faults: fields of KServe's kinds that are not known here.
    output
        How to write it; json is a list with one entry per document.
    """
    verdicts = [verdict for source, data in texts(paths) for verdict in judge(source, data, strict)]
    if not verdicts:
        raise Failure("there is no document in it", "a manifest begins with apiVersion and kind")
    if output == "json":
        import json

        print(json.dumps([_as_json(verdict) for verdict in verdicts], indent=2))
    else:
        for verdict in verdicts:
            show(verdict)
    wrong = sum(bool(verdict.faults) for verdict in verdicts)
    if output == "text":
        told = f"{wrong} of {len(verdicts)} at fault" if wrong else "all in order" if len(verdicts) > 1 else "in order"
        print(f"{len(verdicts)} document{'s' if len(verdicts) > 1 else ''}, {told}", file=sys.stderr)
    return Exit.FAILED if wrong else Exit.GOOD


def texts(paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """What is in the files, in those of directories, and in stdin (``-``), each with its name.

    Raises:
        Failure: one cannot be read, or a directory holds none.
    """
    from tidegate.protocol.errors import shown
    from tidegate.resources.manifest import MAX_BYTES

    for name in paths:
        if name == "-":
            yield "stdin", sys.stdin.buffer.read(MAX_BYTES + 1)
            continue
        for path in _files(Path(name)):
            try:
                with path.open("rb") as file:
                    yield shown(path, 1000), file.read(MAX_BYTES + 1)
            except OSError as error:
                raise Failure(f"'{shown(path, 1000)}' cannot be read: {error.strerror}") from error


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
    if not found:
        raise Failure(f"there is no manifest in '{path}'", f"files of a directory end with {', '.join(SUFFIXES)}")
    return found


def judge(source: str, data: bytes, strict: bool) -> Iterator[Verdict]:
    """What is to be said of each document of a text."""
    from tidegate.resources.inference_service import InferenceService
    from tidegate.resources.manifest import read_manifests
    from tidegate.resources.translate import translate

    for document in read_manifests(data):
        found = document.inspect(strict=strict)
        notes: Sequence[tuple[tuple[str | int, ...], str]] = ()
        if isinstance(found.resource, InferenceService):
            notes = [(note.path, note.message) for note in translate(found.resource)[1]]
        value: Any = document.value if isinstance(document.value, dict) else {}
        metadata: Any = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        yield Verdict(
            source,
            document,
            kind=_text(value.get("kind")),
            name=_text(name),
            faults=found.faults,
            warnings=found.warnings,
            notes=notes,
        )


def show(verdict: Verdict, file: TextIO | None = None) -> None:
    """Write it line by line; to stdout, or else to ``file``."""
    where = verdict.document.line
    told = [(where(fault.path), "error", fault.message) for fault in verdict.faults]
    told += [(where(fault.path), "warning", fault.message) for fault in verdict.warnings]
    told += [(where(path), "note", message) for path, message in verdict.notes]
    number = f"document {verdict.document.number}: " if verdict.document.number > 1 else ""
    for line, severity, message in sorted(told, key=lambda each: each[0]):
        print(f"{verdict.source}:{line}: {severity}: {number}{message}", file=file)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "source": verdict.source,
        "document": verdict.document.number,
        "line": verdict.document.line(()),
        "kind": verdict.kind,
        "name": verdict.name,
        "valid": not verdict.faults,
        "faults": [_fault_as_json(fault, verdict.document) for fault in verdict.faults],
        "warnings": [_fault_as_json(fault, verdict.document) for fault in verdict.warnings],
        "notes": [
            {"path": _place(path), "line": verdict.document.line(path), "message": message}
            for path, message in verdict.notes
        ],
    }


def _fault_as_json(fault: Fault, document: Manifest) -> dict[str, Any]:
    return {
        "path": fault.place,
        "line": document.line(fault.path),
        "message": fault.message,
        "expected": fault.expected,
        "value": fault.value,
    }


def _place(path: tuple[str | int, ...]) -> str:
    from tidegate.resources.faults import show_path

    return show_path(path)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
