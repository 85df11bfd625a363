"""How long a batch of n rows takes: ``a + b·n`` seconds, learned, with a margin that about 95 % stay within.

Robust because each class of sizes contributes the median of its last executions, so that a garbage collection or a
cold cache moves nothing; recent because a class that was not seen for long loses its weight; bounded because there
are few classes (two per power of two) of few samples. The margin is a quantile of observed / fitted, found by
stochastic approximation: a step up when it was exceeded, a nineteenth of that step down when it was not.
"""

from __future__ import annotations

from math import floor

_SAMPLES = 9
"""Executions of which a class takes the median: four may be outliers."""
_FORGET = 64
"""Executions after which a class that was not among them counts half."""
_QUANTILE = 0.95
_STEP = 0.1
"""Of the margin's part above 1, so that it suits a quiet model and a noisy one. Larger is faster and wavers more."""
_FIRST_MARGIN = 1.5
_MIN_MARGIN = 1.02
_MAX_MARGIN = 8.0
_TINY = 1e-9
"""Seconds; keeps weights finite where a clock did not advance."""


class _SizeClass:
    """The last executions of about the same size."""

    __slots__ = ("count", "last", "median", "rows", "seconds", "sizes")

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.seconds: list[float] = []
        self.count = 0
        self.last = 0
        self.rows = 0.0
        self.median = 0.0

    def add(self, rows: int, seconds: float, execution: int) -> None:
        if len(self.sizes) < _SAMPLES:
            self.sizes.append(rows)
            self.seconds.append(seconds)
        else:
            place = self.count % _SAMPLES
            self.sizes[place] = rows
            self.seconds[place] = seconds
        self.count += 1
        self.last = execution
        self.rows = sum(self.sizes) / len(self.sizes)
        ordered = sorted(self.seconds)
        middle = len(ordered) // 2
        self.median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class Curve:
    """Service time of one bucket. It says nothing before the first execution, nor ``memory`` seconds after the last."""

    __slots__ = ("_classes", "_executions", "_memory", "_observed", "base", "largest", "margin", "per_row")

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._classes: dict[int, _SizeClass] = {}
        self._executions = 0
        self._observed = 0.0
        self.base = 0.0
        """a, in seconds."""
        self.per_row = 0.0
        """b, in seconds."""
        self.margin = _FIRST_MARGIN
        self.largest = 0
        """The most rows that were executed at once."""

    def __repr__(self) -> str:
        return f"<Curve {self.base:.3g}s + {self.per_row:.3g}s·n, times {self.margin:.3g}, up to {self.largest} rows>"

    @property
    def executions(self) -> int:
        return self._executions

    def observe(self, rows: int, seconds: float, now: float) -> None:
        """Learn from one execution of ``rows`` rows (padding included) that took ``seconds``."""
        seconds = max(seconds, _TINY)
        if self._executions >= 3:
            self._widen(seconds / max(self.base + self.per_row * rows, _TINY))
        self._executions += 1
        self._observed = now
        if rows > self.largest:
            self.largest = rows
        index = _class_of(rows)
        size = self._classes.get(index)
        if size is None:
            size = self._classes[index] = _SizeClass()
        size.add(rows, seconds, self._executions)
        self._fit()

    def knows(self, now: float) -> bool:
        """Whether there is an execution, lately enough to go by."""
        return self._executions > 0 and now - self._observed <= self._memory

    def predict(self, rows: int, now: float) -> float | None:
        """Seconds that ``rows`` rows take, the margin included; None where it is not known."""
        return (self.base + self.per_row * rows) * self.margin if self.knows(now) else None

    def expect(self, rows: int) -> float:
        """Seconds that ``rows`` rows take, as often more as less.

        Of more rows than were ever executed this is what the most of them take, and so the least to reckon with: a
        curve through one size is a guess beyond it.
        """
        return self.base + self.per_row * min(rows, self.largest)

    def fits(self, seconds: float, now: float) -> int | None:
        """The most rows that take at most ``seconds``, the margin included; None where it is not known."""
        if not self.knows(now):
            return None
        room = seconds / self.margin - self.base
        if room < 0.0:
            return 0
        # The small addition: a batch whose predicted time is the slack itself fits.
        return floor(room / self.per_row + 1e-9) if self.per_row > 0.0 else 1 << 30

    def explorable(self, initial: int) -> int:
        """The most rows that are worth a try: a quarter above what went well, at least ``initial``."""
        return max(initial, self.largest + max(1, self.largest // 4))

    def _widen(self, ratio: float) -> None:
        step = _STEP * _QUANTILE if ratio > self.margin else -_STEP * (1 - _QUANTILE)
        self.margin = min(max(1.0 + (self.margin - 1.0) * (1 + step), _MIN_MARGIN), _MAX_MARGIN)

    def _fit(self) -> None:
        """Least squares of the relative error through the medians, with a and b not negative."""
        w = wn = wt = wnn = wnt = 0.0
        for size in self._classes.values():
            age = self._executions - size.last
            weight = min(size.count, _SAMPLES) / ((1.0 + age / _FORGET) * size.median * size.median)
            w += weight
            wn += weight * size.rows
            wt += weight * size.median
            wnn += weight * size.rows * size.rows
            wnt += weight * size.rows * size.median
        spread = w * wnn - wn * wn
        slope = (w * wnt - wn * wt) / spread if spread > 1e-9 * w * wnn else wnt / wnn
        base = (wt - slope * wn) / w
        if slope < 0.0:
            slope, base = 0.0, wt / w
        elif base < 0.0:
            slope, base = wnt / wnn, 0.0
        self.base, self.per_row = base, slope


def _class_of(rows: int) -> int:
    """1, 2, 3, 4–5, 6–7, 8–11, 12–15, …"""
    bits = rows.bit_length()
    return 2 * bits + (rows >> (bits - 2) & 1) if bits > 1 else 2
