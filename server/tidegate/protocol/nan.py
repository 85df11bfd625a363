"""Numbers that JSON does not have: NaN and the infinities, coming in and going out.

JSON has no form for them (RFC 8259, section 6), so every server invents one. We read all that are common: ``null``
(a NaN), the strings "NaN", "Infinity" and "-Infinity" (protobuf's JSON mapping), and the bare literals that Python
and JavaScript tools print. What we write is a choice, because no single form suits every reader.
"""

from __future__ import annotations

import re
from enum import StrEnum
from math import inf, nan
from typing import Literal

from tidegate.protocol.tensors import Buffer


class NanPolicy(StrEnum):
    """How a non-finite float is written in JSON."""

    NULL = "null"
    """``null``: valid JSON that every reader takes, but an infinity becomes indistinguishable from a NaN."""
    STRING = "string"
    """``"NaN"``, ``"Infinity"``, ``"-Infinity"``: valid JSON that loses nothing."""
    LITERAL = "literal"
    """Bare ``NaN``, ``Infinity``, ``-Infinity``: not JSON, but what Python's ``json`` reads and writes."""


JsonFloat = float | Literal["NaN", "Infinity", "-Infinity"] | None
"""What may stand for a float in a JSON tensor."""

NON_FINITE: dict[object, float] = {None: nan, "NaN": nan, "Infinity": inf, "-Infinity": -inf}

# Possessive, and an open string runs to the end, so that no text is scanned twice.
_STRING = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"?)', re.DOTALL)


def quote_literals(text: Buffer) -> bytes | None:
    """``text`` with its bare NaN and Infinity made strings; None if it has none outside of strings.

    Takes linear time. Text that was no JSON but for them is still none afterwards.
    """
    source = bytes(text)
    if b"NaN" not in source and b"Infinity" not in source:
        return None
    pieces = _STRING.split(source)
    pieces[::2] = [_quoted(piece) for piece in pieces[::2]]
    changed = b"".join(pieces)
    return changed if len(changed) != len(source) else None


def name_of(number: float) -> str:
    """The name of a non-finite float, as JSON readers know it."""
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"


def _quoted(piece: bytes) -> bytes:
    named = piece.replace(b"NaN", b'"NaN"').replace(b"Infinity", b'"Infinity"')
    return named.replace(b'-"Infinity"', b'"-Infinity"')
