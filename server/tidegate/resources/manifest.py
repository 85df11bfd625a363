"""Manifests as text: YAML or JSON with one document or several, each value with the line that it stands in.

The text is bounded, and what YAML has beyond plain values is not read (``storage.document`` says what and why). What
cannot be read ends the text: the documents before it are still looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tidegate.protocol.errors import shown
from tidegate.resources.decode import Inspection, inspect
from tidegate.resources.faults import Fault, Path
from tidegate.storage.document import Loader

MAX_BYTES = 1 << 20
"""Of one text. A manifest has a few KiB, and etcd takes none beyond 1.5 MiB."""
MAX_DOCUMENTS = 1000
"""Of one text."""


@dataclass(frozen=True)
class Manifest:
    """One document of a text; either ``value`` is what it holds, or ``fault`` says why it cannot be read."""

    number: int
    """From 1, those that are empty not counted."""
    value: Any = None
    fault: Fault | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    """Where each value stands; the value of a field in the line of its name."""

    def line(self, path: Path) -> int:
        """The line of a value, or of what is nearest around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def inspect(self, *, strict: bool = False) -> Inspection:
        """What ``decode.inspect`` says of it."""
        return Inspection(None, (self.fault,)) if self.fault else inspect(self.value, strict=strict)


def read_manifests(data: bytes) -> Iterator[Manifest]:
    """The documents of a text, one after the other."""
    if len(data) > MAX_BYTES:
        yield Manifest(1, fault=Fault((), f"has more than {MAX_BYTES} bytes"))
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Manifest(1, fault=Fault((), f"is no text: byte {error.start} is not UTF-8"))
        return
    number = 0
    try:
        loader = Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
                    continue  # nothing between two separators
                if number == MAX_DOCUMENTS:
                    yield Manifest(number + 1, fault=Fault((), f"is one of more than {MAX_DOCUMENTS}"))
                    return
                value = loader.construct_document(node)
                number += 1
                yield Manifest(number, value, lines=dict(_lines(node, ())))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"is no valid YAML: {shown(error.problem or error.context, 200)}"
        yield _unread(number + 1, problem, mark.line + 1 if mark else 1)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a number of 5,000 digits, which Python does not make
        yield _unread(number + 1, f"is no valid YAML: {shown(error, 200)}", 1)


def _unread(number: int, problem: str, line: int) -> Manifest:
    return Manifest(number, fault=Fault((), problem), lines={(): line})


def _lines(node: yaml.Node, path: Path) -> Iterator[tuple[Path, int]]:
    if not path:
        yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, index)
            yield here, value.start_mark.line + 1
            yield from _lines(value, here)
