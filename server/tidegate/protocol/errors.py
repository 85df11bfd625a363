"""The one tree of errors that a caller can meet.

Each error knows its HTTP status, its gRPC status, whether trying again can help and after how long, and says in
one sentence what was wrong, where, and what was expected. Foreign exceptions are turned into one of these once,
at the border, with the cause chained for the log; the cause never reaches the wire.

::

    TidegateError                      HTTP  gRPC
    ├── InvalidRequest                 400   INVALID_ARGUMENT     the caller must change the request
    │   ├── InvalidTensor              400   INVALID_ARGUMENT     … in the tensor it names
    │   ├── PayloadTooLarge            413   INVALID_ARGUMENT     sending it again cannot help
    │   ├── HeadersTooLarge            431   INVALID_ARGUMENT
    │   ├── UnsupportedMediaType       415   INVALID_ARGUMENT
    │   ├── RequestTimeout             408   INVALID_ARGUMENT     the body did not arrive in time
    │   └── Unprocessable              422   INVALID_ARGUMENT     well-formed, and means nothing that there could be
    │       ├── InvalidManifest        422   INVALID_ARGUMENT     with all its faults (resources/faults.py)
    │       └── InvalidResource        422   INVALID_ARGUMENT     a resource that cannot be stored as it is
    ├── Unauthenticated                401   UNAUTHENTICATED      no credentials, or none that are good
    ├── Forbidden                      403   PERMISSION_DENIED    this server does not let this caller do it
    ├── NotFound                       404   NOT_FOUND            no such route
    │   ├── ModelNotFound              404   NOT_FOUND
    │   ├── VersionNotFound            404   NOT_FOUND
    │   ├── RevisionNotFound           404   NOT_FOUND
    │   ├── ServiceNotFound            404   NOT_FOUND
    │   └── ResourceNotFound           404   NOT_FOUND
    ├── MethodNotAllowed               405   UNIMPLEMENTED
    ├── Unsupported                    501   UNIMPLEMENTED        known to the protocol, not to this server or model
    ├── ResourceExists                 409   ALREADY_EXISTS
    ├── ResourceConflict               409   ABORTED              it changed meanwhile: read it again
    ├── ResourceInUse                  409   FAILED_PRECONDITION  something stands on it: end that first
    ├── FieldConflict                  409   ABORTED              others own the fields: leave them, or force it
    ├── ResourceExpired                410   OUT_OF_RANGE         its past is no longer kept: list again
    ├── ModelManaged                   409   FAILED_PRECONDITION  a service's: change that instead
    ├── SequenceLost                   409   ABORTED              its state is gone: start the sequence again
    ├── QuotaExceeded                  429   RESOURCE_EXHAUSTED   retryable: this caller has asked for all that he may
    ├── RequestCancelled               499   CANCELLED            the caller went away
    ├── DeadlineExceeded               504   DEADLINE_EXCEEDED
    ├── Unavailable                    503   UNAVAILABLE          retryable
    │   ├── ModelNotReady              503   UNAVAILABLE
    │   ├── Overloaded                 503   UNAVAILABLE
    │   ├── ReplicaLost                503   UNAVAILABLE
    │   ├── StateUnavailable           503   UNAVAILABLE          the disk, or who else holds it, does not let us
    │   └── ShuttingDown               503   UNAVAILABLE
    ├── ExecutionFailed                500   INTERNAL             the model raised while it ran
    │   └── OutOfMemory                507   RESOURCE_EXHAUSTED   … for want of memory
    ├── ModelLoadFailed                503   FAILED_PRECONDITION  the artifact cannot be served as it is
    │   ├── UntrustedModel             503   PERMISSION_DENIED    its format can execute code
    │   └── FrameworkMissing           503   FAILED_PRECONDITION  the package that reads it is not installed
    ├── StateUnusable                  503   FAILED_PRECONDITION  another process has it, or it is not ours to read
    ├── InvalidResponse                502   INTERNAL             another server's answer is not the protocol's
    └── InternalError                  500   INTERNAL             a fault of ours
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar, Self


class GrpcStatus(IntEnum):
    """Status codes of gRPC (https://grpc.io/docs/guides/status-codes/), so that no gRPC library is needed here."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class TidegateError(Exception):
    """The root. ``message`` is what the caller reads; ``retry_after`` is in seconds, None where unknown."""

    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[GrpcStatus] = GrpcStatus.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def told(cls, message: str, *, retry_after: float | None = None) -> Self:
        """The error in the words of a server, where the parts that a sentence is made of are not known."""
        error = cls.__new__(cls)
        TidegateError.__init__(error, message, retry_after=retry_after)
        return error


class InvalidRequest(TidegateError):
    http_status = 400
    grpc_status = GrpcStatus.INVALID_ARGUMENT


class InvalidTensor(InvalidRequest):
    """``tensor`` is the name of the tensor at fault; the message begins with it."""

    def __init__(self, tensor: str, problem: str) -> None:
        super().__init__(f"input '{shown(tensor)}': {problem}")
        self.tensor = tensor
        self.problem = problem


class PayloadTooLarge(InvalidRequest):
    http_status = 413


class HeadersTooLarge(InvalidRequest):
    http_status = 431


class UnsupportedMediaType(InvalidRequest):
    http_status = 415


class RequestTimeout(InvalidRequest):
    http_status = 408


class Unprocessable(InvalidRequest):
    http_status = 422  # as Kubernetes' API server has it


class InvalidResource(Unprocessable):
    """The message begins with the field at fault."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{shown(field, 128)} {problem}")
        self.field = field
        self.problem = problem


class Unauthenticated(TidegateError):
    """The same whatever was wrong: who guesses learns nothing."""

    http_status = 401
    grpc_status = GrpcStatus.UNAUTHENTICATED

    def __init__(
        self, message: str = "credentials are missing or not valid; send them as 'Authorization: Bearer …'"
    ) -> None:
        super().__init__(message)


class Forbidden(TidegateError):
    http_status = 403
    grpc_status = GrpcStatus.PERMISSION_DENIED


class NotFound(TidegateError):
    http_status = 404
    grpc_status = GrpcStatus.NOT_FOUND


class ModelNotFound(NotFound):
    def __init__(self, model: str) -> None:
        super().__init__(f"model '{shown(model)}' is not found")


class VersionNotFound(NotFound):
    def __init__(self, model: str, version: str, available: str) -> None:
        super().__init__(f"model '{shown(model)}' has no version '{shown(version)}'; it has {available}")


class RevisionNotFound(NotFound):
    def __init__(self, model: str, revision: str, available: str) -> None:
        super().__init__(f"model '{shown(model)}' has no revision '{shown(revision)}'; {available}")


class ServiceNotFound(NotFound):
    def __init__(self, service: str) -> None:
        super().__init__(f"service '{shown(service, 128)}' is not found")


class ResourceNotFound(NotFound):
    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource} is not found")


class MethodNotAllowed(TidegateError):
    http_status = 405
    grpc_status = GrpcStatus.UNIMPLEMENTED


class Unsupported(TidegateError):
    http_status = 501
    grpc_status = GrpcStatus.UNIMPLEMENTED


class ResourceExists(TidegateError):
    http_status = 409
    grpc_status = GrpcStatus.ALREADY_EXISTS

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource} exists already")


class ResourceConflict(TidegateError):
    """A precondition of a write does not hold: ``held`` is what is stored, ``wanted`` what the writer expected."""

    http_status = 409
    grpc_status = GrpcStatus.ABORTED
    held: str = ""
    wanted: str = ""

    def __init__(self, resource: str, field: str, held: str, wanted: str) -> None:
        super().__init__(
            f"{resource} has {field} '{shown(held)}', but the write is for '{shown(wanted)}': read it again"
        )
        self.held = held
        self.wanted = wanted


class ResourceInUse(TidegateError):
    http_status = 409
    grpc_status = GrpcStatus.FAILED_PRECONDITION


class FieldConflict(TidegateError):
    """Fields that others have set. ``conflicts`` has each field with its owner, or what was said of him."""

    http_status = 409
    grpc_status = GrpcStatus.ABORTED
    conflicts: tuple[tuple[str, str], ...] = ()

    def __init__(self, conflicts: Sequence[tuple[str, str]]) -> None:
        told = [f"{shown(field, 160)} is owned by '{shown(owner)}'" for field, owner in conflicts[:10]]
        more = [f"and {len(conflicts) - 10} more"] if len(conflicts) > 10 else []
        noun = "conflict" if len(conflicts) == 1 else "conflicts"
        super().__init__(f"apply failed with {len(conflicts)} {noun}: {'; '.join(told + more)}")
        self.conflicts = tuple(conflicts)


class ResourceExpired(TidegateError):
    http_status = 410
    grpc_status = GrpcStatus.OUT_OF_RANGE


class ModelManaged(TidegateError):
    http_status = 409
    grpc_status = GrpcStatus.FAILED_PRECONDITION

    def __init__(self, model: str, manager: str) -> None:
        super().__init__(f"model '{shown(model)}' is managed by {manager}; change that")


class SequenceLost(TidegateError):
    http_status = 409
    grpc_status = GrpcStatus.ABORTED  # "retry at a higher level": not the step, but the sequence


class QuotaExceeded(TidegateError):
    http_status = 429
    grpc_status = GrpcStatus.RESOURCE_EXHAUSTED
    retryable = True


class RequestCancelled(TidegateError):
    http_status = 499  # nginx's number; the caller does not read it, the metrics do
    grpc_status = GrpcStatus.CANCELLED


class DeadlineExceeded(TidegateError):
    http_status = 504
    grpc_status = GrpcStatus.DEADLINE_EXCEEDED


class Unavailable(TidegateError):
    http_status = 503
    grpc_status = GrpcStatus.UNAVAILABLE
    retryable = True


class ModelNotReady(Unavailable):
    def __init__(self, model: str, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"model '{shown(model)}' is not ready: {reason}", retry_after=retry_after)


class Overloaded(Unavailable):
    pass


class ReplicaLost(Unavailable):
    pass


class StateUnavailable(Unavailable):
    pass


class ShuttingDown(Unavailable):
    def __init__(self) -> None:
        super().__init__("the server is shutting down", retry_after=1.0)


class ExecutionFailed(TidegateError):
    pass


class OutOfMemory(ExecutionFailed):
    http_status = 507  # as TorchServe, DJL Serving and SageMaker have it
    grpc_status = GrpcStatus.RESOURCE_EXHAUSTED  # as TensorFlow Serving has it


class ModelLoadFailed(TidegateError):
    http_status = 503
    grpc_status = GrpcStatus.FAILED_PRECONDITION


class UntrustedModel(ModelLoadFailed):
    grpc_status = GrpcStatus.PERMISSION_DENIED


class FrameworkMissing(ModelLoadFailed):
    pass


class StateUnusable(TidegateError):
    http_status = 503
    grpc_status = GrpcStatus.FAILED_PRECONDITION


class InvalidResponse(TidegateError):
    http_status = 502

    def __init__(self, problem: str) -> None:
        super().__init__(f"the server's answer is not valid: {problem}")


class InternalError(TidegateError):
    def __init__(self, message: str = "internal error; the server's log has the cause") -> None:
        super().__init__(message)


def shown(value: object, limit: int = 64) -> str:
    """A caller's value as it may stand in a message or a log: printable, on one line, at most ``limit`` characters."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quoted(value: object) -> str:
    """A value of a document as a sentence quotes it: text in quotes, what is large by its kind."""
    match value:
        case None:
            return "empty"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{shown(value)}'"
        case int() if abs(value) >= 10**20:
            return "a number of more than 20 digits"
    return shown(value)
