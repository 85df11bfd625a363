"""What a client asks a server, whatever carries it.

A call is an exchange of values: how its message reads with so much time left, and what its answer means. Both are pure
and exist once for each protocol (``http_calls``, ``grpc_calls``); a transport only moves them. So the retries, the
deadlines and the two faces of the client (``AsyncClient``, ``Client``) exist once for all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from tidegate.protocol.repository import IndexEntry
from tidegate.protocol.statistics import ModelStatistics

M = TypeVar("M")
A = TypeVar("A")
T = TypeVar("T")
M_contra = TypeVar("M_contra", contravariant=True)
A_co = TypeVar("A_co", covariant=True)

LoadParameters = Mapping[str, bool | int | str | bytes]
NO_LOAD_PARAMETERS: LoadParameters = {}


@dataclass(frozen=True)
class Exchange(Generic[M, A, T]):
    """One call. ``message`` makes what is sent with so many seconds left, ``read`` what the answer means or raises."""

    message: Callable[[float], M]
    read: Callable[[A], T]
    idempotent: bool = True
    """Whether it may be executed twice; False also where the server's state is what is asked to change."""
    told: bool = False
    """Whether the server knows of the deadline, so that its own word on it is worth waiting for."""


class Calls(Protocol[M, A]):
    """The calls of one protocol."""

    def infer(self, request: InferRequest, tenant: str) -> Exchange[M, A, InferResponse]: ...
    def stream(
        self, request: InferRequest, tenant: str, signature: ModelMetadata | None
    ) -> Exchange[M, A, InferResponse | None]:
        """The one exchange with many answers, each read by itself; None is one that only tells the end."""
        ...

    @property
    def reads_by_signature(self) -> bool:
        """Whether ``stream`` has to be given the model's signature."""
        ...

    def server_live(self) -> Exchange[M, A, bool]: ...
    def server_ready(self) -> Exchange[M, A, bool]: ...
    def server_metadata(self) -> Exchange[M, A, ServerMetadata]: ...
    def model_ready(self, name: str, version: str) -> Exchange[M, A, bool]: ...
    def model_metadata(self, name: str, version: str) -> Exchange[M, A, ModelMetadata]: ...
    def statistics(self, name: str, version: str) -> Exchange[M, A, tuple[ModelStatistics, ...]]: ...
    def models(self) -> Exchange[M, A, list[str]]: ...
    def repository_index(self, ready: bool) -> Exchange[M, A, tuple[IndexEntry, ...]]: ...
    def load_model(self, name: str, parameters: LoadParameters) -> Exchange[M, A, None]: ...
    def unload_model(self, name: str) -> Exchange[M, A, None]: ...


class Transport(Protocol[M_contra, A_co]):
    """Moves one message and its answer. It has no patience of its own: whoever waits cancels."""

    async def exchange(self, message: M_contra, remaining: float, grace: float) -> A_co:
        """Send a message; a connection has to be there in ``remaining`` seconds, the answer ``grace`` later.

        Raises:
            ServerUnreachable: the message did not arrive; ConnectionLost: it may have, but no whole answer came.
            InvalidResponse: what came is no answer of the protocol.
        """
        ...

    def stream(self, message: M_contra, remaining: float) -> AsyncGenerator[A_co, None]:
        """Send a message, and read answer after answer as they are asked for. Closing it gives the call up.

        Raises:
            TidegateError: as with ``exchange``; ConnectionLost where the connection breaks before the last answer.
        """
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
