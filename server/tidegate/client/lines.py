"""Answers that are one JSON document per line, as watches and logs are: read from bytes as they come. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.protocol.errors import InvalidResponse


class LineReader:
    """Reads one stream. ``most`` is how many bytes one line may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The lines that end in this part, without those that are empty. One without an end is none.

        Raises:
            InvalidResponse: a line is too large.
        """
        *ended, rest = part.split(b"\n")
        for line in ended:
            self._keep(line)
            whole = b"".join(self._rest).strip()
            self._rest, self._size = [], 0
            if whole:
                yield whole
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            raise InvalidResponse(f"a line has more than {self._most} bytes, the client's limit max_inflated_bytes")
        if piece:
            self._rest.append(piece)
