"""Several subjects measured side by side: alternating, so that what else the machine does befalls all of them alike."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def alternate(subjects: Mapping[str, Callable[[], T]], repetitions: int) -> dict[str, list[T]]:
    """What each subject gave in each repetition. Every second round goes backwards, so that none is always first."""
    taken: dict[str, list[T]] = {name: [] for name in subjects}
    for repetition in range(repetitions):
        names = list(subjects)
        for name in names if repetition % 2 == 0 else reversed(names):
            taken[name].append(subjects[name]())
    return taken


def ratios(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """``first`` through ``second``, repetition by repetition: what befell both in one of them cancels out."""
    return [a / b for a, b in zip(first, second, strict=True)]


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Median and range: "1,200 [1,150..1,240]"."""
    shown = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return "{} [{}..{}]".format(*shown)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        first, *others = row
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def machine() -> str:
    """How many cores there are for the servers and the load generator together."""
    return f"{len(os.sched_getaffinity(0))} cores, which servers and load generator share"
