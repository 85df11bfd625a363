"""The model repository's messages as a client sends and reads them, in Triton's dialect."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc.documents import parse_message
from tidegate.protocol.repository import ModelIndex
from tidegate.protocol.tensors import Buffer


def encode_index_request(ready: bool) -> bytes:
    return pb.RepositoryIndexRequest(ready=ready).SerializeToString()


def decode_index(data: Buffer) -> tuple[ModelIndex, ...]:
    """The models of a repository.

    Raises:
        InvalidRequest: the bytes are no RepositoryIndexResponse.
    """
    models = parse_message(pb.RepositoryIndexResponse, data).models
    return tuple(ModelIndex(model.name, model.version, model.state, model.reason) for model in models)


def encode_load_request(model: str, parameters: Mapping[str, bool | int | str | bytes]) -> bytes:
    """A wish to load a model.

    Raises:
        ValueError: an integer needs more than 63 bits.
    """
    message = pb.RepositoryModelLoadRequest(model_name=model)
    for name, value in parameters.items():
        target = message.parameters[name]  # a map of messages makes the entry when it is read
        if isinstance(value, bool):
            target.bool_param = value
        elif isinstance(value, int):
            target.int64_param = value
        elif isinstance(value, str):
            target.string_param = value
        else:
            target.bytes_param = value
    return message.SerializeToString()


def encode_unload_request(model: str) -> bytes:
    return pb.RepositoryModelUnloadRequest(model_name=model).SerializeToString()
