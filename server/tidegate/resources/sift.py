"""A document against the names that its kind has: unknown fields are told and left out, and so is what is empty.

A field that is null counts as not there, as in Kubernetes. Open data (a probe, an affinity) is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tidegate.protocol.errors import shown
from tidegate.resources.fate import NotHonoured, Translated, fate_of
from tidegate.resources.faults import Fault, Path
from tidegate.resources.section import Section, Shape, fields_of, shape_of

Hints = dict[str, str]


@dataclass
class Sieve:
    """One pass over one document."""

    hints: Hints = field(default_factory=dict)
    """What is to be said of names that are known elsewhere."""
    unknown: list[Fault] = field(default_factory=list)

    def sift(self, value: Any, shape: Shape, path: Path = ()) -> Any:
        """The value without what is unknown or null."""
        if shape.section and isinstance(value, dict):
            return dict(self._fields(value, shape.section, path))
        if shape.item and isinstance(value, list):
            return [self.sift(each, shape.item, (*path, index)) for index, each in enumerate(value)]
        if shape.value and isinstance(value, dict):
            return {key: self.sift(each, shape.value, (*path, key)) for key, each in value.items()}
        return value

    def _fields(self, value: dict[str, Any], section: type[Section], path: Path) -> Iterable[tuple[str, Any]]:
        known = fields_of(section)
        for name, item in value.items():
            if name not in known:
                self.unknown.append(Fault((*path, name), f"is no field{self._hint(name, section)}", value=item))
            elif item is not None:
                yield name, self.sift(item, shape_of(known[name]), (*path, name))

    def _hint(self, name: str, section: type[Section]) -> str:
        if name in section.retired:
            return f": {section.retired[name]}"
        known = fields_of(section)
        if close := get_close_matches(name[:64], known, n=1, cutoff=0.75):
            return f"; did you mean {close[0]}?"
        if name in self.hints:
            return f": {self.hints[name]}"
        return f"; known are {', '.join(known)}" if len(known) <= 12 else f" of {_words(section)}"


def hints_from(section: type[Section]) -> Hints:
    """What is to be said in ModelService of a name that only KServe's schema has."""
    hints: Hints = {}
    seen: set[type[Section]] = set()
    stack = [section]
    while stack:
        section = stack.pop()
        if section in seen:
            continue
        seen.add(section)
        for name, info in fields_of(section).items():
            fate = fate_of(info)
            if isinstance(fate, NotHonoured):
                hints.setdefault(name, f"KServe has it, and it is not honoured: {fate.reason}")
            elif isinstance(fate, Translated):
                hints.setdefault(name, f"KServe has it; write {fate.to}")
            shape = shape_of(info).inner
            if shape.section and not isinstance(fate, NotHonoured):
                stack.append(shape.section)
    return hints


def _words(section: type[Section]) -> str:
    return shown(
        "".join(f" {c.lower()}" if c.isupper() else c for c in section.__name__.removeprefix("KServe")).strip()
    )
