"""The small messages: liveness, readiness and metadata."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc.infer import not_protobuf
from tidegate.protocol.messages import ModelMetadata, ServerMetadata, TensorSpec
from tidegate.protocol.tensors import Buffer

AnyMessage = TypeVar("AnyMessage", bound=Message)


def parse_message(kind: type[AnyMessage], data: Buffer) -> AnyMessage:
    """A message of a kind.

    Raises:
        InvalidRequest: the bytes are not of that kind.
    """
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise not_protobuf(kind.DESCRIPTOR.name) from error


def check_empty_request(data: Buffer) -> None:
    """Hold a request without fields (ServerLive, ServerReady, ServerMetadata) against its form.

    Raises:
        InvalidRequest: the bytes are no protobuf message.
    """
    if data:
        parse_message(pb.ServerLiveRequest, data)


def decode_model_request(data: Buffer) -> tuple[str, str]:
    """Name and version ("" for none) of a ModelReadyRequest or a ModelMetadataRequest: they have the same form.

    Raises:
        InvalidRequest: the bytes are no such message, or it names no model.
    """
    message = parse_message(pb.ModelReadyRequest, data)
    if not message.name:
        raise InvalidRequest("name is empty; expected the name of a model")
    return message.name, message.version


def encode_model_request(name: str, version: str = "") -> bytes:
    return pb.ModelReadyRequest(name=name, version=version).SerializeToString()


def encode_server_live(live: bool) -> bytes:
    return pb.ServerLiveResponse(live=live).SerializeToString()


def decode_server_live(data: Buffer) -> bool:
    return parse_message(pb.ServerLiveResponse, data).live


def encode_server_ready(ready: bool) -> bytes:
    return pb.ServerReadyResponse(ready=ready).SerializeToString()


def decode_server_ready(data: Buffer) -> bool:
    return parse_message(pb.ServerReadyResponse, data).ready


def encode_model_ready(ready: bool) -> bytes:
    return pb.ModelReadyResponse(ready=ready).SerializeToString()


def decode_model_ready(data: Buffer) -> bool:
    return parse_message(pb.ModelReadyResponse, data).ready


def encode_server_metadata(metadata: ServerMetadata) -> bytes:
    message = pb.ServerMetadataResponse(name=metadata.name, version=metadata.version, extensions=metadata.extensions)
    return message.SerializeToString()


def decode_server_metadata(data: Buffer) -> ServerMetadata:
    message = parse_message(pb.ServerMetadataResponse, data)
    return ServerMetadata(message.name, message.version, tuple(message.extensions))


def encode_model_metadata(metadata: ModelMetadata) -> bytes:
    message = pb.ModelMetadataResponse(
        name=metadata.name,
        versions=metadata.versions,
        platform=metadata.platform,
        inputs=[_encode_spec(spec) for spec in metadata.inputs],
        outputs=[_encode_spec(spec) for spec in metadata.outputs],
        properties=metadata.properties,
    )
    return message.SerializeToString()


def decode_model_metadata(data: Buffer) -> ModelMetadata:
    """A model's signature from any v2 server.

    Raises:
        InvalidRequest: the bytes are no such message, or it has a tensor of a datatype that v2 does not know.
    """
    message = parse_message(pb.ModelMetadataResponse, data)
    return ModelMetadata(
        name=message.name,
        platform=message.platform,
        inputs=tuple(_decode_spec(spec) for spec in message.inputs),
        outputs=tuple(_decode_spec(spec) for spec in message.outputs),
        versions=tuple(message.versions),
        properties=dict(message.properties),
    )


def _encode_spec(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype.value, shape=spec.shape)


def _decode_spec(message: pb.ModelMetadataResponse.TensorMetadata) -> TensorSpec:
    try:
        return TensorSpec(message.name, Datatype(message.datatype), tuple(message.shape))
    except ValueError as error:
        raise InvalidRequest(
            f"tensor '{shown(message.name)}' has the unknown datatype '{shown(message.datatype)}'"
        ) from error
