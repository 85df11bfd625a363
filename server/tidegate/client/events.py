"""Server-sent events, as far as servers of v2 send them: the data of each event, read from bytes as they come. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.protocol.errors import InvalidResponse

_LINE = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)
"""A line's end; whether a carriage return at the end of what came stands alone only the next byte tells."""


class EventReader:
    """Reads one stream. ``most`` is how many bytes one event may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""
        self._searched = 0
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The events that end in this part. One that has not ended when the stream does is none.

        Raises:
            InvalidResponse: an event is too large.
        """
        text = self._rest + part
        start = 0
        for end in _LINE.finditer(text, self._searched):
            line, start = text[start : end.start()], end.end()
            if line:
                self._read(line)
            elif self._data:
                yield b"\n".join(self._data)
                self._data, self._size = [], 0
        self._rest = text[start:]
        self._searched = max(len(self._rest) - 1, 0)
        self._check(len(self._rest))

    def _read(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":  # all other fields, and comments, say nothing that v2 has
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
            self._check(0)

    def _check(self, more: int) -> None:
        if self._size + more > self._most:
            raise InvalidResponse(f"an event has more than {self._most} bytes, the client's limit max_inflated_bytes")
