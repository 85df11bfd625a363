"""How one revision queues and batches: every bound, in one value."""

from __future__ import annotations

import msgspec

from tidegate.batching.padding import PaddedDimension

MIB = 1 << 20


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    max_batch_size: int = 32
    """Rows in one execution. On a CPU most models gain little beyond it; 1 for a model without a batch dimension."""
    max_batch_bytes: int = 64 * MIB
    """Bytes of input tensors in one execution. One row may exceed it alone, for it cannot be divided."""
    initial_batch_size: int = 8
    """Rows that a batch may have before anything is learned of its bucket; from there sizes grow by a quarter."""
    batch_sizes: tuple[int, ...] = ()
    """Ascending sizes that a batch is padded to, () for none; the last one bounds a batch like ``max_batch_size``. For
    runtimes that compile one program per size."""
    padded_dimensions: tuple[PaddedDimension, ...] = ()
    """Variable dimensions that are padded, so that requests of nearly the same shape share a batch."""
    idempotent: bool = True
    """Whether a request may be executed twice. If not, each is executed by itself, so that its failure is its own."""

    max_latency: float = 0.0
    """Seconds that a request may be held back, where several wait, so that a batch grows although a replica is idle.
    0 never holds. For manifests that ask for it (KServe's ``maxLatency``): batches grow while replicas are busy."""
    handover: float = 0.002
    """Seconds before a busy replica is expected to be free at which its next batch is closed, so that transfer and
    execution overlap. More closes batches earlier and smaller, less lets the replica wait for its input."""

    max_waiting_rows: int = 4096
    """Rows that wait for a replica; a request beyond is refused. One that finds nobody waiting is always taken."""
    max_waiting_bytes: int = 256 * MIB
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
    max_retry_after: float = 30.0
    """Seconds; the longest time that an overloaded service asks its callers to stay away."""

    max_deaths: int = 2
    """Replicas that may end while executing a request. It is alone in the last of them, so nobody else is to blame."""
    quarantine_seconds: float = 3600.0
    """How long a request that ended so many replicas is refused by its content. Models and memory limits change."""
    quarantine_size: int = 1024
    """Contents in quarantine; the oldest leaves first."""
