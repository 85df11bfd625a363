"""What the numbers of a setting must keep. Each check names the field, its value and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

import msgspec


def check_whole(settings: msgspec.Struct, least: int, *fields: str) -> None:
    """Hold whole numbers against their least value.

    Raises:
        ValueError: one is below it.
    """
    for field in fields:
        value = getattr(settings, field)
        if value < least:
            raise ValueError(f"{field} is {value}, expected at least {least}")


def check_seconds(settings: msgspec.Struct, *fields: str) -> None:
    """Hold times against what a clock can count.

    Raises:
        ValueError: one is negative, infinite or no number.
    """
    for field in fields:
        value = getattr(settings, field)
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"{field} is {value:g}, expected a finite number of seconds, at least 0")


def check_ascending(field: str, sizes: Sequence[int]) -> None:
    """Hold sizes against what a size can be, and each against the one before.

    Raises:
        ValueError: one is below 1, or not above the one before.
    """
    if any(size < 1 for size in sizes) or any(before >= after for before, after in pairwise(sizes)):
        raise ValueError(f"{field} is {','.join(map(str, sizes))}, expected ascending whole numbers of at least 1")
