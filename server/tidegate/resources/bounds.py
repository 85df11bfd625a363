"""What a document may be at all before anybody looks into it: plain values, neither too deep nor too many."""

from __future__ import annotations

import math

from tidegate.resources.faults import Fault, Path

MAX_DEPTH = 64
"""Of lists and mappings in each other; a pod's deepest field is a dozen levels down."""
MAX_VALUES = 100_000
"""Of one document; etcd takes 1.5 MiB, which is about as many."""


def bound_fault(document: object) -> Fault | None:
    """The first thing that makes a document none, also where it contains itself; None if there is nothing."""
    stack: list[tuple[Path, object]] = [((), document)]
    count = 0
    while stack:
        path, value = stack.pop()
        count += 1
        if count > MAX_VALUES:
            return Fault((), f"has more than {MAX_VALUES} values")
        if len(path) > MAX_DEPTH:
            return Fault(path[:3], f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            if any(not isinstance(key, str) for key in value):
                return Fault(path, "has a key that is no text")
            stack.extend(((*path, key), item) for key, item in value.items())
        elif isinstance(value, list):
            stack.extend(((*path, index), item) for index, item in enumerate(value))
        elif not _is_plain(value):
            return Fault(path, f"is a {type(value).__name__}", "text, a number, true, false, a list or a mapping")
    return None


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
