"""Plain values against a tree of structs: the struct, or every problem at once, each as one sentence with its place.

msgspec checks and builds; it stops at the first problem, so fields are converted one by one, and a struct as a whole
only once each of its fields is in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from tidegate.protocol.errors import quoted, shown

S = TypeVar("S", bound=msgspec.Struct)

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_EXPECTED = re.compile(r"Expected `(?P<kinds>[^`]+)`(?P<more>.*?)(?:, got `[^`]*`)?$")
_PLACE = re.compile(r" - at `(?:key in )?\$(?P<place>[^`]*)`$")


class Problems(Exception):
    """What is wrong with a document, in the order of its fields."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_struct(value: object, kind: type[S]) -> S:
    """The struct that a document describes.

    Raises:
        Problems: it does not describe one.
    """
    problems = list(_struct_problems(value, kind, ""))
    if problems:
        raise Problems(problems)
    return msgspec.convert(value, kind)


def _problems(value: object, hint: Any, place: str) -> Iterator[str]:
    inner = _plain(hint)
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        yield from _struct_problems(value, inner, place)
        return
    items = get_args(inner)
    if get_origin(inner) is tuple and isinstance(value, list) and len(items) == 2 and items[1] is Ellipsis:
        element = _plain(items[0])
        if isinstance(element, type) and issubclass(element, msgspec.Struct):
            for index, item in enumerate(value):
                yield from _problems(item, element, f"{place}[{index}]")
            return
    if get_origin(inner) is dict and isinstance(value, dict):
        for name, item in value.items():
            yield from _problems(item, items[1], _below(place, str(name)))
        return
    yield from _conversion(value, hint, place)


def _struct_problems(value: object, kind: type[msgspec.Struct], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{_named(place)} is {quoted(value)}, expected a mapping"
        return
    hints = get_type_hints(kind, include_extras=True)
    found = False
    for name in value:
        if name not in hints:
            found = True
            close = get_close_matches(str(name), hints, n=1, cutoff=0.7)
            meant = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(hints)}"
            yield f"{_below(place, str(name))} is no field; {meant}"
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            for problem in _problems(value[field.name], hints[field.name], _below(place, field.name)):
                found = True
                yield problem
        elif field.required:
            found = True
            yield f"{_below(place, field.name)} is missing"
    if not found:  # what only the whole can tell: two fields that contradict each other
        yield from _conversion(value, kind, place)


def _conversion(value: object, hint: Any, place: str) -> Iterator[str]:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _PLACE.search(text)
        text = _PLACE.sub("", text)
        if match := _EXPECTED.match(text):
            culprit, below = _found(value, at["place"] if at else "")
            words = " or ".join(_WORDS.get(word.strip(), word.strip()) for word in match["kinds"].split("|"))
            yield f"{_named(place + below)} is {quoted(culprit)}, expected {words}{_bound(match['more'])}"
        elif text.startswith("Invalid enum value"):
            yield f"{_named(place)} is {quoted(value)}, expected one of {', '.join(_choices(hint))}"
        else:
            yield f"{_named(place)}: {text}" if place else text


def _found(value: object, path: str) -> tuple[object, str]:
    """The value at msgspec's path below ``value`` as far as it can be told, and that path."""
    below = ""
    for step in re.findall(r"\[(\d+|\.\.\.)\]", path):
        if step == "...":
            break
        if not isinstance(value, list):
            break
        value = value[int(step)]
        below += f"[{step}]"
    return value, below


def _bound(more: str) -> str:
    if match := re.search(r"(>=|<=) (\S+)", more):
        return f" of {'at least' if match[1] == '>=' else 'at most'} {match[2]}"
    if "regex" in more:
        return " of up to 128 letters, digits, '.', '_' and '-', the first a letter or digit"
    return more.replace(" of length >= ", " of at least length ")


def _choices(hint: Any) -> list[str]:
    inner = _plain(hint)
    members = getattr(inner, "__members__", None)
    return [member.value for member in members.values()] if members else [str(choice) for choice in get_args(inner)]


def _plain(hint: Any) -> Any:
    """The type beneath what a field may also be: unset, or bounded."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind not in (msgspec.UnsetType, type(None))]
        return _plain(kinds[0]) if len(kinds) == 1 else hint
    if hasattr(hint, "__metadata__"):
        return _plain(hint.__origin__)
    return hint


def _below(place: str, name: str) -> str:
    return f"{place}.{shown(name)}" if place else shown(name)


def _named(place: str) -> str:
    return place or "the document"
