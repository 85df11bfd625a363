"""Arrivals that were recorded: Azure's LLM inference and Functions traces, and lists of seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from tidegate.autoscaler.simulator.workload import Floats

LLM_HEADER = "TIMESTAMP,"
FUNCTIONS_HEADER = "hash_function,"
MINUTES = 1440


class Day(NamedTuple):
    """How often a function was called in each minute of a day."""

    function: str
    day: int
    minutes: tuple[int, ...]


def read_stamps(lines: Iterable[str]) -> Floats:
    """Arrivals, sorted, the first at 0.

    A line is a number of seconds, or, below the header of Azure's LLM traces, begins with a time of day; what follows
    a comma is not read.

    Raises:
        ValueError: a line is neither, or there is none.
    """
    found: list[float] = []
    dated = False
    for number, line in enumerate(lines, 1):
        field = line.split(",", 1)[0].strip()
        if number == 1 and line.startswith(LLM_HEADER):
            dated = True
        elif field:
            found.append(_seconds(field, dated, number))
    if not found:
        raise ValueError("the trace holds no arrival")
    stamps = np.sort(np.array(found, np.float64))
    since: Floats = stamps - stamps[0]
    return since


def read_days(lines: Iterable[str]) -> Iterator[Day]:
    """The rows of Azure's Functions trace of 2019: function, day, and 1440 counts.

    Raises:
        ValueError: a row has another form.
    """
    for number, line in enumerate(lines, 1):
        if number == 1 or not line.strip():
            continue
        name, day, *counts = line.strip().split(",")
        if len(counts) != MINUTES:
            raise ValueError(f"line {number} of the trace has {len(counts)} counts, expected {MINUTES}: one a minute")
        try:
            yield Day(name, int(day), tuple(int(float(count or 0)) for count in counts))
        except ValueError:
            raise ValueError(f"line {number} of the trace has something that is no number, expected counts") from None


def spread(counts: Sequence[int], times: float, random: Generator) -> Floats:
    """So many arrivals in each minute, ``times`` as many as counted, anywhere in it."""
    whole = np.rint(np.array(counts, np.float64) * times).astype(np.int64)
    begins = np.repeat(np.arange(whole.size) * 60.0, whole)
    found: Floats = np.sort(begins + random.uniform(0.0, 60.0, begins.size))
    return found


def _seconds(field: str, dated: bool, number: int) -> float:
    try:
        # Azure writes seven digits after the point, of which datetime keeps six.
        value = datetime.fromisoformat(f"{field}+00:00").timestamp() if dated else float(field)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        expected = "a time as 2023-11-16 18:17:03.97" if dated else "a number of seconds"
        raise ValueError(f"line {number} of the trace has '{field}'; expected {expected}")
    return value
