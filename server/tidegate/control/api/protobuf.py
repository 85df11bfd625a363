"""As much of Kubernetes' protobuf as kubectl leaves no way around: the fields of a message that hold bytes. Pure.

A body is ``k8s\\0`` and a ``runtime.Unknown``, whose second field is the message itself.
"""

from __future__ import annotations

from tidegate.protocol.errors import InvalidRequest

MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RAW = 2


def unwrapped(body: bytes) -> bytes:
    """The message in an envelope.

    Raises:
        InvalidRequest: there is none.
    """
    if not body.startswith(MAGIC):
        raise InvalidRequest("the body is no protobuf of Kubernetes")
    return byte_fields(body[len(MAGIC) :]).get(_RAW, b"")


def byte_fields(message: bytes) -> dict[int, bytes]:
    """Texts, bytes and messages in a message, by the number of their field; the last of each.

    Raises:
        InvalidRequest: it is no message.
    """
    found: dict[int, bytes] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _BYTES:
            size, place = _varint(message, place)
            found[tag >> 3] = message[place : place + size]
            place += size
        elif kind == _VARINT:
            _, place = _varint(message, place)
        elif kind in (_FIXED32, _FIXED64):
            place += 4 if kind == _FIXED32 else 8
        else:
            raise InvalidRequest("the body is no protobuf")
        if place > len(message):
            raise InvalidRequest("the body is no whole protobuf")
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
    raise InvalidRequest("the body is no whole protobuf")
