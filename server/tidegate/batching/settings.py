"""How one revision queues and batches: every bound, in one value."""

from __future__ import annotations

import msgspec

from tidegate.batching.checks import check_ascending, check_seconds, check_whole
from tidegate.batching.padding import PaddedDimension

MIB = 1 << 20


_AT_LEAST_ONE = (
    "max_batch",
    "max_batch_bytes",
    "initial_batch_size",
    "max_buckets",
    "max_deaths",
    "quarantine_size",
    "max_sequences",
)
_SECONDS = ("max_latency", "ageing", "max_bucket_wait", "curve_memory", "memory_backoff", "max_retry_after")


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; whatever cannot be meant is refused as soon as it is said.

    Raises:
        ValueError: a field is out of its range, a dimension is padded twice, or an input in two ways.
    """

    max_batch: int = 32
    """Rows in one execution. On a CPU most models gain little beyond it; 1 for a model without a batch dimension."""
    max_batch_bytes: int = 64 * MIB
    """Bytes of input tensors in one execution. One row may exceed it alone, for it cannot be divided."""
    initial_batch_size: int = 8
    """Rows that a batch may have before anything is learned of its bucket; from there sizes grow by a quarter."""
    batch_sizes: tuple[int, ...] = ()
    """Ascending sizes that a batch is padded to, () for none; the last one bounds a batch like ``max_batch``. For
    runtimes that compile one program per size."""
    padded_dimensions: tuple[PaddedDimension, ...] = ()
    """Variable dimensions that are padded, so that requests of nearly the same shape share a batch."""
    idempotent: bool = True
    """Whether a request may be executed twice. If not, each is executed by itself, so that its failure is its own."""

    max_latency: float = 0.0
    """Seconds that a request may be held back, where several wait, so that a batch grows although a replica is idle.
    0 never holds. For manifests that ask for it (KServe's ``maxLatency``): batches grow while replicas are busy."""

    max_queue: int = 4096
    """Rows that wait for a replica; a request beyond is refused. One that finds nobody waiting is always taken."""
    max_queue_bytes: int = 256 * MIB
    """Their tensors together, with the same exception."""
    ageing: float = 5.0
    """Seconds of waiting that are worth one priority class, so that the lowest class is late, not starved."""
    max_bucket_wait: float = 0.5
    """Seconds after which a bucket goes before one with an earlier deadline. About the patience of a person."""
    refuse_early: bool = True
    """Whether a request that cannot finish in time is refused before it is executed."""

    max_buckets: int = 256
    """Buckets whose service times are remembered, about 5 KiB each. The longest unused is forgotten first."""
    curve_memory: float = 60.0
    """Seconds after which a learned service time refuses nobody any more unless it was confirmed since."""
    memory_backoff: float = 60.0
    """Seconds for which as many rows as ran out of memory are not executed at once again, nor more. Long enough that
    a model without memory is rarely asked; short enough to use what a neighbour on the same device gave back."""
    max_retry_after: float = 30.0
    """Seconds; the longest time that an overloaded service asks its callers to stay away."""

    max_deaths: int = 2
    """Replicas that may end while executing a request. It is alone in the last of them, so nobody else is to blame."""
    quarantine_seconds: float = 3600.0
    """How long a request that ended so many replicas is refused by its content. Models and memory limits change."""
    quarantine_size: int = 1024
    """Contents in quarantine; the oldest leaves first."""

    max_sequences: int = 1024
    """Sequences of a stateful model that are open; the start of one more is refused. A replica keeps the states of as
    many, so that none that is open has to make room there."""
    sequence_idle: float = 60.0
    """Seconds without a step after which a sequence ends. A person may pause for so long, and a client that went away
    takes its place no longer than that."""

    def __post_init__(self) -> None:
        check_whole(self, 1, *_AT_LEAST_ONE)
        check_whole(self, 0, "max_queue", "max_queue_bytes")
        check_seconds(self, *_SECONDS, "quarantine_seconds", "sequence_idle")
        if not self.quarantine_seconds:
            # What ended one replica would be forgotten before it ends the next, and so end them for ever.
            raise ValueError("quarantine_seconds is 0, expected a number of seconds above 0")
        check_ascending("batch_sizes", self.batch_sizes)
        self._check_paddings()

    def _check_paddings(self) -> None:
        seen: dict[str, list[PaddedDimension]] = {}
        for dimension in self.padded_dimensions:
            others = seen.setdefault(dimension.input, [])
            where = f"of input '{dimension.input}'"
            if any(other.axis == dimension.axis for other in others):
                raise ValueError(f"padded_dimensions has axis {dimension.axis} {where} more than once, expected once")
            if others and others[0].fill != dimension.fill:
                fills = f"{others[0].fill} and {dimension.fill}"
                raise ValueError(
                    f"padded_dimensions fills axes {where} with {fills}, expected one value for all of them"
                )
            others.append(dimension)
