"""A call as a method sees it, free of any transport: messages are bytes, and deadlines are read already."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from tidegate.identity.credentials import Certificate
from tidegate.identity.identity import Identity
from tidegate.protocol.errors import TidegateError
from tidegate.protocol.tensors import Buffer


class Call:
    """One call. ``started`` is a time of the event loop; ``timeout`` is the caller's, in seconds.

    ``metadata`` is everything that the caller sent with the call, names in lower case.
    ``certificate`` is what the client has shown of itself on the connection.
    ``identity`` is who asks, None where callers are not asked for that.
    ``refusal`` is set by the transport when it cancels the method for a reason of its own: the answer then is that.
    ``keep`` keeps the message read last on the budget after the next one is read, until what it returns is called.
    """

    __slots__ = ("certificate", "identity", "keep", "metadata", "refusal", "started", "timeout")

    def __init__(self, started: float, timeout: float | None) -> None:
        self.started = started
        self.timeout = timeout
        self.certificate: Certificate | None = None
        self.identity: Identity | None = None
        self.metadata: Sequence[tuple[bytes, bytes]] = ()
        self.refusal: TidegateError | None = None
        self.keep: Callable[[], Callable[[], None]] = lambda: lambda: None


Respond = Callable[[Buffer, Call], Awaitable[bytes]]
Converse = Callable[[AsyncIterator[Buffer], Call], AsyncGenerator[bytes, None]]


class Unary(msgspec.Struct, frozen=True):
    """One message in, one message out. ``counts`` says that it counts its own outcomes, good or bad.

    ``open`` methods answer anybody, also where callers are asked who they are.
    """

    respond: Respond
    counts: bool = False
    open: bool = False


class Streaming(msgspec.Struct, frozen=True):
    """Messages in, messages out; the method decides how many and when.

    ``large`` takes messages of any size that a unary call may have. ``ends`` tells that it ends by itself soon after
    its messages do: when the server leaves they end, and it may answer what it has. Any other is cut then. ``open`` is
    as above.
    """

    converse: Converse
    large: bool = False
    ends: bool = False
    open: bool = False


Methods = Mapping[bytes, Unary | Streaming]
"""Methods by their ``:path``: ``b"/inference.GRPCInferenceService/ModelInfer"``."""
