"""How the values of options are written: times, sizes in bytes, lists of sizes, padded dimensions, tenants' weights."""

from __future__ import annotations

from math import isfinite
from typing import Any

from tidegate.batching.padding import PaddedDimension

LONGEST = 1_000_000_000
"""Seconds, about 30 years: as good as for ever, and less than any clock or timer of the system can count."""

UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def check_seconds(_: object, value: float) -> None:
    """Hold a time of the command line against what a timer can count.

    Raises:
        ValueError: it is negative, infinite, no number, or too long.
    """
    if not 0 <= value <= LONGEST:
        raise ValueError(f"Must be a number of seconds from 0 to {LONGEST}.")


def check_patience(_: object, value: float) -> None:
    """The same for a time in which something is to happen.

    Raises:
        ValueError: as ``check_seconds``, or it is 0.
    """
    if not 0 < value <= LONGEST:
        raise ValueError(f"Must be a number of seconds above 0, at most {LONGEST}.")


def parse_size(text: str) -> int:
    """Bytes from "67108864", "64MiB" or "1 GiB".

    Raises:
        ValueError: it is none of these.
    """
    digits = text.rstrip("BbIiKkMmGg ")
    unit = text[len(digits) :].strip().upper()
    if not digits.isdecimal() or unit not in UNITS:
        raise ValueError(f'"{text}" is no size; expected bytes, or a number with KiB, MiB or GiB')
    return int(digits) * UNITS[unit]


def show_size(count: Any) -> str:
    """Bytes as people write them, in the largest unit that divides them."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Numbers from "1,2,4,8".

    Raises:
        ValueError: it is no list of whole numbers.
    """
    words = text.split(",")
    if not all(word.isdecimal() for word in words):
        raise ValueError(f'"{text}" is no list of whole numbers; expected commas between them, and nothing else')
    return tuple(map(int, words))


def parse_padding(text: str) -> PaddedDimension:
    """A dimension from "INPUT:AXIS=SIZE,SIZE" or "INPUT:AXIS=SIZE,SIZE:FILL"; an input's name may hold any sign.

    Raises:
        ValueError: it has another form, or makes no sense.
    """
    dimension, equals, values = text.rpartition("=")
    name, _, axis = dimension.rpartition(":")
    sizes, colon, fill = values.partition(":")
    if not (equals and name and axis.isdecimal() and sizes):
        raise ValueError(f'"{text}" is not INPUT:AXIS=SIZE,SIZE or INPUT:AXIS=SIZE,SIZE:FILL')
    return PaddedDimension(name, int(axis), parse_sizes(sizes), _number(fill) if colon else 0)


def parse_weight(text: str) -> tuple[str, float]:
    """A tenant and its weight from "NAME=WEIGHT".

    Raises:
        ValueError: it has another form, or the weight is not above 0.
    """
    name, _, number = text.rpartition("=")
    weight = _number(number) if name and number else 0
    if not (isfinite(weight) and weight > 0):
        raise ValueError(f'"{text}" is not NAME=WEIGHT with a number above 0')
    return name, float(weight)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is no number') from None
