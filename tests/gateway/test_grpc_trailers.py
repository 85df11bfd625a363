"""The trailers of an error: a message that every client can read, and that leaves nothing behind on the connection."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hpack import Encoder

from tidegate.gateway.grpc.trailers import failure
from tidegate.protocol.errors import ExecutionFailed, Unsupported


@pytest.mark.parametrize(
    ("message", "sent", "read"),
    [
        pytest.param("it's 100% wrong", b"it's 100%25 wrong", "it's 100% wrong", id="percent"),
        pytest.param("a\nb", b"a%0Ab", "a\nb", id="line"),
        pytest.param("é", b"%C3%A9", "é", id="UTF-8"),
        pytest.param("\ud800", b"\\ud800", "\\ud800", id="half a pair"),
        pytest.param("x" * 2048, b"x" * 2048, "x" * 2048, id="long"),
        pytest.param("x" * 2049, b"x" * 2048 + b"%E2%80%A6", "x" * 2048 + "…", id="too long"),
        pytest.param("x" + "é" * 2048, b"x" + b"%C3%A9" * 1023 + b"%E2%80%A6", "x" + "é" * 1023 + "…", id="cut apart"),
    ],
)
def test_a_message_is_percent_encoded_and_bounded(message: str, sent: bytes, read: str) -> None:
    """Whatever the message holds, a header can carry it, and clients do not drop it for its size."""
    trailers = dict(failure(ExecutionFailed(message)))
    assert trailers == {b"grpc-status": b"13", b"grpc-message": sent}
    assert unquote(sent.decode()) == read


def test_messages_are_not_remembered() -> None:
    """The table of headers that a connection keeps has the same for all errors, and no message."""
    encoder = Encoder()
    for number in range(100):
        encoder.encode(failure(Unsupported(f"no {number}")))
    names = [name for name, _ in encoder.header_table.dynamic_entries]
    assert sorted(names) == [b"grpc-accept-encoding", b"grpc-status"]
