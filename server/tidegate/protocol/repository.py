"""The model repository extension: what a server could serve, in which state it is, and wishes to change that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from tidegate.protocol.errors import InvalidRequest, Unsupported, shown
from tidegate.protocol.json_document import read
from tidegate.protocol.tensors import Buffer

RepositoryParameters = Mapping[str, bool | int | float | str | bytes]


class ModelState(StrEnum):
    """Triton's words."""

    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


class IndexEntry(msgspec.Struct, frozen=True):
    """One version of a model; ``version`` is "" where none could be told. ``reason`` is for people.

    ``state`` is one of ModelState's, or another word of a foreign server.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        """The reason as it can be sent: it quotes a model's words, in which half a surrogate pair can stand."""
        return self.reason.encode("utf-8", "backslashreplace").decode()


class RepositoryRequest(msgspec.Struct, frozen=True):
    """A wish to load or unload a model."""

    model: str
    parameters: RepositoryParameters = {}


class _Index(msgspec.Struct):
    ready: bool | None = None


class _Change(msgspec.Struct):
    parameters: dict[str, Any] | None = None


_ENCODER = msgspec.json.Encoder()
_INDEX = msgspec.json.Decoder(_Index)
_CHANGE = msgspec.json.Decoder(_Change)


def decode_index_request(text: Buffer) -> bool:
    """Whether only models that are ready are asked for. Clients send no body at all, too.

    Raises:
        InvalidRequest: the body has another form.
    """
    return bool(text and read(_INDEX, text).ready)


def decode_change_request(text: Buffer) -> RepositoryParameters:
    """The parameters of a wish to load or unload a model; the model itself stands in the path.

    Raises:
        InvalidRequest: the body has another form.
    """
    return (read(_CHANGE, text).parameters or {}) if text else {}


def encode_index(entries: Sequence[IndexEntry]) -> bytes:
    """``[{"name", "version", "state", "reason"}, …]``"""
    return _ENCODER.encode([msgspec.structs.replace(entry, reason=entry.text) for entry in entries])


def encode_changed(model: str, verb: str) -> bytes:
    """``{"name": model, "load": true}``, which is KServe's answer; Triton's is empty, and its clients read none."""
    return _ENCODER.encode({"name": model, verb: True})


def check_parameters(parameters: RepositoryParameters) -> None:
    """Hold the parameters of a wish to load or unload against what is honoured here.

    ``unload_dependents`` changes nothing, because no model depends on another one.

    Raises:
        Unsupported: a configuration or a file comes with the request.
        InvalidRequest: any other parameter.
    """
    for name, value in parameters.items():
        if name == "config":
            raise Unsupported("parameter 'config' is not supported; what holds for a model stands in its model.yaml")
        if name.startswith("file:"):
            raise Unsupported(f"parameter '{shown(name)}' is not supported; models are loaded from the server's disk")
        if name != "unload_dependents":
            raise InvalidRequest(f"parameter '{shown(name)}' is not known; expected 'unload_dependents' or none")
        if not isinstance(value, bool):
            raise InvalidRequest(f"parameter 'unload_dependents' is {shown(value)}, expected true or false")
