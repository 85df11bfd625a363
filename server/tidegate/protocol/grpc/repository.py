"""Model repository and model configuration over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from google.protobuf.json_format import ParseDict

from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc.documents import parse_message
from tidegate.protocol.repository import IndexEntry, RepositoryRequest
from tidegate.protocol.tensors import Buffer


def decode_index_request(data: Buffer) -> bool:
    """Whether only models that are ready are asked for.

    Raises:
        InvalidRequest: the bytes are no such message, or it names a repository.
    """
    message = parse_message(pb.RepositoryIndexRequest, data)
    if message.repository_name:
        raise InvalidRequest(
            f"repository_name is '{shown(message.repository_name)}'; expected none, for repositories have no names here"
        )
    return message.ready


def encode_index(entries: Sequence[IndexEntry]) -> bytes:
    message = pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.text
            )
            for entry in entries
        ]
    )
    return message.SerializeToString()


def decode_repository_request(data: Buffer) -> RepositoryRequest:
    """A RepositoryModelLoadRequest or …UnloadRequest, in Triton's dialect or in KServe's.

    Triton names the model in field 2, where field 1 is a repository; KServe's message has only field 1, the model.

    Raises:
        InvalidRequest: the bytes are no such message, it names no model, or a parameter has no value.
    """
    message = parse_message(pb.RepositoryModelLoadRequest, data)
    model = message.model_name or message.repository_name
    if not model:
        raise InvalidRequest("model_name is empty; expected the name of a model")
    parameters: dict[str, bool | int | float | str | bytes] = {}
    for name, value in message.parameters.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidRequest(f"parameter '{shown(name)}' has no value")
        parameters[name] = getattr(value, kind)
    return RepositoryRequest(model, parameters)


def encode_repository_response(model: str) -> bytes:
    """That a model was loaded or unloaded, as KServe's clients read it; for Triton's the message is empty."""
    return pb.RepositoryModelLoadResponse(model_name=model, is_loaded=True).SerializeToString()


def encode_configuration(configuration: ModelConfiguration) -> bytes:
    config = ParseDict(msgspec.to_builtins(configuration), pb.ModelConfig())
    return pb.ModelConfigResponse(config=config).SerializeToString()


def encode_index_request(ready: bool) -> bytes:
    return pb.RepositoryIndexRequest(ready=ready).SerializeToString()


def decode_index(data: Buffer) -> tuple[IndexEntry, ...]:
    """The models of a repository.

    Raises:
        InvalidRequest: the bytes are no RepositoryIndexResponse.
    """
    models = parse_message(pb.RepositoryIndexResponse, data).models
    return tuple(IndexEntry(model.name, model.version, model.state, model.reason) for model in models)


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
