"""A mapping in a manifest, and the shapes of what stands in it, read off its annotations.

Four readers walk the same shapes: the check for unknown fields, the words of a fault, the explanation, and the CRDs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from tidegate.resources.scalars import Form, Integer, Real, Scalar


class Section(BaseModel):
    """The base of all of them: strict (``"3"`` is no number), frozen, camelCase outside, documented by docstrings."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        protected_namespaces=(),  # fields may begin with model_
        defer_build=True,  # else each section builds the check of everything below it, once more
    )

    retired: ClassVar[Mapping[str, str]] = {}
    """Names that people still write here, each with what is to be said of it."""


@dataclass(frozen=True)
class Shape:
    """What a value may be. At most one of ``section``, ``item``, ``value`` is set; none for a scalar or open data."""

    expected: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    section: type[Section] | None = None
    item: Shape | None = None
    """Of a list."""
    value: Shape | None = None
    """Of a mapping with free keys."""
    key: Shape | None = None

    @property
    def inner(self) -> Shape:
        """What stands in it at last, however many lists and mappings are around that."""
        below = self.item or self.value
        return below.inner if below else self

    @property
    def name(self) -> str:
        """The type in few words, as an explanation shows it."""
        if self.section:
            return "Object"
        if self.item:
            return f"[]{self.item.name}"
        if self.value:
            return f"map[string]{self.value.name}"
        if self.schema.get("x-kubernetes-int-or-string"):
            return "integer or string"
        return str(self.schema.get("type", "any"))


OPEN = Shape("any value", {"x-kubernetes-preserve-unknown-fields": True})
MAPPING = Shape("a mapping", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
_PLAIN: dict[Any, Scalar] = {
    str: Form("text"),
    int: get_args(Integer)[1],
    float: Real(-1e300),
}


@cache
def fields_of(section: type[Section]) -> Mapping[str, FieldInfo]:
    """A section's fields by the names that a manifest has for them."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def shape_of(field: FieldInfo) -> Shape:
    """What may stand in a field."""
    return _shape(field.annotation, tuple(field.metadata))


def _shape(kind: Any, metadata: tuple[Any, ...] = ()) -> Shape:
    for each in metadata:
        if isinstance(each, Scalar):
            return Shape(each.expected, each.schema)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _shape(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        [inner] = [each for each in arguments if each is not NoneType]
        return _shape(inner)
    if origin is Literal:
        return Shape(f"{'one of ' if len(arguments) > 1 else ''}{', '.join(arguments)}", _enum(arguments))
    if origin is list:
        return Shape("a list", item=_shape(arguments[0]))
    if origin is dict:
        key, value = map(_shape, arguments)
        return MAPPING if value is OPEN else Shape("a mapping", key=key, value=value)
    return _plain(kind)


def _plain(kind: Any) -> Shape:
    if kind is Any:
        return OPEN
    if kind is bool:
        return Shape("true or false", {"type": "boolean"})
    if isinstance(kind, type) and issubclass(kind, Section):
        return Shape("a mapping", section=kind)
    scalar = _PLAIN[kind]
    return Shape(scalar.expected, scalar.schema)


def _enum(choices: tuple[str, ...]) -> Mapping[str, Any]:
    return {"type": "string", "enum": list(choices)}
