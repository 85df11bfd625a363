"""A large body straight from the socket into the memory that it is read from.

On the usual way its bytes are copied five times: by the transport, by the parser, into uvicorn's buffer, out of it, and
once more where the pieces are joined. The parser knows nothing of a body of announced length that it could not be
spared, so for the rest of such a body the connection changes its protocol to this one, whose buffer is the body's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

SMALLEST = 128 * 1024
"""Bytes of a body from which on changing the protocol costs less than the copies."""

RECEIVE_INTO = "receive_into"
"""Key of a scope's state: ``await receive_into(view, received)`` fills the view with the rest of the body."""


BODY_AT_ONCE = "body_at_once"
"""Key of a scope's state: ``body_at_once()`` is what is left of the body, or None if some of it is still to come."""


def body_at_once(cycle: RequestResponseCycle) -> bytes | None:
    """A body that has come with its head needs no message. What this leaves of ``cycle`` is what ``receive`` would."""
    if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected or cycle.response_complete:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()
    cycle.flow.resume_reading()
    return body


class DirectBody(asyncio.BufferedProtocol):
    """Fills ``view`` and no byte more, and then ``done``. What else happens on the connection, ``owner`` is told.

    ``received`` is called with the number of bytes whenever some have come; what it raises ends the reception.
    ``complete`` is called at the last byte, before the transport can ask for room for another.
    """

    def __init__(
        self,
        owner: asyncio.Protocol,
        view: memoryview,
        received: Callable[[int], None],
        complete: Callable[[], None],
        done: asyncio.Future[None],
    ) -> None:
        self._owner = owner
        self._rest = view
        self._received = received
        self._complete = complete
        self.done = done

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._rest

    def buffer_updated(self, nbytes: int) -> None:
        self._rest = self._rest[nbytes:]
        try:
            self._received(nbytes)
        except Exception as error:
            if not self.done.done():
                self.done.set_exception(error)
        if not self._rest.nbytes:
            self._complete()
            if not self.done.done():
                self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.connection_lost(exc)

    def eof_received(self) -> Any:
        return self._owner.eof_received()

    def pause_writing(self) -> None:
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        self._owner.resume_writing()
