"""One blocking caller that asks again and again, one request at a time, with as little of its own as Python allows."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

RECEIVE = 1 << 18


class NotAnswered(Exception):
    """The answer was not 200, or none."""


class Caller:
    """An HTTP/1.1 connection on which the prepared ``message`` is sent. Use it as a context manager."""

    def __init__(self, host: str, port: int, message: bytes) -> None:
        self._message = message
        self._socket = socket.create_connection((host, port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self) -> bytes:
        """The body of the answer.

        Raises:
            NotAnswered: its status is not 200, or the server closed the connection.
            OSError: the connection broke.
        """
        self._socket.sendall(self._message)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        head = data[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            first = head.partition(b"\r")[0].decode(errors="replace")
            raise NotAnswered(f"the answer is '{first}', expected 200")
        size = int(head.partition(b"content-length:")[2].partition(b"\r")[0])
        while len(data) < end + 4 + size:
            data += self._receive()
        return data[end + 4 :]

    def _receive(self) -> bytes:
        data = self._socket.recv(RECEIVE)
        if not data:
            raise NotAnswered("the server closed the connection")
        return data

    def times(self, count: int) -> Sequence[float]:
        """Seconds of each of ``count`` requests, ascending."""
        taken = []
        for _ in range(count):
            start = time.perf_counter()
            self.ask()
            taken.append(time.perf_counter() - start)
        return sorted(taken)
