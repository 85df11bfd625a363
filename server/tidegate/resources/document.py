"""A resource as plain data: a JSON document in the shape of Kubernetes, and the key by which it is addressed.

What a kind's spec may hold is not known here. What every resource has is: an address, and metadata of certain shapes.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, TypeAlias

import msgspec

from tidegate.protocol.errors import InvalidResource, PayloadTooLarge, shown

Document: TypeAlias = dict[str, Any]
"""``apiVersion``, ``kind``, ``metadata``, ``spec``, ``status``. Whoever is given one may change it."""

DEFAULT_NAMESPACE = "default"
"""Where a resource lies that names no namespace."""
DEPTH = 64
"""Levels of nesting that a document may have; it keeps recursion over documents bounded."""
NAME_LENGTH = 253
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?v[0-9][a-z0-9]{0,61}")
_compact = msgspec.json.Encoder()
_sorted = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


class GroupKind(NamedTuple):
    """What a resource is, whichever version of its API it is written in. The core group is ''."""

    group: str
    name: str


class Key(NamedTuple):
    """The address of one resource. ``namespace`` is '' for what stands in none."""

    kind: GroupKind
    namespace: str
    name: str

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind.name} '{shown(path, 128)}'"


def key_of(document: Document) -> Key:
    """The address that a document names.

    Raises:
        InvalidResource: it names none that a resource can have.
    """
    version = _text(document, "apiVersion", _API_VERSION, "GROUP/VERSION such as tidegate.dev/v1")
    kind = _text(document, "kind", _KIND, "a name such as ModelService")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise InvalidResource("metadata", "is missing, expected an object with a name")
    name = _text(metadata, "name", _NAME, "lower case letters, digits, '-' and '.'", "metadata.")
    if len(name) > NAME_LENGTH:
        raise InvalidResource("metadata.name", f"has {len(name)} characters, expected at most {NAME_LENGTH}")
    namespace = ""
    if metadata.get("namespace") not in (None, ""):
        expected = "at most 63 lower case letters, digits and '-'"
        namespace = _text(metadata, "namespace", _NAMESPACE, expected, "metadata.")
    return Key(GroupKind(version.rpartition("/")[0], kind), namespace, name)


def to_bytes(document: Document, most: int) -> bytes:
    """The bytes that are kept of a document, at most ``most`` of them.

    Raises:
        InvalidResource: it holds what JSON cannot, or what would be read back as something else.
        PayloadTooLarge: it is too large.
    """
    check_json(document)
    try:
        encoded = _compact.encode(document)
    except UnicodeEncodeError:
        raise InvalidResource("the document", "holds text with a lone surrogate, which is no Unicode") from None
    if len(encoded) > most:
        raise PayloadTooLarge(f"the resource takes {len(encoded)} bytes, and at most {most} are kept")
    return encoded


def from_bytes(encoded: bytes) -> Document:
    """The document of bytes that ``to_bytes`` made: a new one each time."""
    document: Document = _decoder.decode(encoded)
    return document


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same text but for the order of keys. To Python, 1, 1.0 and True are equal."""
    return _sorted.encode(one) == _sorted.encode(other)


def check_json(value: object, path: str = "", depth: int = DEPTH) -> None:
    """Hold a value against JSON as every reader understands it.

    Raises:
        InvalidResource: it is something else; the path tells where.
    """
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidResource(path or "the document", "is an integer of more than 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidResource(path or "the document", f"is {value}, which JSON cannot hold")
    elif depth == 0:
        raise InvalidResource("the document", f"is nested more than {DEPTH} levels deep")
    elif isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                raise InvalidResource(path or "the document", f"has the key {shown(name)}, expected text")
            check_json(member, f"{path}.{name}" if path else name, depth - 1)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            check_json(member, f"{path}[{index}]", depth - 1)
    else:
        raise InvalidResource(path or "the document", f"is a {type(value).__name__}, which is no value of JSON")


def finalizers_of(document: Document) -> list[str]:
    """The names of those who must agree before the resource is gone."""
    finalizers: list[str] = document["metadata"].get("finalizers") or []
    return finalizers


def owners_of(document: Document) -> list[Document]:
    """The references to the resources that this one goes with."""
    owners: list[Document] = document["metadata"].get("ownerReferences") or []
    return owners


def version_of(document: Document) -> str:
    """Its resourceVersion; '' where it has none, or an empty one, which both say that any will do."""
    return document["metadata"].get("resourceVersion") or ""


def _text(holder: Document, field: str, pattern: re.Pattern[str], expected: str, path: str = "") -> str:
    value = holder.get(field)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        told = "is missing" if value is None else f"is '{shown(value)}'"
        raise InvalidResource(f"{path}{field}", f"{told}, expected {expected}")
    return value
