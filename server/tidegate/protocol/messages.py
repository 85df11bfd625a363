"""The messages of v2 as values, free of any encoding.

A codec turns bytes into these and back; admission, routing, batching and the replicas know only these.
"""

from __future__ import annotations

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.tensors import NO_PARAMETERS, Parameters, Tensor


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that the caller asks for. Its ``binary_data`` wish stays in ``parameters``: the codec reads it."""

    name: str
    parameters: Parameters = NO_PARAMETERS


class InferRequest(msgspec.Struct, frozen=True):
    """One call. ``id`` and ``model_version`` are "" where the caller gave none; no ``outputs`` means all."""

    model_name: str
    inputs: tuple[Tensor, ...]
    model_version: str = ""
    id: str = ""
    parameters: Parameters = NO_PARAMETERS
    outputs: tuple[RequestedOutput, ...] = ()


class InferResponse(msgspec.Struct, frozen=True):
    """One answer; ``id`` is the request's own, "" where it had none."""

    model_name: str
    outputs: tuple[Tensor, ...]
    model_version: str = ""
    id: str = ""
    parameters: Parameters = NO_PARAMETERS


class TensorSpec(msgspec.Struct, frozen=True):
    """What a model says of one of its tensors. -1 in ``shape`` is any size.

    ``accepts`` lists further datatypes that the model converts from by itself (scikit-learn takes any number);
    the protocol's metadata shows only ``datatype``.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    accepts: tuple[Datatype, ...] = ()


class ModelMetadata(msgspec.Struct, frozen=True):
    """A model's signature as v2 shows it. ``platform`` has the form ``<project>_<format>``.

    ``batch_dimension`` tells that axis 0 of every input and output counts independent items.
    ``max_batch_size`` is the most rows that one execution takes, 0 where there is no limit.
    ``decoupled`` (Triton's word) tells that one request may have any number of responses.
    ``stateful`` tells that requests of one sequence share a state that the model keeps between them.
    """

    name: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: tuple[str, ...] = ()
    properties: dict[str, str] = {}
    batch_dimension: bool = True
    max_batch_size: int = 0
    decoupled: bool = False
    stateful: bool = False


class ServerMetadata(msgspec.Struct, frozen=True):
    name: str
    version: str
    extensions: tuple[str, ...]
