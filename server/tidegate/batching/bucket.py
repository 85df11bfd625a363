"""Which requests may share a batch, and what is known of each such set.

Two requests share a batch only if their keys are equal: the inputs' names, datatypes and shapes beyond the rows, the
parameters that reach the model, and the wanted outputs. ``True == 1 == 1.0`` in Python but not to a model, so a
parameter's type is part of the key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import msgspec

from tidegate.batching.ceiling import Ceiling
from tidegate.batching.curve import Curve
from tidegate.batching.padding import PaddedDimension, item_shape
from tidegate.batching.settings import BatchSettings
from tidegate.batching.statistics import LearnedCurve
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.parameters import for_model
from tidegate.protocol.tensors import Parameter, Parameters

if TYPE_CHECKING:
    from tidegate.batching.lane import Lane

Key = Hashable


class Pinned(msgspec.Struct, frozen=True):
    """The key of requests that only one place may execute; None is the first that is free."""

    place: Hashable
    key: Key

    def may_go(self, place: Hashable) -> bool:
        return self.place is None or self.place == place


def key_of(request: InferRequest, dimensions: tuple[PaddedDimension, ...] = ()) -> Key:
    """The bucket of a request. The order of its inputs does not matter; that of its outputs does."""
    inputs = [(t.name, t.datatype, _row_shape(t.name, t.shape, dimensions)) for t in request.inputs]
    if len(inputs) > 1:
        inputs.sort()
    outputs = tuple([output.name for output in request.outputs]) if request.outputs else ()
    parameters = _relevant(for_model(request.parameters)) if request.parameters else ()
    return (tuple(inputs), outputs, parameters)


def _row_shape(name: str, shape: tuple[int, ...], dimensions: tuple[PaddedDimension, ...]) -> tuple[int, ...]:
    return item_shape(name, shape, dimensions) if dimensions else shape[1:]


def _relevant(parameters: Parameters) -> tuple[tuple[str, str, Parameter], ...]:
    return tuple(
        sorted(
            # repr keeps -0.0 and 0.0 apart, and not a number equal to itself.
            (name, type(value).__name__, repr(value) if isinstance(value, float) else value)
            for name, value in parameters.items()
        )
    )


class Bucket:
    """Requests with the same key: how many rows of them wait, where, how long they take and how many fit."""

    __slots__ = ("ceiling", "curve", "key", "lanes", "live", "rows")

    def __init__(self, key: Key, curve: Curve, ceiling: Ceiling) -> None:
        self.key = key
        self.curve = curve
        self.ceiling = ceiling
        self.lanes: dict[Lane[Any], None] = {}
        self.rows = 0
        """Waiting in ``lanes``."""
        self.live = 0
        """Requests that are not answered."""

    def __repr__(self) -> str:
        return f"<Bucket {self.rows} rows in {len(self.lanes)} lanes, {self.curve!r}>"

    def learned(self) -> LearnedCurve:
        """What is known of it, as a value."""
        curve, ceiling = self.curve, self.ceiling
        most = ceiling.rows if ceiling.limited else 0
        return LearnedCurve(curve.base, curve.per_row, curve.margin, curve.executions, curve.largest, most)


class Buckets:
    """All buckets of a revision. Those without requests are kept for what they have learned, up to a bound."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings
        self._buckets: OrderedDict[Key, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: Key) -> Bucket:
        """The bucket with this key, made if need be."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room()
            settings = self._settings
            ceiling = Ceiling(settings.memory_backoff, settings.batch_sizes)
            bucket = self._buckets[key] = Bucket(key, Curve(settings.curve_memory), ceiling)
        return bucket

    def find(self, key: Key) -> Bucket | None:
        """The bucket with this key, if it is remembered."""
        return self._buckets.get(key)

    def used(self, bucket: Bucket) -> None:
        """A batch of this bucket is formed."""
        self._buckets.move_to_end(bucket.key)

    def learned(self) -> tuple[LearnedCurve, ...]:
        """What is known of each bucket that was executed."""
        return tuple(bucket.learned() for bucket in self._buckets.values() if bucket.curve.executions)

    def _make_room(self) -> None:
        """Drop the longest unused buckets. Those with requests stay, whose number the bound of the queue limits.

        Two are looked at for each one that is made, so that the number comes down in time and no call takes long.
        """
        for _ in range(2):
            if len(self._buckets) < self._settings.max_buckets or not self._buckets:
                return
            key, bucket = next(iter(self._buckets.items()))
            if bucket.live:
                self._buckets.move_to_end(key)
            else:
                del self._buckets[key]
