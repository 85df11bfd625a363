"""Whose fault it is that a request got no result: the revision's, or somebody else's, by the kind of error. Pure."""

from __future__ import annotations

from tidegate.protocol.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InternalError,
    InvalidResponse,
    ModelLoadFailed,
    ModelNotReady,
    ReplicaLost,
    TidegateError,
    Unavailable,
)

_FAULTS = (
    ExecutionFailed, ReplicaLost, InvalidResponse, InternalError, DeadlineExceeded, ModelNotReady, ModelLoadFailed,
)  # fmt: skip
"""The model raised or gave what is no output of it, ended its replicas, took too long, or has no replica left. What we
did wrong ourselves (InternalError) is among them: it is nearly always over what a model gave."""


def is_fault(error: TidegateError) -> bool:
    """Whether a request failed by the fault of the revision that it went to.

    It is not for a mistake of the caller (4xx, and what this model does not do, 501), nor where he went away or has
    used up his quota, nor where there is no room (Overloaded) or the server ends (ShuttingDown): a revision that gets
    more requests than it can take is not worse than one that gets fewer.
    """
    return isinstance(error, _FAULTS)


def is_refusal(error: TidegateError) -> bool:
    """Whether nothing was found out about the model, for want of room, of time, or of replicas."""
    late_or_full = isinstance(error, Unavailable | DeadlineExceeded | ModelLoadFailed)
    return late_or_full and not isinstance(error, ReplicaLost)
