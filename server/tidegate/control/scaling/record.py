"""What is kept of the scaling of a revision, in ``status.scaling`` of its ServingRevision. Pure.

People read the number, the sentence and the history; ``memory`` is the policy's own, so that a restart goes on where it
was. It is packed, for it is long, and nobody is to read or write it.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from typing import Any

import msgspec

from tidegate.autoscaler.policies import state_of
from tidegate.control.scaling.reckoned import Slo, Starts
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.document import Document
from tidegate.resources.revision import timestamp

FIELD = "scaling"
REMEMBERED = 20
"""Changes in the history."""
LARGEST = 1_000_000
"""Bytes of a memory that is unpacked: what is longer was not written here."""


class Change(msgspec.Struct, frozen=True, rename={"before": "from", "after": "to"}):
    """The number of replicas became another one."""

    time: str
    before: int
    after: int
    reason: str


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One revision's."""

    policy: str
    desired: int
    """Replicas that it is to have."""
    reason: str
    """One sentence that begins with ``n -> m:``."""
    time: str
    """When it was decided."""
    slo: Slo | None = None
    """What the policy aimed at, where it aims at one."""
    starts: Starts | None = None
    """What the policy took for the time of a start, where it learns that."""
    history: tuple[Change, ...] = ()
    """The last changes, the newest last."""
    clock: float = 0.0
    """The policy's own time, in seconds."""
    memory: str = ""

    def changed(self, desired: int, reason: str, now: float) -> Record:
        """It is to have so many from now on; ``now`` is in seconds since 1970."""
        time, history = timestamp(now), self.history
        if desired != self.desired:
            history = (*history, Change(time, self.desired, desired, reason))[-REMEMBERED:]
        return msgspec.structs.replace(self, desired=desired, reason=reason, time=time, history=history)

    def of(self, policy: str) -> Record:
        """The same where it is that policy's; else without what another one reckoned with."""
        return self if policy == self.policy else msgspec.structs.replace(self, policy=policy, slo=None, starts=None)

    def reckoned(self, slo: Slo | None, starts: Starts | None) -> Record:
        """By these; what is None stays as it was, for a look that tells nothing changes nothing."""
        return msgspec.structs.replace(self, slo=slo or self.slo, starts=starts or self.starts)


def read(document: Document) -> Record | None:
    """The record that stands in ``status.scaling``; None where there is none as it was written."""
    try:
        return msgspec.convert(document, Record)
    except msgspec.ValidationError:
        return None


def write(record: Record) -> Document:
    """As it stands there."""
    document: Document = msgspec.json.decode(msgspec.json.encode(record))
    return document


def desired_in(document: Document) -> int | None:
    """The number alone."""
    desired = document.get("desired")
    return desired if isinstance(desired, int) and not isinstance(desired, bool) and desired >= 0 else None


def pack(state: msgspec.Struct) -> str:
    """A policy's state as text."""
    return b64encode(zlib.compress(msgspec.json.encode(state))).decode()


def unpack(policy: str, memory: str) -> Any:
    """The state that was packed; None where it is not that of the policy."""
    try:
        unpacking = zlib.decompressobj()
        told = unpacking.decompress(b64decode(memory, validate=True), LARGEST)
        return state_of(policy, msgspec.json.decode(told))
    except (ValueError, zlib.error, InvalidRequest):  # msgspec's errors are ValueErrors
        return None
