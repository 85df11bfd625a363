"""Executions counted by the number of rows, the requests that they answered, and where the time of both went."""

from __future__ import annotations

from tidegate.analysis.histogram import Counts, Histogram
from tidegate.batching.batch import Part
from tidegate.batching.item import State
from tidegate.replicas.pending import Pending
from tidegate.telemetry.statistics import Answered, Executed

Times = tuple[float, float, float]
"""Seconds of input, inference and output."""


class Executions:
    """Sums that only grow."""

    __slots__ = ("_infer", "_requests", "_sizes", "_times", "_wait")

    def __init__(self) -> None:
        self._sizes: dict[int, list[float]] = {}
        self._infer: dict[int, Histogram] = {}
        self._requests = 0
        self._wait = 0.0
        self._times = (0.0, 0.0, 0.0)

    def count(self, size: int, input_seconds: float, infer_seconds: float, output_seconds: float) -> None:
        """A batch of ``size`` rows was executed; see ``Executed`` for the times."""
        sums = self._sizes.get(size)
        if sums is None:
            sums = self._sizes[size] = [0, 0.0, 0.0, 0.0]
            self._infer[size] = Histogram()
        sums[0] += 1
        sums[1] += input_seconds
        sums[2] += infer_seconds
        sums[3] += output_seconds
        self._infer[size].add(infer_seconds)  # for all, observed or not: it is once for each batch

    def answered(
        self, parts: list[Part[Pending]], input_seconds: float, infer_seconds: float, output_seconds: float
    ) -> None:
        """These parts of a batch, which took these times, are waited for; a request counts with its last one."""
        spent = (input_seconds, infer_seconds, output_seconds)
        whole, wait = 0, 0.0
        for part in parts:
            item = part.item
            if part.whole:
                whole += 1
                wait += item.wait or 0.0
                continue
            payload = item.payload
            payload.spent = _plus(payload.spent, spent)
            if item.state is State.COMPLETED:
                self._count(1, item.wait or 0.0, payload.spent)
        if whole:
            self._count(whole, wait, spent)

    def _count(self, requests: int, wait: float, each: Times) -> None:
        self._requests += requests
        self._wait += wait
        self._times = _plus(self._times, each, requests)

    def view(self) -> dict[int, Executed]:
        """The executions, as values, by ascending size."""
        return {size: Executed(int(sums[0]), *sums[1:]) for size, sums in sorted(self._sizes.items())}

    def durations(self) -> dict[int, Counts]:
        """The times of the model's own work, in the classes of ``Histogram``, by ascending size."""
        return {size: seconds.counts() for size, seconds in sorted(self._infer.items())}

    def requests(self) -> Answered:
        """The requests that were answered."""
        spent = self._times
        return Answered(
            requests=self._requests,
            wait_seconds=self._wait,
            input_seconds=spent[0],
            infer_seconds=spent[1],
            output_seconds=spent[2],
        )


def _plus(sums: Times, each: Times, count: int = 1) -> Times:
    return (sums[0] + count * each[0], sums[1] + count * each[1], sums[2] + count * each[2])
