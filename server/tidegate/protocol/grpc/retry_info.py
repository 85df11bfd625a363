"""How long a caller is asked to stay away, in the details that a gRPC status may carry.

``grpc-status-details-bin`` holds a google.rpc.Status; among its details there may be a google.rpc.RetryInfo. Both are
read by hand: their messages are in a package of their own, for the two fields that are wanted.

Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.grpc.wire import fields
from tidegate.protocol.tensors import Buffer

_DETAILS = 3
_RETRY_DELAY = 1
_TYPE = "google.rpc.RetryInfo"


def decode_retry_delay(status: Buffer) -> float | None:
    """Seconds of a Status's RetryInfo; None where it has none, or is broken: details are there to help, no more."""
    try:
        view = memoryview(status).cast("B")
        for number, _, start, end in fields(view):
            if number == _DETAILS:
                detail = Any.FromString(bytes(view[start:end]))
                if detail.type_url.rpartition("/")[2] == _TYPE:
                    return _delay(memoryview(detail.value))
    except (DecodeError, InvalidRequest):
        return None
    return None


def _delay(info: memoryview) -> float | None:
    for number, _, start, end in fields(info):
        if number == _RETRY_DELAY:
            duration = Duration.FromString(bytes(info[start:end]))
            return max(0.0, duration.seconds + duration.nanos / 1e9)
    return None
