"""The small JSON documents of v2: the server's and a model's metadata, statistics, and the one form of an error.

What the protocol's metadata does not show (batch dimension, accepted datatypes) is not in them, so that a decoded
signature has the defaults there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, TidegateError, shown
from tidegate.protocol.json_document import read
from tidegate.protocol.messages import ModelMetadata, ServerMetadata, TensorSpec
from tidegate.protocol.statistics import ModelStatistics
from tidegate.protocol.tensors import Buffer

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


_ENCODER = msgspec.json.Encoder()
_MODEL = msgspec.json.Decoder(_Model)
_ERROR = msgspec.json.Decoder(_Error)


def encode_server_metadata(metadata: ServerMetadata) -> bytes:
    """``{"name", "version", "extensions"}``"""
    return _ENCODER.encode(metadata)


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
    try:
        model = read(_MODEL, text, "the metadata")
    except InvalidRequest as error:
        raise InvalidResponse(error.message) from error
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


def encode_error(error: TidegateError) -> bytes:
    """``{"error": message}``. A message quotes whatever it was given, so half a surrogate pair in it is escaped."""
    return _ENCODER.encode({"error": error.message.encode("utf-8", "backslashreplace").decode()})


def decode_error(text: Buffer) -> str:
    """The message in another server's error, on one line and cut to ``SHOWN`` characters.

    Raises:
        InvalidResponse: it is neither ``{"error": …}`` nor FastAPI's ``{"detail": …}``.
    """
    try:
        document = read(_ERROR, text, "the error")
    except InvalidRequest as error:
        raise InvalidResponse(error.message) from error
    message = document.error if document.error is not None else document.detail
    if message is None:
        raise InvalidResponse("the error has no member 'error'")
    return shown(message if isinstance(message, str) else _ENCODER.encode(message).decode(), SHOWN)


def _specs(tensors: list[_Tensor] | None) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors or ())
