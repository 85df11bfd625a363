"""What a kind or a field means, in text: meaning, type with unit, default, what becomes of it, and what is below it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from textwrap import fill, indent
from typing import Any

from pydantic.fields import FieldInfo

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.resources.fate import Fate, Honoured, NotHonoured, Translated, fate_of
from tidegate.resources.kinds import KINDS, Kind, find_kind
from tidegate.resources.section import Section, Shape, fields_of, shape_of

WIDTH = 100


def explain(path: str) -> str:
    """The text for ``modelservice.spec.predictor.batcher``: a kind by any of its names, then fields.

    Raises:
        InvalidRequest: there is no such kind or field; the nearest is named.
    """
    word, *steps = path.strip().split(".")
    kind = find_kind(word)
    if kind is None:
        hint = _nearest(word.lower(), [each.name.lower() for each in KINDS])
        known = ", ".join(each.name for each in KINDS)
        raise InvalidRequest(f"there is no kind '{shown(word)}'{hint or f'; known are {known}'}")
    head = [f"KIND     {kind.name}", f"VERSION  {kind.api_version}"]
    if not steps:
        return "\n".join([*head, *_of_section(str(kind.model.__doc__), kind.model)])
    info, shape, fate = _find(kind, steps)
    field = f"FIELD    {'.'.join(steps)} <{shape.name}>{_required(info)}"
    return "\n".join(
        [*head, field, *_of_section(str(info.description), shape.inner.section, _facts(info, shape, fate))]
    )


def default_of(info: FieldInfo) -> str:
    """A field's default as it would be written; "" where it has none, or where its meaning says what holds then."""
    default = info.get_default(call_default_factory=True)
    if info.is_required() or default is None or default in ([], {}):
        return ""
    return _written(default)


def _find(kind: Kind, steps: list[str]) -> tuple[FieldInfo, Shape, Fate | None]:
    """The field, what may stand in it, and what becomes of it: what is said of a field around it, where that is all."""
    section: type[Section] | None = kind.model
    walked, fate = kind.name, None
    for step in steps:
        if section is None:
            raise InvalidRequest(f"{walked} has no fields of its own to explain")
        known = fields_of(section)
        if step not in known:
            meant = {name.lower(): name for name in known}.get(step.lower())
            hint = f"; did you mean {meant}?" if meant else _nearest(step, known) or f"; it has {', '.join(known)}"
            raise InvalidRequest(f"{walked} has no field '{shown(step)}'{hint}")
        info = known[step]
        shape = shape_of(info)
        section = shape.inner.section
        walked += f".{step}"
        fate = fate if isinstance(fate, NotHonoured) else fate_of(info) or fate
    return info, shape, fate


def _facts(info: FieldInfo, shape: Shape, fate: Fate | None) -> list[str]:
    inner = shape.inner
    facts = [] if inner.section or inner.expected in ("a mapping", "any value") else [f"EXPECTED {inner.expected}"]
    if default := default_of(info):
        facts.append(f"DEFAULT  {default}")
    if fate:
        facts.append(f"HERE     {describe_fate(fate)}")
    return facts


def describe_fate(fate: Fate) -> str:
    """A fate in a few words."""
    match fate:
        case NotHonoured(reason):
            return f"not honoured: {reason}"
        case Translated(to, note):
            return f"becomes {to}{f', {note}' if note else ''}"
        case Honoured(note):
            return f"honoured{f': {note}' if note else ''}"


def _of_section(meaning: str, section: type[Section] | None, facts: list[str] | None = None) -> Iterator[str]:
    yield from facts or ()
    yield from ("", fill(" ".join(meaning.split()), WIDTH))
    if section is None:
        return
    yield from ("", "FIELDS")
    for name, info in fields_of(section).items():
        default = default_of(info)
        told = f", default {default}" if default else ""
        yield f"  {name} <{shape_of(info).name}>{_required(info)}{told}"
        yield indent(fill(" ".join(str(info.description).split()), WIDTH - 6), "      ")


def _required(info: FieldInfo) -> str:
    return " required" if info.is_required() else ""


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return f'"{value}"' if value == "" else f"{value}"


def _nearest(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
