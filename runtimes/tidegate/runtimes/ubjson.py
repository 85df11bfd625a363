"""Reading UBJSON (draft 12, as XGBoost writes it): the structure whole, without the numbers of its typed arrays.

Every length is held against the bytes that are there before anything is made of it, so a file that is cut short or
lies is told from a whole one at the cost of a walk. XGBoost's own reader trusts lengths and can end the process.
"""

from __future__ import annotations

import struct
from typing import Any

_NUMBERS = {
    code: struct.Struct(f">{kind}")
    for code, kind in zip(b"iUIlLdD", "bBhiqfd", strict=True)  # XGBoost's readers agree that all is big-endian
}
_CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False}
_DEPTH = 64
"""Deepest nesting; a model has a dozen levels."""


class Elided:
    """Stands for a typed array: its numbers are not looked at."""


ELIDED = Elided()


def read_ubjson(data: bytes) -> Any:
    """The document as dicts, lists, texts and numbers; ``ELIDED`` in place of every array of one numeric type.

    Raises:
        ValueError: it is no UBJSON, or it does not end where it says.
    """
    reader = _Reader(data)
    value = reader.value(reader.byte(), 0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow its end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def byte(self) -> int:
        return self._take(1)[0]

    def value(self, code: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise ValueError(f"it is nested deeper than {_DEPTH} levels")
        if code == ord("S"):
            return self._text()
        if code == ord("["):
            return self._array(depth)
        if code == ord("{"):
            return self._object(depth)
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        return self._number(code)

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if not self.at <= end <= len(self._data):
            raise ValueError(f"it ends at byte {len(self._data)}, where {count} more from byte {self.at} were expected")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _number(self, code: int) -> Any:
        if code not in _NUMBERS:
            raise ValueError(f"byte {self.at - 1} is {code:#04x}, expected the mark of a value")
        number = _NUMBERS[code]
        return number.unpack(self._take(number.size))[0]

    def _length(self) -> int:
        length = self._number(self.byte())
        if not isinstance(length, int) or length < 0:
            raise ValueError(f"the length before byte {self.at} is {length}")
        return length

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _array(self, depth: int) -> Any:
        mark = self.byte()
        if mark == ord("$"):
            size = len(_NUMBERS[code].pack(0)) if (code := self.byte()) in _NUMBERS else 0
            if not size or self.byte() != ord("#"):
                raise ValueError(f"the array before byte {self.at} has no numeric type and count")
            self._take(self._length() * size)
            return ELIDED
        if mark == ord("#"):  # each element takes a byte at least, so a false count ends at the end of the data
            return [self.value(self.byte(), depth + 1) for _ in range(self._length())]
        values = []
        while mark != ord("]"):
            values.append(self.value(mark, depth + 1))
            mark = self.byte()
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while (mark := self.byte()) != ord("}"):
            length = self._number(mark)
            if not isinstance(length, int) or length < 0:
                raise ValueError(f"the length before byte {self.at} is {length}")
            name = self._take(length).decode()
            members[name] = self.value(self.byte(), depth + 1)
        return members
