"""HTTP/2 for gRPC calls, on h2: frames to calls and answers to frames, with every peer held to its bounds.

h2 keeps the protocol's state, and ends a connection that breaks its rules. What is bounded here is what the rules
allow: streams, bytes ahead, frames that cost work and move nothing, and the time that anything may take.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

from tidegate.gateway.budget import Budget
from tidegate.gateway.grpc.flood import Flood, FrameSizes
from tidegate.gateway.grpc.http2 import introduced, largest_block
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.grpc.stream import Serve, Stream
from tidegate.gateway.grpc.trailers import Header
from tidegate.identity.credentials import Certificate, read_certificate
from tidegate.protocol.errors import InvalidRequest, RequestCancelled, TidegateError
from tidegate.protocol.limits import Limits

log = logging.getLogger(__name__)

_PREFACE = 24
"""Bytes that a client sends before its first frame."""
_SLICE = 64 * 1024
"""Bytes that h2 is given at a time, so that a flood is noticed before all of it is worked off."""


class Listening:
    """What the connections of one server share."""

    def __init__(
        self, settings: GrpcSettings, limits: Limits, serve: Serve, on_refusal: Callable[[TidegateError], None]
    ) -> None:
        self.settings = settings
        self.limits = limits
        self.serve = serve
        self.on_refusal = on_refusal
        self.budget = Budget(settings.max_receiving_bytes)
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.vacant = asyncio.Event()
        self.vacant.set()


class Connection(asyncio.Protocol):
    """One client. Each of its streams is a task, which this object owns until the task is done."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._settings = listening.settings
        self._loop = asyncio.get_running_loop()
        self._h2 = introduced(self._settings, listening.limits)
        self._flood = Flood(self._settings.max_control_frames, self._loop.time())
        self._sizes = FrameSizes(_PREFACE, self._settings.max_frame_bytes, largest_block(listening.limits))
        self._streams: dict[int, Stream] = {}
        # Of the streams those with no room to send: a client widens its window far more often than one waits for it.
        self.waiting: set[Stream] = set()
        self._transport: asyncio.Transport
        self.certificate: Certificate | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._greeted = False
        self._leaving = False
        self._used = self._loop.time()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "leaving" if self._leaving else "open"
        return f"<Connection {state}, {len(self._streams)} streams>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.certificate = read_certificate(transport.get_extra_info("peercert"))
        if len(self._listening.connections) >= self._settings.max_connections:
            self.abort()
            return
        self._listening.connections.add(self)
        self._listening.vacant.clear()
        self.flush()
        self._timer = self._loop.call_later(self._settings.handshake_timeout, self._watch)

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            part = view[start : start + _SLICE]
            if self._sizes.oversized(part):
                self._end(ErrorCodes.FRAME_SIZE_ERROR, "a frame or a block of headers is longer than allowed")
                return
            for event in self._read(part):
                self._handle(event)
                if self._closed:
                    return
            if self._closed:
                return
        self.flush()

    def _read(self, part: memoryview) -> list[Event]:
        try:
            return self._h2.receive_data(part)
        except ProtocolError as error:
            log.debug("a client broke HTTP/2: %s", error)
            self._refuse(f"broken HTTP/2: {error}")
        except Exception:  # of h2, for bytes that it should have refused; the others must not suffer for it
            log.exception("HTTP/2 could not be read")
            self._refuse("broken HTTP/2")
        return []

    def pause_writing(self) -> None:
        # Who takes no answers may ask no more: else its PINGs would fill our buffer.
        if not self._closed and self._stalled is None:
            self._transport.pause_reading()
            self._stalled = self._loop.call_later(self._settings.write_timeout, self.abort)

    def resume_writing(self) -> None:
        if self._closed:
            return
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._transport.resume_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._stalled is not None:
            self._stalled.cancel()
        # Not before: a connection that is closed but whose last words are not taken still has its socket.
        self._listening.connections.discard(self)
        if not self._listening.connections:
            self._listening.vacant.set()

    # What the server calls.

    def leave(self) -> None:
        """Take no more calls, and close after the last."""
        if self._leaving or self._closed:
            return
        self._leaving = True
        self.flush()
        # Not by h2, for which a GOAWAY is the end of everything: the calls up to this one are still to be answered.
        goaway = GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id, error_code=ErrorCodes.NO_ERROR)
        self._transport.write(goaway.serialize())
        if not self._streams:
            self._close()
        for stream in list(self._streams.values()):
            stream.leave()

    def cut(self) -> None:
        """Answer what is still being answered with ShuttingDown."""
        for stream in list(self._streams.values()):
            stream.cut()

    def abort(self) -> None:
        """Close at once, whatever is lost."""
        self._transport.abort()
        self._forget()

    # What a stream calls.

    @property
    def limits(self) -> Limits:
        return self._listening.limits

    @property
    def settings(self) -> GrpcSettings:
        return self._settings

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Let the client send ``size`` more bytes."""
        if not self._closed:
            self._h2.acknowledge_received_data(size, stream_id)

    def send_headers(self, stream_id: int, headers: Sequence[Header], *, end: bool) -> None:
        if self._closed:
            raise RequestCancelled("the connection is closed")
        self._h2.send_headers(stream_id, headers, end_stream=end)

    def send_some(self, stream_id: int, data: memoryview) -> int:
        """Send what the client's windows allow of ``data``, and say how much that was."""
        if self._closed:
            raise RequestCancelled("the connection is closed")
        sent = 0
        while sent < len(data) and self._stalled is None:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                break
            part = data[sent : sent + room]
            self._h2.send_data(stream_id, part)
            self._flood.moved()
            sent += len(part)
            if sent < len(data):
                self.flush()
        return sent

    def flush(self) -> None:
        """Give the transport what h2 has to say."""
        data = self._h2.data_to_send()
        if data and not self._closed:
            self._transport.write(data)

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End a stream whose other half is still open."""
        stream = self._h2.streams.get(stream_id)
        if not self._closed and stream is not None and not stream.closed:
            self._h2.reset_stream(stream_id, code)

    # Frames.

    def _handle(self, event: Event) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def _opened(self, event: RequestReceived) -> None:
        full = len(self._streams) >= self._settings.max_concurrent_streams
        if self._leaving or full or len(self._listening.tasks) >= self._settings.max_calls:
            self.reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
            self._cost(event)
            return
        stream = Stream(self, event.stream_id, event.headers, self._listening.budget)
        self._streams[event.stream_id] = stream
        stream.task = self._loop.create_task(self._listening.serve(stream))
        self._listening.tasks.add(stream.task)
        stream.task.add_done_callback(lambda task: self._done(stream, task))

    def _done(self, stream: Stream, task: asyncio.Task[None]) -> None:
        stream.inbox.close()
        self._listening.tasks.discard(task)
        self._streams.pop(stream.id, None)
        self._used = self._loop.time()
        if not task.cancelled() and task.exception() is not None:
            log.error("unexpected error while a call was answered", exc_info=task.exception())
            self.reset(stream.id, ErrorCodes.INTERNAL_ERROR)
        self.flush()
        if self._leaving and not self._streams:
            self._close()

    def _data(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self.acknowledge(event.stream_id, event.flow_controlled_length)
        else:
            stream.inbox.feed(event.data, event.flow_controlled_length)
        if not event.data and event.stream_ended is None:  # many clients end a call with an empty frame
            self._cost(event)

    def _ended(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.inbox.end()

    def _reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None and stream.task is not None:
            stream.gone = True
            stream.task.cancel()
        if event.remote_reset:
            self._cost(event)

    def _window(self, event: WindowUpdated) -> None:
        self._cost(event)
        self._wake()

    def _configured(self, event: RemoteSettingsChanged) -> None:
        self._greeted = True
        self._cost(event)
        self._wake()

    def _goodbye(self, event: ConnectionTerminated) -> None:
        self._close()

    def _cost(self, event: Event) -> None:
        if not self._closed and self._flood.exceeded(self._loop.time()):
            self._end(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    # Ends.

    def _wake(self) -> None:
        for stream in self.waiting:
            stream.wake()

    def _watch(self) -> None:
        """Close what never said hello, and what has been idle for long."""
        limit = self._settings.idle_timeout if self._greeted else self._settings.handshake_timeout
        left = self._used + limit - self._loop.time()
        if self._streams:
            left = limit
        if left > 0:
            self._timer = self._loop.call_later(left, self._watch)
        else:
            self.leave()

    def _end(self, code: ErrorCodes, problem: str) -> None:
        self._h2.close_connection(code)
        self._refuse(problem)

    def _refuse(self, problem: str) -> None:
        self._listening.on_refusal(InvalidRequest(problem))
        self.flush()
        self._transport.write_eof()
        self._transport.resume_reading()
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = self._loop.call_later(self._settings.linger, self.abort)
        self._forget()

    def _close(self) -> None:
        if not self._closed:
            self._transport.close()
            if self._stalled is None:  # who does not take the rest may not keep the socket for ever
                self._stalled = self._loop.call_later(self._settings.write_timeout, self.abort)
        self._forget()

    def _forget(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for stream in self._streams.values():
            stream.gone = True
            if stream.task is not None:
                stream.task.cancel()


_HANDLERS: dict[type[Event], Callable[[Connection, Any], None]] = {
    RequestReceived: Connection._opened,
    DataReceived: Connection._data,
    StreamEnded: Connection._ended,
    StreamReset: Connection._reset,
    WindowUpdated: Connection._window,
    RemoteSettingsChanged: Connection._configured,
    ConnectionTerminated: Connection._goodbye,
    PingReceived: Connection._cost,
    PriorityUpdated: Connection._cost,
}
"""Every other event (unknown frames, trailers, acknowledgements) changes nothing for us."""
