"""A complete reply in one write.

uvicorn's ``send`` takes a response as two messages, holds each header against two regular expressions and writes
twice. Here a reply that is known as a whole, and whose headers are all the gateway's own, goes to the transport in one
piece; whatever is out of the ordinary is left to ``send``.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tidegate.gateway.http.replies import Reply

REPLY_AT_ONCE = "reply_at_once"
"""Key of a scope's state: ``reply_at_once(reply)`` tells whether it has sent the reply, or leaves that to ASGI."""

BUFFERED = 64 * 1024
"""Bytes that the transport buffers before it makes a sender wait."""


def reply_at_once(cycle: RequestResponseCycle, reply: Reply) -> bool:
    """Send a reply if it is small and the connection is as usual: it takes bytes, is kept, and wants no log line.

    What it leaves of ``cycle`` is what its ``send`` would.
    """
    if (
        len(reply.body) > BUFFERED
        or not cycle.keep_alive
        or cycle.response_started
        or cycle.disconnected
        or cycle.flow.write_paused
        or cycle.access_log
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(_encoded(reply))
    cycle.message_event.set()
    cycle.on_response()
    return True


def _encoded(reply: Reply) -> bytes:
    parts = [STATUS_LINE[reply.status]]
    for name, value in reply.headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"content-length: %d\r\n\r\n" % len(reply.body), reply.body)
    return b"".join(parts)
