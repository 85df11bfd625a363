"""The outer layer of a protobuf message, read by hand before the parser sees it.

A protobuf parser allocates an object of some hundred bytes for a submessage of two: a message within its size limit
can ask for a hundred times its memory. So the fields of a big message are counted first, and refused when there are
too many. On the way its raw tensors are cut out as views, which the parser would copy twice.

Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.limits import Limits
from tidegate.protocol.tensors import Buffer

SMALL = 64 * 1024
"""Bytes of a message that is parsed as it is: whatever is in it, it cannot ask for more than a few MiB."""

_LOOKED_INTO = 4 * 1024
"""Bytes of a submessage whose fields are counted too: there may be a thousand, and what is smaller is harmless."""

_OTHERS = 64
"""Further fields of one message: the single ones, which may legally occur again, and unknown ones."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class Bound(msgspec.Struct, frozen=True):
    """How often a field may occur. ``name`` is for the error, ``inner`` holds the bounds of its own fields."""

    name: str
    most: int
    inner: Mapping[int, Bound] = {}


def request_bounds(limits: Limits) -> dict[int, Bound]:
    """What a ModelInferRequest may hold, by field number."""
    parameters = Bound("parameters", limits.max_parameters)
    return {
        4: parameters,
        5: Bound("inputs", limits.max_tensors, {3: Bound("dimensions", limits.max_rank), 4: parameters}),
        6: Bound("outputs", limits.max_tensors, {2: parameters}),
        7: Bound("raw_input_contents", limits.max_tensors),
    }


def response_bounds(limits: Limits) -> dict[int, Bound]:
    """What a ModelInferResponse may hold, by field number."""
    parameters = Bound("parameters", limits.max_parameters)
    return {
        4: parameters,
        5: Bound("outputs", limits.max_tensors, {3: Bound("dimensions", limits.max_rank), 4: parameters}),
        6: Bound("raw_output_contents", limits.max_tensors),
    }


def split(data: Buffer, raw_field: int, bounds: Mapping[int, Bound]) -> tuple[bytes, list[Buffer]]:
    """A message without its raw tensors, for the parser, and the raw tensors as views of ``data``.

    Raises:
        InvalidRequest: a field occurs more often than its bound, or ``data`` is no protobuf message.
    """
    view = memoryview(data).cast("B")
    kept: list[Buffer] = []
    raw: list[Buffer] = []
    for number, start, body, end in _counted(view, bounds):
        if number == raw_field and view[start] & 7 == _LENGTH:
            raw.append(view[body:end])
            continue
        kept.append(view[start:end])
        bound = bounds.get(number)
        if bound is not None and bound.inner and end - body > _LOOKED_INTO:
            for _ in _counted(view[body:end], bound.inner):
                pass
    return b"".join(kept), raw


def varint(value: int) -> bytes:
    """A number in protobuf's variable-length form."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def length_delimited(number: int, size: int) -> bytes:
    """What stands before the ``size`` bytes of a field of text, bytes or a submessage."""
    return varint(number << 3 | _LENGTH) + varint(size)


def _counted(view: memoryview, bounds: Mapping[int, Bound]) -> Iterator[tuple[int, int, int, int]]:
    counts = dict.fromkeys(bounds, 0)
    others = 0
    for field in fields(view):
        bound = bounds.get(field[0])
        if bound is None:
            others += 1
            if others > _OTHERS:
                raise InvalidRequest(f"the message has more than {_OTHERS} fields that are single or unknown")
        else:
            counts[field[0]] += 1
            if counts[field[0]] > bound.most:
                raise InvalidRequest(f"the message has more than {bound.most} {bound.name}")
        yield field


def fields(view: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Each field as its number, where it starts, where its content starts, and where it ends."""
    size = len(view)
    position = 0
    while position < size:
        start = position
        tag, body = _varint_at(view, position)
        kind = tag & 7
        if kind == _LENGTH:
            length, body = _varint_at(view, body)
            position = body + length
        elif kind == _VARINT:
            position = _varint_at(view, body)[1]
        elif kind == _FIXED32:
            position = body + 4
        elif kind == _FIXED64:
            position = body + 8
        else:
            raise InvalidRequest(f"the message is not valid protobuf: wire type {kind} at byte {start}")
        if position > size:
            raise InvalidRequest(f"the message is not valid protobuf: it ends inside the field at byte {start}")
        yield tag >> 3, start, body, position


def _varint_at(view: memoryview, position: int) -> tuple[int, int]:
    """The number at ``position`` and where it ends."""
    value = 0
    for index, byte in enumerate(view[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise InvalidRequest(f"the message is not valid protobuf: no number at byte {position}")
