"""A Unix stream socket that carries frames and, beside them, file descriptors. Both ends use it.

asyncio's streams cannot pass descriptors, so the socket is read and written here, by ``loop.add_reader`` and
``add_writer``, which the standard loop and uvloop both have. ``send`` writes at once where the socket takes it, from
any thread: a worker's compute thread answers without waking its loop first, and it begins the next request only when
the answer to the last one is on its way. What the socket does not take waits in a backlog, and while that is long the
channel reads nothing: a peer that does not read cannot make this process grow.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence

from tidegate.runtimes.frames import DEFAULT_BOUNDS, Bounds, ChannelBroken, Decoder, Frame, encode

_READ_BYTES = 64 << 10
_MOST_DESCRIPTORS = 16
"""Descriptors that one read takes; a frame has one at most, and a peer has few frames on the way."""
_ANCILLARY = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_BACKLOG_BYTES = 1 << 20

OnFrame = Callable[[Frame, "list[int]"], None]
"""Takes a frame and its descriptors, which it then owns. A ChannelBroken that it raises closes the channel."""
OnClosed = Callable[[ChannelBroken], None]


class Channel:
    """One connection. ``on_closed`` is called once, in the loop, unless ``close`` was called by the owner itself."""

    def __init__(
        self,
        connected: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_frame: OnFrame,
        on_closed: OnClosed,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self._socket = connected
        self._loop = loop
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._bounds = bounds
        self._decoder = Decoder(bounds)
        self._buffer = bytearray(_READ_BYTES)
        self._received: deque[int] = deque()
        self._lock = threading.Lock()  # between threads of this process only
        self._backlog: deque[tuple[memoryview, list[int]]] = deque()
        self._backlog_size = 0
        self._reading = False
        self._writing = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._reading else "paused"
        return f"<Channel {state}, backlog {self._backlog_size} bytes>"

    @property
    def closed(self) -> bool:
        return self._closed

    def start(self) -> None:
        """Begin to read. Called in the loop, once."""
        self._socket.setblocking(False)
        self._read_on()

    def send(self, frame: Frame, descriptors: Sequence[int] = ()) -> None:
        """Send a frame, from any thread. The descriptors are duplicated where they cannot go at once.

        A closed channel swallows it: ``on_closed`` tells its owner.

        Raises:
            FrameTooLarge, OverflowError, UnicodeEncodeError: see ``frames.encode``; nothing was sent.
        """
        data = encode(frame, self._bounds)
        with self._lock:
            if self._closed:
                return
            sent = 0 if self._backlog else self._write(data, descriptors)
            if sent == len(data):
                return
            kept = [] if sent else [os.dup(number) for number in descriptors]
            self._backlog.append((memoryview(data)[sent:], kept))
            self._backlog_size += len(data) - sent
        self._loop.call_soon_threadsafe(self._want_write)

    def read_rest(self) -> None:
        """Take what has already arrived, without waiting: the peer is known to be gone."""
        while not self._closed and self._read_once():
            pass

    def finish(self, timeout: float) -> None:
        """Write the backlog, blocking for at most ``timeout`` seconds, and close: for a process about to end."""
        self._socket.settimeout(timeout)
        with self._lock:
            while self._backlog:
                data, kept = self._backlog[0]
                sent = self._write(data, kept)
                if not sent:
                    break
                self._backlog[0] = (data[sent:], [])
                if sent == len(data):
                    self._backlog.popleft()
        self.close()

    def close(self) -> None:
        """Close the socket and every descriptor that nobody has taken. Called in the loop; again, it does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            kept = [number for _, numbers in self._backlog for number in numbers]
            self._backlog.clear()
            self._backlog_size = 0
        if self._reading:
            self._loop.remove_reader(self._socket)
        if self._writing:
            self._loop.remove_writer(self._socket)
        self._reading = self._writing = False
        self._socket.close()
        for number in (*kept, *self._received):
            os.close(number)
        self._received.clear()

    def _fail(self, error: ChannelBroken) -> None:
        if not self._closed:
            self.close()
            self._on_closed(error)

    # Reading

    def _read_on(self) -> None:
        if not self._reading and not self._closed:
            self._reading = True
            self._loop.add_reader(self._socket, self._read_once)

    def _read_once(self) -> bool:
        """Read what one call gives; False where there was nothing."""
        try:
            size, ancillary, flags, _ = self._socket.recvmsg_into([self._buffer], _ANCILLARY, _CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._fail(ChannelBroken(f"the peer went away: {error.strerror}"))
            return False
        if ancillary:
            self._received.extend(_descriptors(ancillary))
        try:
            if flags & socket.MSG_CTRUNC:
                raise ChannelBroken("descriptors were lost: more came at once than a read takes, or than can be open")
            if not size:
                raise ChannelBroken("the peer went away" + (" in the middle of a frame" * bool(self._decoder.pending)))
            for frame in self._decoder.feed(memoryview(self._buffer)[:size]):
                self._on_frame(frame, self._claim(frame.descriptors))
                if self._closed:
                    return False
            if len(self._received) > _MOST_DESCRIPTORS:
                raise ChannelBroken("the peer sends descriptors that no frame claims")
        except ChannelBroken as error:
            self._fail(error)
            return False
        if self._backlog_size > _BACKLOG_BYTES and self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)
        return True

    def _claim(self, count: int) -> list[int]:
        if count == 0:
            return []
        if count > len(self._received):
            raise ChannelBroken(f"a frame claims {count} descriptors, {len(self._received)} came")
        return [self._received.popleft() for _ in range(count)]

    # Writing

    def _write(self, data: bytes | memoryview, descriptors: Sequence[int]) -> int:
        """Write what the socket takes now, the lock held; a broken connection takes everything, and reading tells."""
        try:
            if descriptors:
                return socket.send_fds(self._socket, [data], list(descriptors))
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # Whatever the reason, the stream has a hole now: end it, so that the reading side tells the owner.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            return len(data)

    def _want_write(self) -> None:
        if not self._closed and not self._writing and self._backlog:
            self._writing = True
            self._loop.add_writer(self._socket, self._write_on)

    def _write_on(self) -> None:
        with self._lock:
            while self._backlog:
                data, kept = self._backlog[0]
                sent = self._write(data, kept)
                if not sent:
                    return
                for number in kept:
                    os.close(number)
                self._backlog_size -= sent
                if sent < len(data):
                    self._backlog[0] = (data[sent:], [])
                    return
                self._backlog.popleft()
        self._writing = False
        self._loop.remove_writer(self._socket)
        self._read_on()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    received = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    if not _CLOEXEC:
        for number in received:
            os.set_inheritable(number, False)
    return list(received)
