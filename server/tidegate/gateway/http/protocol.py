"""uvicorn's HTTP/1.1 protocol with bounds on what a connection may hold and how long it may take.

The parser (llhttp) keeps a header line, a trailer or an unknown method for as long as bytes arrive, and uvicorn
starts no clock before the first request. So this class counts the bytes since the parser last delivered anything,
and runs one timer per connection, armed only while a request has arrived in part.

A refusal before a request is known is written here. Once a request is being answered it is cancelled instead, with
the refusal in its scope's state, so that whoever answers it gives the one answer, and counts it. The same way a
request learns that its caller went away, or that the server stops waiting for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tidegate.gateway.http.direct_body import BODY_AT_ONCE, RECEIVE_INTO, DirectBody, body_at_once
from tidegate.gateway.http.direct_reply import REPLY_AT_ONCE, reply_at_once
from tidegate.gateway.http.replies import Reply, raw_error
from tidegate.gateway.http.request_scope import CERTIFICATE
from tidegate.gateway.http.settings import HttpSettings
from tidegate.identity.credentials import Certificate, read_certificate
from tidegate.protocol.errors import (
    HeadersTooLarge,
    InvalidRequest,
    Overloaded,
    RequestCancelled,
    RequestTimeout,
    ShuttingDown,
    TidegateError,
    shown,
)
from tidegate.protocol.limits import Limits

REFUSAL = "refusal"
"""Key of a scope's state under which a cancelled request finds the error that it is to be answered with."""

MAX_PIPELINED = 16
"""Requests of one connection that wait for the one before them."""


class ListenerState(ServerState):
    """What the connections of one listener share."""

    def __init__(self, settings: HttpSettings, limits: Limits, on_refusal: Callable[[TidegateError], None]) -> None:
        super().__init__()
        self.settings = settings
        self.limits = limits
        self.on_refusal = on_refusal
        self.vacant = asyncio.Event()
        self.vacant.set()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, state: ListenerState) -> None:
        super().__init__(config, state, {})
        self.state = state
        self.settings = state.settings
        self.access_log = self.access_log and state.settings.access_log
        self._max_head = state.limits.max_header_bytes
        self._held = 0
        self._in_head = True
        self._receiving = False
        self._refused = False
        self._refusal: TidegateError | None = None
        self._certificate: Certificate | None = None
        self._arrival_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._running: tuple[RequestResponseCycle, asyncio.Task[None]] | None = None

    # Called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._certificate = read_certificate(transport.get_extra_info("peercert"))
        self.state.vacant.clear()
        most = self.settings.max_connections
        if len(self.connections) > most:
            self._refuse(Overloaded(f"the server has reached its limit of {most} connections", retry_after=1.0))
        else:
            self._await_arrival(self.settings.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_arrival_timer()
        self._stop_write_timer()
        self.pipeline.clear()
        if self._running is not None:
            cycle, task = self._running
            if not cycle.response_complete:
                # uvicorn marks the newest request of the connection; with pipelining that is not the one answered.
                cycle.disconnected = True
                cycle.scope["state"].setdefault(REFUSAL, RequestCancelled("the caller went away"))
                self._cancel_soon(task)
        if not self.connections:
            self.state.vacant.set()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._held += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(self._refusal or malformed(error, data, self.url if self._receiving else b""))
            return
        if self._held > self._max_head:
            self._refuse(self._too_large())
        elif (self._receiving or self._held) and self._arrival_timer is None and not self.pipeline:
            self._await_arrival(self.settings.header_timeout if self._in_head else self.settings.body_timeout)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(self.settings.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    # Called by the parser; what is raised here ends feed_data with an HttpParserCallbackError

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._receiving = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer comes after the body. uvicorn would append it to headers that the application already reads.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # The bytes held are the head and whatever came with it, so the exact count is needed only beyond the limit.
        if self._held > self._max_head and head_size(self.url, self.headers) > self._max_head:
            raise self._refused_with(self._too_large())
        if len(self.headers) > self.settings.max_headers:
            problem = f"the request has {len(self.headers)} headers, the limit is {self.settings.max_headers}"
            raise self._refused_with(HeadersTooLarge(problem))
        if self.parser.should_upgrade() and has_body(self.headers):
            # llhttp takes what follows for the new protocol, so this body is lost to us.
            raise self._refused_with(InvalidRequest("header 'Upgrade' is not supported on a request with a body"))
        if len(self.pipeline) >= MAX_PIPELINED:
            problem = f"more than {MAX_PIPELINED} requests wait on this connection"
            raise self._refused_with(Overloaded(problem, retry_after=1.0))
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise self._refused_with(InvalidRequest(f"HTTP version {version} is not supported; expected 1.1 or 1.0"))
        self._held = 0
        self._in_head = False
        self._stop_arrival_timer()
        self.scope["state"][RECEIVE_INTO] = self.receive_into
        self.scope["state"][BODY_AT_ONCE] = self.body_at_once
        self.scope["state"][REPLY_AT_ONCE] = self.reply_at_once
        if self._certificate is not None:
            self.scope["state"][CERTIFICATE] = self._certificate
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._held = 0
        self._in_head = True
        self._receiving = False
        self._stop_arrival_timer()
        super().on_message_complete()
        if not self.pipeline:
            # A large body left reading paused, and a paused connection does not tell that its client is gone.
            self.flow.resume_reading()

    # Called by uvicorn's cycle and by the listener

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._receiving and self._arrival_timer is None and not self._refused:
            self._await_arrival(self.settings.body_timeout)

    def timeout_keep_alive_handler(self) -> None:
        # close() would wait without end for a client that does not take the rest of its answer.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    async def receive_into(self, view: memoryview, received: Callable[[int], None]) -> None:
        """Fill ``view`` with the rest of the newest request's body, of which it has exactly the size.

        Raises:
            Exception: what ``received`` raised. The rest of the body is on its way then, as after a cancellation.
        """
        direct = DirectBody(self, view, received, self._body_complete, self.loop.create_future())
        self._switch(direct)
        try:
            await direct.done
        finally:
            if self.transport.get_protocol() is direct:  # it was given up
                self._switch(self)

    def body_at_once(self) -> bytes | None:
        """The body of the request being answered, if nothing of it is still to come."""
        return None if self._running is None else body_at_once(self._running[0])

    def reply_at_once(self, reply: Reply) -> bool:
        """Send the reply of the request being answered, if nothing about it is unusual; whether it did."""
        return self._running is not None and reply_at_once(self._running[0], reply)

    def cut(self) -> None:
        """Answer at once, with ShuttingDown, what is still being answered."""
        self._end_running(ShuttingDown())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running = (cycle, task)

    # Our own

    def _body_complete(self) -> None:
        self._switch(self)
        self.parser = httptools.HttpRequestParser(self)  # the other one waits for the bytes that it was not shown
        self.on_message_complete()

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is called with what arrives. A transport looks at its protocol's kind when it begins to read."""
        self.flow.pause_reading()
        self.transport.set_protocol(protocol)
        self.flow.resume_reading()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The request itself is done; whoever asked for an upgrade is answered in HTTP/1.1, as RFC 9110 allows.
                data = data[upgrade.args[0] :]
            else:
                return

    def _refuse(self, error: TidegateError) -> None:
        """End the connection with an error: of the request being read, or of the bytes that are none."""
        if self._refused:
            return
        self._refused = True
        self._stop_arrival_timer()
        running = self._running
        if running is None or running[0].response_complete:
            self._say(error)
        elif running[0].more_body:
            self._end_running(error)
        else:  # the error is in what follows the request being answered
            running[0].keep_alive = False
            self.pipeline.clear()

    def _end_running(self, error: TidegateError) -> None:
        if self._running is not None and not self._running[0].response_complete:
            cycle, task = self._running
            cycle.keep_alive = False
            self.pipeline.clear()
            cycle.scope["state"].setdefault(REFUSAL, error)
            self._cancel_soon(task)

    def _cancel_soon(self, task: asyncio.Task[None]) -> None:
        # Not at once: a task that is cancelled before its first step never runs, and would answer and count nothing.
        self.loop.call_soon(task.cancel)

    def _say(self, error: TidegateError) -> None:
        if self.transport.is_closing():
            return
        self.state.on_refusal(error)
        self.transport.write(raw_error(error))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._arrival_timer = self.loop.call_later(self.settings.linger, self.transport.abort)

    def _await_arrival(self, seconds: float) -> None:
        self._arrival_timer = self.loop.call_later(seconds, self._arrived_too_late, seconds)

    def _arrived_too_late(self, seconds: float) -> None:
        self._arrival_timer = None
        if not self._receiving and not self._held:
            self.transport.close()  # nothing was asked, so nothing is answered
        else:
            part = "headers" if self._in_head else "body"
            self._refuse(RequestTimeout(f"the request's {part} did not arrive within {seconds:g} s"))

    def _stop_arrival_timer(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"the request's headers are larger than the limit of {self._max_head} bytes")

    def _refused_with(self, error: TidegateError) -> TidegateError:
        self._refusal = error
        return error


def head_size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a request's target and header lines, with the colon, the space and the line's end of each."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request announces a body. The parser has refused whatever is ambiguous."""
    return any(
        (name == b"content-length" and value.strip(b"0") != b"") or name == b"transfer-encoding"
        for name, value in headers
    )


def malformed(error: httptools.HttpParserError, data: bytes, url: bytes) -> InvalidRequest:
    """What to say of bytes that are no HTTP/1.1 request; two mistakes of configuration are worth naming."""
    if data.startswith(b"\x16\x03"):
        return InvalidRequest("this port speaks plain HTTP, the client began a TLS handshake")
    if data.startswith(b"PRI * HTTP/2"):
        return InvalidRequest("this port speaks HTTP/1.1, the client began HTTP/2; gRPC has a port of its own")
    if isinstance(error, httptools.HttpParserCallbackError):
        return InvalidRequest(f"malformed HTTP request: target '{shown(url.decode('latin-1'))}' is not a path")
    return InvalidRequest(f"malformed HTTP request: {error}")


def application(config: Config, state: ListenerState) -> Callable[[], asyncio.Protocol]:
    """What a listening socket calls for each connection."""

    def connection() -> asyncio.Protocol:
        return BoundedHttpProtocol(config, state)

    return connection


def configured(app: Any, settings: HttpSettings) -> Config:
    """uvicorn's configuration: its protocol alone, no lifespan, no logging set-up, no rewriting of addresses."""
    config = Config(
        app,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=settings.keep_alive_timeout,
    )
    config.load()
    return config
