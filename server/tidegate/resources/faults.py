"""What is wrong with a manifest: each fault with its place, its value and what was expected, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.protocol.errors import Unprocessable, quoted, shown

Path = tuple[str | int, ...]
"""Where something stands: names of fields, keys of mappings, positions in lists."""

MOST_TOLD = 20
"""Faults in the message of the error; the error itself has them all."""
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, or that is worth a warning."""

    path: Path
    problem: str
    """What is wrong with it; the sentence's subject is the path."""
    expected: str = ""
    value: Any = None
    """What was found, where something was."""

    @property
    def place(self) -> str:
        return show_path(self.path)

    @property
    def message(self) -> str:
        expected = f", expected {self.expected}" if self.expected else ""
        return f"{self.place or 'the document'} {self.problem}{expected}"


class InvalidManifest(Unprocessable):
    """A document that describes no resource. ``faults`` has all that is wrong, ``warnings`` what else was noticed."""

    def __init__(self, faults: Sequence[Fault], warnings: Sequence[Fault] = ()) -> None:
        told = [fault.message for fault in faults[:MOST_TOLD]]
        more = [f"and {len(faults) - MOST_TOLD} more"] if len(faults) > MOST_TOLD else []
        super().__init__("; ".join(told + more))
        self.faults = tuple(faults)
        self.warnings = tuple(warnings)


def wrong(path: Path, value: object, expected: str) -> Fault:
    """A value that is not what was expected."""
    return Fault(path, f"is {quoted(value)}", expected, value)


def show_path(path: Path) -> str:
    """``spec.predictor.containers[0].env``; keys that are no plain words in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _BARE.fullmatch(step) and len(step) <= 64:
            text += f".{step}" if text else step
        else:
            text += f'["{shown(step)}"]'
    return text
