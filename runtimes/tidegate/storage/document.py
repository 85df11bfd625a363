"""A YAML document as plain values, however it was written: bounded, and nothing in it can grow or be lost.

YAML has more to it than a settings file needs. Tags that make objects are not read (safe loader), aliases are refused
(nine lines of them make a gigabyte), and so are keys that stand twice, where PyYAML would keep the last in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tidegate.protocol.errors import ModelLoadFailed, shown

MAX_BYTES = 256 << 10
"""Of one file; a thousand declared tensors need a quarter of it."""
MAX_DEPTH = 32
"""Of lists and mappings in each other."""

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Refused(yaml.MarkedYAMLError):
    """A part of YAML that is not read here."""


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, double keys, unbounded depth and dates."""

    depth = 0
    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        sign: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave this one out
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise Refused(problem="aliases are not allowed", problem_mark=mark)
        if self.depth == MAX_DEPTH:
            raise Refused(problem=f"it is nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Refused(problem="a key is no text", problem_mark=key.start_mark)
            if key.value in seen:
                raise Refused(problem=f"'{shown(key.value)}' stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


def read_document(path: Path) -> object:
    """What a YAML file holds: mappings with text as keys, lists, text, numbers, truth values and None.

    Raises:
        ModelLoadFailed: it cannot be read, is too large, or is not YAML of this kind.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelLoadFailed(f"'{shown(path, 300)}' cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ModelLoadFailed(f"'{shown(path, 300)}' is larger than {MAX_BYTES} bytes")
    try:
        return parse_document(data)
    except ValueError as error:
        raise ModelLoadFailed(f"'{shown(path, 300)}' {error}") from error


def parse_document(data: bytes) -> object:
    """See ``read_document``.

    Raises:
        ValueError: it is not YAML of this kind.
    """
    try:
        text = data.decode()
        loader = Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text: byte {error.start} is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"is no valid YAML{where}: {shown(error.problem or error.context, 200)}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"is no valid YAML: {shown(error, 200)}") from error
    except (ValueError, OverflowError) as error:  # a number that Python does not make, like one of 5,000 digits
        raise ValueError(f"is no valid YAML: {shown(error, 200)}") from error
