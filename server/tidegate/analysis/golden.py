"""Requests whose answers are known: read from what a file holds, and held against what a model answers. Pure.

A document is ``{"request": …, "response": …}``, both in v2's JSON as they go over HTTP, and may have a ``name``.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.analysis.outputs import compare
from tidegate.protocol import rest
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, shown
from tidegate.protocol.json_document import read
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata
from tidegate.protocol.tensors import Tensor, by_name


class Stored(msgspec.Struct, frozen=True):
    """One request, and the outputs that it must be answered with."""

    name: str
    """The document's own, or else where it lies."""
    request: InferRequest
    response: InferResponse


class _Document(msgspec.Struct):
    request: msgspec.Raw
    response: msgspec.Raw
    name: str = ""


_DOCUMENT = msgspec.json.Decoder(_Document)


def parse(text: bytes, place: str, model: ModelMetadata, limits: Limits = DEFAULT_LIMITS) -> Stored:
    """The request and the response of a document, which lies at ``place``.

    Raises:
        InvalidRequest: it is no such document; what it holds is not told, for it may be any file.
    """
    document = read(_DOCUMENT, text, what=place)
    try:
        request = rest.decode_request(
            bytes(document.request), None, model=model.name, version="", limits=limits, metadata=model
        )
        response = rest.decode_response(bytes(document.response), None, limits=limits)
    except InvalidRequest as error:
        raise InvalidRequest(f"{place}: request: {error.message}") from error
    except InvalidResponse as error:
        raise InvalidRequest(f"{place}: response: {error.message}") from error
    if not response.outputs:
        raise InvalidRequest(f"{place}: response: has no outputs, expected at least one")
    return Stored(shown(document.name) or place, request, response)


def difference(stored: Stored, got: InferResponse, rtol: float, atol: float) -> str:
    """What the first output that is not as it is stored has instead; "" where all are. Others are not looked at.

    Raises:
        InvalidTensor: an output's BYTES are none.
    """
    found = by_name(got.outputs)
    for expected in stored.response.outputs:
        output = found.get(expected.name)
        name = f"output '{shown(expected.name)}'"
        if output is None:
            return f"{name} is missing"
        if output.datatype is not expected.datatype:
            return f"{name} is {output.datatype}, expected {expected.datatype}"
        if output.shape != expected.shape:
            return f"{name} has the shape {list(output.shape)}, expected {list(expected.shape)}"
        # Without a tolerance large integers must be equal, too, which are one number as floats.
        first = _first(expected, output, rtol, atol)
        if first or compare([expected], [output], rtol, atol).different:
            return f"{name}{first or ' differs'}"
    return ""


def _first(expected: Tensor, got: Tensor, rtol: float, atol: float) -> str:
    """The first element that differs, with both values; "" where none does."""
    wanted, found = expected.numpy(), got.numpy()
    places = np.argwhere(_apart(wanted, found, expected.datatype, rtol, atol))
    if not len(places):
        return ""
    place = tuple(map(int, places[0]))
    return f"{list(place) if place else ''} is {_told(found[place])}, expected {_told(wanted[place])}"


def _apart(
    wanted: npt.NDArray[Any], found: npt.NDArray[Any], datatype: Datatype, rtol: float, atol: float
) -> npt.NDArray[np.bool_]:
    if datatype not in (Datatype.BYTES, Datatype.BOOL) and (rtol or atol):
        close: npt.NDArray[np.bool_] = np.isclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True)
        return ~close
    apart: npt.NDArray[np.bool_] = np.asarray(wanted != found, dtype=np.bool_)
    if wanted.dtype.kind == "f":
        apart &= np.logical_not(np.isnan(wanted) & np.isnan(found))
    return apart


def _told(value: Any) -> str:
    if isinstance(value, bytes):
        return f"'{shown(value.decode(errors='backslashreplace'))}'"
    return f"{value:.9g}" if isinstance(value, np.floating) else shown(value)
