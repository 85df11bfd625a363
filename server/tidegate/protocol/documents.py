"""The small JSON documents of v2: metadata of server and models, statistics, the repository, the one form of an error.

What the protocol's metadata does not show (batch dimension, accepted datatypes) is not in them, so that a decoded
signature has the defaults there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, TidegateError, shown
from tidegate.protocol.json_document import read
from tidegate.protocol.messages import ModelMetadata, ServerMetadata, TensorSpec
from tidegate.protocol.repository import IndexEntry
from tidegate.protocol.statistics import ModelStatistics
from tidegate.protocol.tensors import Buffer

T = TypeVar("T")

SHOWN = 1024
"""Characters of another server's error that we pass on."""


class _Tensor(msgspec.Struct):
    name: str
    datatype: Datatype
    shape: tuple[int, ...]


class _Model(msgspec.Struct, omit_defaults=True):
    """The OpenAPI description requires only name and platform, and KServe has no versions."""

    name: str
    versions: tuple[str, ...] | None = None
    platform: str | None = ""
    inputs: list[_Tensor] | None = None
    outputs: list[_Tensor] | None = None
    properties: dict[str, str] | None = None


class _Error(msgspec.Struct):
    """``detail`` is FastAPI's own form, which KServe and MLServer answer with for what they cannot parse."""

    error: Any = None
    detail: Any = None


class _Server(msgspec.Struct):
    """MLServer has no extensions where it has none."""

    name: str
    version: str = ""
    extensions: tuple[str, ...] | None = None


class _Index(msgspec.Struct):
    """Triton leaves out what it does not know, MLServer writes null or ""."""

    name: str
    version: str | None = None
    state: str | None = None
    reason: str | None = None


class _Statistics(msgspec.Struct):
    model_stats: tuple[ModelStatistics, ...]


class _Names(msgspec.Struct):
    models: list[str]


_ENCODER = msgspec.json.Encoder()
_SERVER = msgspec.json.Decoder(_Server)
_INDEX = msgspec.json.Decoder(list[_Index])
_STATISTICS = msgspec.json.Decoder(_Statistics)
_NAMES = msgspec.json.Decoder(_Names)
_MODEL = msgspec.json.Decoder(_Model)
_ERROR = msgspec.json.Decoder(_Error)


def encode_server_metadata(metadata: ServerMetadata) -> bytes:
    """``{"name", "version", "extensions"}``"""
    return _ENCODER.encode(metadata)


def decode_server_metadata(text: Buffer) -> ServerMetadata:
    """What a server says of itself.

    Raises:
        InvalidResponse: it is not v2's form.
    """
    server = _answered(_SERVER, text, "the metadata")
    return ServerMetadata(server.name, server.version, server.extensions or ())


def encode_model_metadata(metadata: ModelMetadata) -> bytes:
    """``{"name", "versions", "platform", "inputs", "outputs", "properties"}``; the last only where there are any."""
    document: dict[str, Any] = {
        "name": metadata.name,
        "versions": metadata.versions,
        "platform": metadata.platform,
        "inputs": [_Tensor(spec.name, spec.datatype, spec.shape) for spec in metadata.inputs],
        "outputs": [_Tensor(spec.name, spec.datatype, spec.shape) for spec in metadata.outputs],
    }
    if metadata.properties:
        document["properties"] = metadata.properties
    return _ENCODER.encode(document)


def decode_model_metadata(text: Buffer) -> ModelMetadata:
    """A signature as any v2 server tells it.

    Raises:
        InvalidResponse: it is not v2's form.
    """
    model = _answered(_MODEL, text, "the metadata")
    return ModelMetadata(
        name=model.name,
        platform=model.platform or "",
        inputs=_specs(model.inputs),
        outputs=_specs(model.outputs),
        versions=model.versions or (),
        properties=model.properties or {},
    )


def encode_statistics(models: Sequence[ModelStatistics]) -> bytes:
    """``{"model_stats": [{"name", "version", …}, …]}``"""
    return _ENCODER.encode({"model_stats": models})


def decode_statistics(text: Buffer) -> tuple[ModelStatistics, ...]:
    """The statistics that any v2 server tells. Those of single responses, which Triton adds, are left out.

    Raises:
        InvalidResponse: it is not v2's form.
    """
    return _answered(_STATISTICS, text, "the statistics").model_stats


def decode_models(text: Buffer) -> list[str]:
    """The names in ``{"models": […]}``, the list that KServe and tidegate have beyond the protocol.

    Raises:
        InvalidResponse: it has another form.
    """
    return _answered(_NAMES, text, "the list of models").models


def decode_index(text: Buffer) -> tuple[IndexEntry, ...]:
    """The models of a repository.

    Raises:
        InvalidResponse: it is not v2's form.
    """
    found = _answered(_INDEX, text, "the index")
    return tuple(IndexEntry(one.name, one.version or "", one.state or "", one.reason or "") for one in found)


def encode_index_request(ready: bool) -> bytes:
    """``{"ready": …}``: whether only models that are ready are asked for."""
    return _ENCODER.encode({"ready": ready})


def encode_load_request(parameters: Mapping[str, bool | int | str | bytes]) -> bytes:
    """``{"parameters": {…}}``; bytes, which are the files of a model, in base64."""
    return _ENCODER.encode({"parameters": parameters} if parameters else {})


def encode_error(error: TidegateError) -> bytes:
    """``{"error": message}``. A message quotes whatever it was given, so half a surrogate pair in it is escaped."""
    return _ENCODER.encode({"error": error.message.encode("utf-8", "backslashreplace").decode()})


def decode_error(text: Buffer) -> str:
    """The message in another server's error, on one line and cut to ``SHOWN`` characters.

    Raises:
        InvalidResponse: it is neither ``{"error": …}`` nor FastAPI's ``{"detail": …}``.
    """
    document = _answered(_ERROR, text, "the error")
    message = document.error if document.error is not None else document.detail
    if message is None:
        raise InvalidResponse("the error has no member 'error'")
    return shown(message if isinstance(message, str) else _ENCODER.encode(message).decode(), SHOWN)


def _specs(tensors: list[_Tensor] | None) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors or ())


def _answered(decoder: msgspec.json.Decoder[T], text: Buffer, what: str) -> T:
    try:
        return read(decoder, text, what)
    except InvalidRequest as error:
        raise InvalidResponse(error.message) from error
