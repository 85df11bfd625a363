"""Points in a plane of characters, for terminals and pipes alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 60, 14


class Point(NamedTuple):
    x: float
    y: float
    mark: str
    """One character."""


def scatter(points: Sequence[Point], x_name: str, y_name: str, *, line: float | None = None) -> list[str]:
    """Lines of text: points over two linear axes from 0 on, the first one on top where two meet.

    ``line`` is an x at which a vertical line stands.
    """
    x_most = _round_up(max([point.x for point in points] + ([line] if line else [])))
    y_most = _round_up(max(point.y for point in points))
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    if line is not None:
        for row in grid:
            row[_place(line, x_most, WIDTH)] = "¦"
    for point in reversed(points):
        grid[HEIGHT - 1 - _place(point.y, y_most, HEIGHT)][_place(point.x, x_most, WIDTH)] = point.mark
    labels = {0: _short(y_most), HEIGHT - 1: "0"}
    margin = max(map(len, labels.values()))
    found = [f"{y_name}"]
    found += [f"{labels.get(k, ''):>{margin}} │{''.join(row)}".rstrip() for k, row in enumerate(grid)]
    found.append(f"{'':>{margin}} └{'─' * WIDTH}")
    right = f"{_short(x_most)} {x_name}"
    found.append(f"{'':>{margin}}  0{right:>{WIDTH - 1}}")
    return found


def _place(value: float, most: float, cells: int) -> int:
    return min(cells - 1, floor(value / most * (cells - 1) + 0.5)) if most > 0 else 0


def _round_up(value: float) -> float:
    """To two digits, so that the axis ends at a number that can be read."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (floor(log10(value)) - 1)
    rounded = unit * -(-value // unit)
    return float(rounded)


def _short(value: float) -> str:
    return f"{value / 1000:,.4g}k" if value >= 10_000 else f"{value:.4g}"
