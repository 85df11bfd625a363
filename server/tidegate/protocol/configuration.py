"""How a model is run, as Triton's clients read it: the model configuration extension.

The fields are Triton's and so is their JSON; only those stand here that mean something to tidegate. What Triton has no
field for is in ``parameters``, under the names of our own settings.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec


class ConfiguredTensor(msgspec.Struct, frozen=True):
    """``dims`` lack the batch dimension where ``max_batch_size`` is not 0."""

    name: str
    data_type: str
    dims: tuple[int, ...]


class InstanceGroup(msgspec.Struct, frozen=True):
    name: str
    kind: str
    count: int


class QueuePolicy(msgspec.Struct, frozen=True):
    max_queue_size: int


class DynamicBatching(msgspec.Struct, frozen=True):
    preferred_batch_size: tuple[int, ...]
    max_queue_delay_microseconds: int
    priority_levels: int
    default_priority_level: int
    default_queue_policy: QueuePolicy


class ConfiguredParameter(msgspec.Struct, frozen=True):
    string_value: str


class ResponseCache(msgspec.Struct, frozen=True):
    enable: bool


class ModelConfiguration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    platform: str
    backend: str
    """The runtime."""
    version_policy: Mapping[str, Mapping[str, int | tuple[int, ...]]]
    """One of ``latest``, ``all`` and ``specific``."""
    max_batch_size: int
    """Rows in one execution, 0 for a model without a batch dimension."""
    input: tuple[ConfiguredTensor, ...]
    output: tuple[ConfiguredTensor, ...]
    instance_group: tuple[InstanceGroup, ...]
    dynamic_batching: DynamicBatching | None = None
    parameters: Mapping[str, ConfiguredParameter] = {}
    response_cache: ResponseCache | None = None


_ENCODER = msgspec.json.Encoder()


def encode_configuration(configuration: ModelConfiguration) -> bytes:
    """Triton's JSON."""
    return _ENCODER.encode(configuration)


def configured_tensors(metadata: ModelMetadata, specs: tuple[TensorSpec, ...]) -> tuple[ConfiguredTensor, ...]:
    """Inputs or outputs of a model as its configuration shows them."""
    first = 1 if metadata.batch_dimension else 0
    return tuple(ConfiguredTensor(spec.name, data_type(spec.datatype), spec.shape[first:]) for spec in specs)


def data_type(datatype: Datatype) -> str:
    """Triton's configuration calls BYTES a string."""
    return "TYPE_STRING" if datatype is Datatype.BYTES else f"TYPE_{datatype.value}"
