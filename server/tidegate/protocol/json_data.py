"""Reading the ``data`` member of a JSON tensor: flat, or nested as the shape says, row-major.

What can be checked is checked before it is built: the shape first, then how many elements the text can hold at all,
then the type of each element while it is decoded. The elements are written into the tensor's buffer once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, shown
from tidegate.protocol.json_document import malformed, split_complaint
from tidegate.protocol.nan import NON_FINITE, JsonFloat
from tidegate.protocol.tensors import join_bytes

COUNTED_FROM = 1 << 16
"""Bytes of ``data`` from which its elements are counted before they are built; a list made of less is harmless."""

_OPENING = 4096
"""Bytes in which all opening brackets must stand: white space in front of them is not worth a long walk."""

_CODES = {
    Datatype.BOOL: "?",
    Datatype.UINT8: "B",
    Datatype.UINT16: "H",
    Datatype.UINT32: "I",
    Datatype.UINT64: "Q",
    Datatype.INT8: "b",
    Datatype.INT16: "h",
    Datatype.INT32: "i",
    Datatype.INT64: "q",
    Datatype.FP32: "f",
    Datatype.FP64: "d",
}
"""struct's codes: it packs little-endian, checks every element's range, and is as fast as numpy from a list."""

_FP32_MAX = float(np.finfo(np.float32).max)

_EXPECTED = {bool: "true or false", int: "an integer", str: "a string", JsonFloat: "a number"}


def decode_data(name: str, datatype: Datatype, shape: Sequence[int], raw: msgspec.Raw, count: int) -> bytes:
    """The elements of a JSON tensor in binary form. ``shape`` has passed ``check_shape``, which told its ``count``.

    A scalar (shape []) is an array of one element. BYTES are the UTF-8 of JSON strings.

    Raises:
        InvalidTensor: elements of another type, out of the datatype's range, too many, too few, or ragged.
    """
    if datatype.raw_only:
        raise InvalidTensor(
            name, f"{datatype.value} has no JSON form; send it as binary data (parameters.binary_data_size)"
        )
    natural = natural_shape(shape)
    depth = bracket_depth(raw, len(natural))
    if depth not in (1, len(natural)):
        raise InvalidTensor(name, _wrong_depth(depth, len(natural)))
    check_amount(name, datatype, raw, count if count or depth == 1 else prod(size or 1 for size in natural))
    nested = parse_nested(name, datatype, raw, depth)
    flat = nested if depth == 1 else flatten(name, nested, natural)
    if len(flat) != count:
        raise InvalidTensor(name, f"data has {len(flat)} elements, its shape {shown(list(shape))} has {count}")
    return pack(name, datatype, flat)


def natural_shape(shape: Sequence[int]) -> Sequence[int]:
    """The shape of the lists that nest as ``shape`` does: a scalar is one element, nothing nests below a 0."""
    if 0 in shape:
        return shape[: shape.index(0) + 1]
    return shape or (1,)


def bracket_depth(raw: msgspec.Raw, limit: int) -> int:
    """How many brackets ``raw`` opens with; counting ends above ``limit``, and in a flood of white space."""
    depth = 0
    for byte in memoryview(raw)[:_OPENING]:
        if byte == 0x5B:  # [
            depth += 1
            if depth > limit:
                break
        elif byte not in b" \t\r\n":
            break
    return depth


def check_amount(name: str, datatype: Datatype, raw: msgspec.Raw, most: int) -> None:
    """Refuse a ``data`` that must hold more than ``most`` elements (or empty lists), without building any.

    Between n numbers there are n - 1 commas, however they nest. Text may hold commas itself, but n strings have
    at least n quotes without a backslash in front, and at most 2n.

    Raises:
        InvalidTensor: it holds more.
    """
    if len(memoryview(raw)) < COUNTED_FROM:
        return
    view = np.frombuffer(raw, dtype=np.uint8)
    if datatype is Datatype.BYTES:
        quotes = view == ord('"')
        escaped = quotes[1:] & (view[:-1] == ord("\\"))
        too_many = np.count_nonzero(quotes) - np.count_nonzero(escaped) > 2 * most
    else:
        too_many = np.count_nonzero(view == ord(",")) >= max(most, 1)
    if too_many:
        raise InvalidTensor(name, f"data has more than {most} elements, the most that fit its shape or the limits")


def parse_nested(name: str, datatype: Datatype, raw: msgspec.Raw, depth: int, where: str = "data") -> list[Any]:
    """``raw`` as lists within lists, ``depth`` of them, around elements of the datatype's JSON type.

    ``where`` is what a message calls ``raw``.

    Raises:
        InvalidTensor: it nests otherwise, or holds an element of another type.
    """
    try:
        found: list[Any] = _decoder(datatype, depth).decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidTensor(name, _wrong_element(error, _EXPECTED[json_type(datatype)], where)) from error
    except msgspec.DecodeError as error:
        raise InvalidTensor(name, malformed(error, where)) from error
    except UnicodeDecodeError as error:
        raise InvalidTensor(name, f"{where} is not valid UTF-8 ({error.reason}); send it as binary data") from error
    return found


def flatten(name: str, nested: list[Any], shape: Sequence[int], where: str = "data") -> list[Any]:
    """The elements of ``nested``, as many lists deep as ``shape`` has dimensions, in row-major order.

    Raises:
        InvalidTensor: a list is longer or shorter than ``shape`` says; the first is named by its position.
    """
    level = nested
    if len(level) != shape[0]:
        raise InvalidTensor(name, _wrong_length(where, len(level), shape, 0))
    for axis in range(1, len(shape)):
        size = shape[axis]
        if set(map(len, level)) - {size}:
            index, found = next((i, len(row)) for i, row in enumerate(level) if len(row) != size)
            position = "".join(f"[{int(i)}]" for i in np.unravel_index(index, tuple(shape[:axis])))
            raise InvalidTensor(name, _wrong_length(f"{where}{position}", found, shape, axis))
        level = list(chain.from_iterable(level))
    return level


def pack(name: str, datatype: Datatype, flat: list[Any]) -> bytes:
    """Elements of the datatype's JSON type in binary form.

    Raises:
        InvalidTensor: a number is out of the datatype's range.
    """
    if datatype is Datatype.BYTES:
        return join_bytes(map(str.encode, flat))
    code = _CODES[datatype]
    try:
        return struct.pack(f"<{len(flat)}{code}", *flat)
    except (struct.error, OverflowError):
        if datatype.is_float:
            # None and the names of non-finite numbers are not packed as they are.
            flat = [x if x.__class__ is float else NON_FINITE[x] for x in flat]
        return _pack_checked(name, datatype, flat)


def json_type(datatype: Datatype) -> Any:
    """What an element of a datatype is in JSON, as a type for msgspec."""
    if datatype.is_float:
        return JsonFloat
    if datatype.is_integer:
        return int
    return bool if datatype is Datatype.BOOL else str


def _pack_checked(name: str, datatype: Datatype, flat: list[Any]) -> bytes:
    code = _CODES[datatype]
    try:
        return struct.pack(f"<{len(flat)}{code}", *flat)
    except (struct.error, OverflowError):
        packer = struct.Struct(f"<{code}")
        index = next(i for i, value in enumerate(flat) if not _fits(packer, value))
        problem = f"element {index} is {shown(flat[index])}, {datatype.value} holds {_range(datatype)}"
        raise InvalidTensor(name, problem) from None


def _range(datatype: Datatype) -> str:
    if datatype is Datatype.FP32:
        return f"-{_FP32_MAX:.7g} to {_FP32_MAX:.7g}"
    info = np.iinfo(datatype.value.lower())
    return f"{info.min} to {info.max}"


def _fits(packer: struct.Struct, value: float) -> bool:
    try:
        packer.pack(value)
    except (struct.error, OverflowError):
        return False
    return True


@lru_cache(maxsize=256)
def _decoder(datatype: Datatype, depth: int) -> msgspec.json.Decoder[Any]:
    nested = json_type(datatype)  # not the key: a Union is slow to hash
    for _ in range(depth):
        nested = GenericAlias(list, nested)
    return msgspec.json.Decoder(nested)


def _wrong_element(error: msgspec.ValidationError, expected: str, where: str) -> str:
    path, problem = split_complaint(error)
    if "out of range" in problem:
        return f"{where}{path}: the number is out of range"
    if problem.startswith("expected an array"):
        return f"{where}{path}: {problem}"
    return f"{where}{path}: expected {expected}, got {problem.partition('got ')[2]}"


def _wrong_depth(depth: int, natural: int) -> str:
    if depth == 0:
        return "data: expected an array"
    nested = f", or nested {natural} deep as its shape" if natural > 1 else ""
    found = f"more than {natural} deep" if depth > natural else f"{depth} deep"
    return f"data nests {found}, expected a flat array{nested}"


def _wrong_length(where: str, found: int, shape: Sequence[int], axis: int) -> str:
    return f"{where} has {found} elements, its shape {shown(list(shape))} has {shape[axis]} there"
