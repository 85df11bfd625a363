"""The parts of a batch that raised: who is executed again, and with whom."""

from __future__ import annotations

from tidegate.batching.batch import Part
from tidegate.batching.item import T


def after_error(parts: list[Part[T]]) -> list[list[Part[T]]]:
    """The groups that are executed again after the runtime raised; none where the only part is the reason.

    Halving finds a bad request among n in log2(n) rounds, and several at about 2·log2(n) executions each. What has been
    answered meanwhile is left out.
    """
    if len(parts) <= 1:
        return []
    wanted = [part for part in parts if not part.item.answered]
    return [group for group in halves(wanted) if group]


def halves(parts: list[Part[T]]) -> tuple[list[Part[T]], list[Part[T]]]:
    """The first and the second half; the first is the longer."""
    middle = (len(parts) + 1) // 2
    return parts[:middle], parts[middle:]


def within(parts: list[Part[T]], rows: int) -> tuple[list[Part[T]], list[Part[T]]]:
    """The first of these parts, of at most ``rows`` rows together, and the others.

    A part is cut in two only if it is the first and by itself too large.
    """
    first, left = parts[0], rows
    if first.rows > rows:
        cut = first.start + rows
        return [Part(first.item, first.start, cut, 0)], [Part(first.item, cut, first.stop, 0), *parts[1:]]
    for count, part in enumerate(parts):
        left -= part.rows
        if left < 0:
            return parts[:count], parts[count:]
    return parts, []


def renumbered(parts: list[Part[T]]) -> list[Part[T]]:
    """The same rows of the same requests, one behind the other from offset 0."""
    placed: list[Part[T]] = []
    offset = 0
    for part in parts:
        placed.append(Part(part.item, part.start, part.stop, offset))
        offset += part.rows
    return placed
