"""From a document to a resource, or to everything that is wrong with it; and back.

Three looks, each of which leaves out what it found fault with, so that the next one can still look at the rest:
names (``sift``), values (pydantic), and what only several fields together can tell (``rules``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tidegate.protocol.errors import quoted
from tidegate.resources.bounds import bound_fault
from tidegate.resources.faults import Fault, InvalidManifest, Path, wrong
from tidegate.resources.inference_service import InferenceServiceSpec
from tidegate.resources.kinds import KINDS, Kind
from tidegate.resources.metadata import Resource
from tidegate.resources.rules import broken_rules
from tidegate.resources.section import Shape, fields_of, shape_of
from tidegate.resources.sift import Hints, Sieve, hints_from

_KEY = "[key]"
"""How pydantic marks that it is a mapping's key that is wrong."""


@dataclass(frozen=True)
class Inspection:
    """What a look at a document found; there is a resource exactly where there are no faults."""

    resource: Resource | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


def decode(document: object, *, strict: bool = False) -> Resource:
    """The resource that a document describes. With ``strict`` a warning is a fault.

    Raises:
        InvalidManifest: it describes none; all that is wrong is told at once.
    """
    found = inspect(document, strict=strict)
    if found.resource is None:
        raise InvalidManifest(found.faults, found.warnings)
    return found.resource


def inspect(document: object, *, strict: bool = False) -> Inspection:
    """The same, as a value. Warnings are fields of KServe's group that are not known here."""
    if fault := bound_fault(document):
        return Inspection(None, (fault,))
    kind, faults = _kind(document)
    if kind is None:
        return Inspection(None, tuple(faults))
    root = Shape("a mapping", section=kind.model)
    sieve = Sieve({} if kind.foreign else _hints())
    clean = sieve.sift(document, root)
    tolerated = kind.foreign and not strict
    faults = [] if tolerated else list(sieve.unknown)
    try:
        resource = kind.model.model_validate(clean)
        misfits: list[Fault] = []
    except ValidationError as error:
        resource, misfits = None, _misfits(error, clean, root)
    faults += misfits
    faults += broken_rules(kind.name, _without(clean, (fault.path for fault in misfits)))
    warnings = tuple(sieve.unknown) if tolerated else ()
    return Inspection(None, tuple(faults), warnings) if faults else Inspection(resource, (), warnings)


def encode(resource: Resource) -> dict[str, Any]:
    """The document that describes a resource: what was said in it, without defaults."""
    return resource.model_dump(mode="json", by_alias=True, exclude_unset=True)


@cache
def _hints() -> Hints:
    return hints_from(InferenceServiceSpec)


def _kind(document: object) -> tuple[Kind | None, list[Fault]]:
    if not isinstance(document, dict):
        return None, [wrong((), document, "a mapping with apiVersion, kind, metadata and spec")]
    version, name = document.get("apiVersion"), document.get("kind")
    faults = [
        Fault((field,), "is missing", expected) if found is None else wrong((field,), found, expected)
        for field, found, expected in (("apiVersion", version, _KNOWN_VERSIONS), ("kind", name, _KNOWN_KINDS))
        if not isinstance(found, str) or not found
    ]
    if faults:
        return None, faults
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        close = get_close_matches(str(name)[:64], [kind.name for kind in KINDS], n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        return None, [Fault(("kind",), f"is {quoted(name)}, expected {_KNOWN_KINDS}{meant}", value=name)]
    if kind.api_version != version:
        return None, [wrong(("apiVersion",), version, f"{kind.api_version} for the kind {kind.name}")]
    return kind, []


_KNOWN_VERSIONS = " or ".join(dict.fromkeys(kind.api_version for kind in KINDS))
_KNOWN_KINDS = f"one of {', '.join(kind.name for kind in KINDS)}"


def _misfits(error: ValidationError, document: object, root: Shape) -> list[Fault]:
    """pydantic's errors in our words: one per place, however many checks the value failed."""
    faults: dict[Path, Fault] = {}
    for each in error.errors(include_url=False, include_input=False):
        path: Path = tuple(each["loc"])
        of_key = bool(path) and path[-1] == _KEY
        path = path[:-1] if of_key else path
        if path in faults:
            continue
        shape = _shape_at(root, path[:-1] if of_key else path)
        if of_key and shape.key:
            faults[path] = Fault(path, "is no key", shape.key.expected)
        elif each["type"] == "missing":
            faults[path] = Fault(path, "is missing", shape.expected)
        else:
            faults[path] = wrong(path, _value_at(document, path), shape.expected + _most(each, shape))
    return list(faults.values())


def _most(error: ErrorDetails, shape: Shape) -> str:
    """The upper bound of a number that is above it, where it is so far off that the expectation leaves it out."""
    if error["type"] != "less_than_equal" or "maximum" in shape.schema:
        return ""
    return f" and at most {error['ctx']['le']}"


def _shape_at(shape: Shape, path: Path) -> Shape:
    for step in path:
        below = shape_of(fields_of(shape.section)[str(step)]) if shape.section else shape.item or shape.value
        shape = below or shape
    return shape


def _value_at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _without(document: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """The document without what stands at these paths; an element of a list becomes None in its place."""
    for path in paths:
        holder: Any = document
        for step in path[:-1]:
            holder = holder[step]
        if not path:
            return {}
        if isinstance(holder, list):
            holder[int(path[-1])] = None
        else:
            holder.pop(path[-1], None)
    return document
