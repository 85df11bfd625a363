"""How replicas are run: every time-out and every bound."""

from __future__ import annotations

from typing import Literal

import msgspec

MIB = 1 << 20

StartMethod = Literal["auto", "zygote", "spawn"]


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True):
    replicas: int = 1
    """Worker processes of one model, at least 1. Each holds the model in its own memory."""
    start_timeout: float = 60.0
    """Seconds from starting the process to its socket. It imports numpy and little else."""
    load_timeout: float = 600.0
    """Seconds that loading the model may take. Large models come from slow disks."""
    execution_timeout: float = 300.0
    """Seconds that one execution may take; then the worker is replaced. There is no other way to stop a model."""
    hang_timeout: float = 30.0
    """Seconds without a sign of life from a worker that has work; then it is replaced. A model that holds the
    interpreter's lock gives no sign of life, so this is more than any healthy call into C takes."""
    stop_timeout: float = 10.0
    """Seconds for what is in flight when a replica is stopped, and again for the model to close."""

    backoff_initial: float = 0.1
    """Seconds before the first restart; each further failure in a row doubles it."""
    backoff_max: float = 30.0
    """Seconds; the longest wait between restarts, also in a crash loop."""
    crash_loop_failures: int = 5
    """Failures in a row from which on the model is reported as not ready and its requests are refused at once."""
    loaded_before: bool = False
    """Whether the model is known to be one that can be loaded. Its refusal is tried again then, like any other failure;
    else only once a replica has loaded it."""
    stable_after: float = 10.0
    """Seconds of being ready that end a row of failures. An answered request ends it, too."""

    credits: int = 2
    """Batches at one replica: one executes, one is there already when it ends."""

    inline_bytes: int = 16 << 10
    """Tensors up to this size together travel in the frame; larger ones lie in shared memory."""
    slot_bytes: int = 512 * MIB
    """Shared memory in use with one replica; beyond it requests wait. One request may exceed it alone."""
    idle_slot_bytes: int = 64 * MIB
    """Shared memory that is kept for the next requests: fresh pages cost more than the copy into them."""
    stream_responses: int = 16
    """Responses of one stream that may wait to be read; then the model pauses. Enough to bridge the way to the reader
    and back, also where a response takes a tenth of a millisecond."""
    stream_bytes: int = 1 * MIB
    """Their tensors together; one response may exceed it alone."""
    memory_limit: int = 0
    """Bytes of private memory of a worker, 0 for no limit. Allocating more is a MemoryError in the model."""
    start_method: StartMethod = "auto"
    """How workers start. "spawn": each as a process of its own, which imports all that it needs. "zygote": forked from
    a process that has imported it, which is there from the first worker of its kind that is ready. "auto": the same,
    from the second on that is not started together with the first: where workers only start with the server, there
    never is one."""
    zygote_timeout: float = 10.0
    """Seconds that a zygote may take to fork; then it is replaced, and the worker is spawned."""
    directory: str = ""
    """Where the workers' private directories are made; "" is the system's for temporary files."""
