"""Executions counted by the number of rows, and where their time went."""

from __future__ import annotations

from tidegate.telemetry.statistics import Executed


class Executions:
    """Sums that only grow."""

    __slots__ = ("_sizes",)

    def __init__(self) -> None:
        self._sizes: dict[int, list[float]] = {}

    def count(self, size: int, input_seconds: float, infer_seconds: float, output_seconds: float) -> None:
        """A batch of ``size`` rows was executed; see ``Executed`` for the times."""
        sums = self._sizes.get(size)
        if sums is None:
            sums = self._sizes[size] = [0, 0.0, 0.0, 0.0]
        sums[0] += 1
        sums[1] += input_seconds
        sums[2] += infer_seconds
        sums[3] += output_seconds

    def view(self) -> dict[int, Executed]:
        """All of it, as values, by ascending size."""
        return {size: Executed(int(sums[0]), *sums[1:]) for size, sums in sorted(self._sizes.items())}
