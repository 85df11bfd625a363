"""Selectors in Kubernetes' syntax: which resources a list or a watch is about. Pure.

Of fields only ``metadata.name`` and ``metadata.namespace`` can be selected, as with custom resources of a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.resources.document import Key

REQUIREMENTS = 100
"""Requirements that one selector may have."""
LENGTH = 8192
"""Characters that one may have."""
FIELDS = ("metadata.name", "metadata.namespace")
_LABEL = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,314}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_EQUAL = re.compile(rf"({_LABEL})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_LABEL})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS = re.compile(rf"(!?)\s*({_LABEL})")
_COMMAS = re.compile(r",(?![^()]*\))")
_FIELD = re.compile(r"([A-Za-z.]+)\s*(==|=|!=)\s*([^\s,=!]*)")


class Requirement(msgspec.Struct, frozen=True):
    """``name`` is (or, if ``negated``, is not) one of ``values``; with None for values: is there at all.

    As in Kubernetes, what lacks the name fulfils each negated requirement.
    """

    name: str
    values: frozenset[str] | None
    negated: bool = False

    def holds(self, held: Mapping[str, str]) -> bool:
        value = held.get(self.name)
        found = value is not None and (self.values is None or value in self.values)
        return found is not self.negated


class Selector(msgspec.Struct, frozen=True):
    """All requirements must hold; without any, everything is selected."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def selects(self, key: Key, labels: Mapping[str, str]) -> bool:
        if not all(requirement.holds(labels) for requirement in self.labels):
            return False
        if not self.fields:
            return True
        held = {"metadata.name": key.name, "metadata.namespace": key.namespace}
        return all(requirement.holds(held) for requirement in self.fields)


EVERYTHING = Selector()


def parse_selector(labels: str = "", fields: str = "") -> Selector:
    """A selector of the texts that clients send as ``labelSelector`` and ``fieldSelector``.

    Raises:
        InvalidRequest: one of them is none.
    """
    return Selector(
        tuple(_label(part.strip(), labels) for part in _parts(labels, _COMMAS)),
        tuple(_field(part.strip(), fields) for part in _parts(fields, re.compile(","))),
    )


def _parts(text: str, separator: re.Pattern[str]) -> list[str]:
    if len(text) > LENGTH:
        raise InvalidRequest(f"the selector has {len(text)} characters, expected at most {LENGTH}")
    parts = separator.split(text) if text.strip() else []
    if len(parts) > REQUIREMENTS:
        raise InvalidRequest(f"the selector has {len(parts)} requirements, expected at most {REQUIREMENTS}")
    return parts


def _label(part: str, whole: str) -> Requirement:
    if found := _EQUAL.fullmatch(part):
        name, operator, value = found.groups()
        return Requirement(name, frozenset((value,)), operator == "!=")
    if found := _SET.fullmatch(part):
        name, operator, inner = found.groups()
        values = frozenset(value.strip() for value in inner.split(","))
        if all(re.fullmatch(_VALUE, value) for value in values):
            return Requirement(name, values, operator == "notin")
    elif found := _EXISTS.fullmatch(part):
        return Requirement(found[2], None, found[1] == "!")
    raise InvalidRequest(
        f"the label selector '{shown(whole)}' is not understood at '{shown(part)}', expected NAME=VALUE, NAME!=VALUE, "
        "NAME in (VALUE, …), NAME notin (VALUE, …), NAME or !NAME"
    )


def _field(part: str, whole: str) -> Requirement:
    found = _FIELD.fullmatch(part)
    if found is None or found[1] not in FIELDS:
        raise InvalidRequest(
            f"the field selector '{shown(whole)}' is not understood at '{shown(part)}', expected =, == or != on "
            + " or ".join(FIELDS)
        )
    return Requirement(found[1], frozenset((found[3],)), found[2] == "!=")
