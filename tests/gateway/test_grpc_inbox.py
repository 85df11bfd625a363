"""Messages out of bytes: whatever the pieces, whatever the order, and never more held than allowed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.budget import Budget
from tidegate.gateway.grpc.inbox import Inbox
from tidegate.protocol.errors import InvalidRequest, Overloaded, PayloadTooLarge, ShuttingDown
from tidegate.testing.served_grpc import framed


class Peer:
    """An inbox, what it acknowledged, and the budget that it draws on."""

    def __init__(self, limit: int = 100, most: int = 1 << 20) -> None:
        self.acknowledged = 0
        self.budget = Budget(most)
        self.inbox = Inbox(limit, self.budget, self.acknowledge)

    def acknowledge(self, size: int) -> None:
        self.acknowledged += size


async def all_of(inbox: Inbox) -> list[tuple[bool, bytes]]:
    found = []
    while (message := await inbox.next()) is not None:
        found.append((message.compressed, bytes(message.data)))
    return found


@given(
    messages=st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=5), cuts=st.lists(st.integers(1, 9))
)
def test_pieces_become_the_messages_that_they_were(messages: list[tuple[bool, bytes]], cuts: list[int]) -> None:
    """Cut anywhere, the bytes give the same messages; in the end all is acknowledged and nothing held."""

    async def main() -> None:
        peer = Peer()
        stream = b"".join(framed(content, flag) for flag, content in messages)
        position = 0
        for cut in [*cuts, len(stream) + 1]:
            piece = stream[position : position + cut]
            peer.inbox.feed(piece, len(piece))
            position += cut
        peer.inbox.end()
        assert await all_of(peer.inbox) == messages
        peer.inbox.close()
        assert peer.acknowledged == len(stream)
        assert repr(peer.budget) == f"<Budget 0 of {1 << 20} bytes held>"

    asyncio.run(main())


def test_what_is_ahead_of_the_reader_is_not_acknowledged() -> None:
    """Flow control stops a caller that sends messages faster than they are taken."""

    async def main() -> None:
        peer = Peer()
        peer.inbox.feed(framed(b"ab")[:4], 4)
        assert peer.acknowledged == 4
        peer.inbox.feed(framed(b"ab")[4:], 3)
        peer.inbox.feed(framed(b"cd") * 3, 21)
        assert peer.acknowledged == 4
        for _ in range(3):
            await peer.inbox.next()
            assert peer.acknowledged == 4
        await peer.inbox.next()
        assert peer.acknowledged == 28

    asyncio.run(main())


@pytest.mark.parametrize(
    ("pieces", "error", "text"),
    [
        pytest.param(
            [framed(b"", length=101)], PayloadTooLarge, "the message has 101 bytes, at most 100 are allowed", id="long"
        ),
        pytest.param(
            [framed(b"", flag=3)], InvalidRequest, "a message's compressed flag is 3, expected 0 or 1", id="flag"
        ),
        pytest.param([], InvalidRequest, "the call ended without a message", id="none"),
        pytest.param([b"\x00"], InvalidRequest, "the call ended after 1 of the 5 bytes before a message", id="cut"),
        pytest.param(
            [framed(b"a"), framed(b"b")],
            InvalidRequest,
            "the call has a second message, this method takes one",
            id="two",
        ),
        pytest.param(
            [bytes(60), bytes(60)],
            Overloaded,
            "requests of 60 bytes are being received, there is no room now",
            id="room",
        ),
    ],
)
def test_what_is_wrong_is_told_once(pieces: list[bytes], error: type[Exception], text: str) -> None:
    """The error reaches the reader; what comes after it is acknowledged and dropped."""

    async def main() -> None:
        peer = Peer(most=100)
        for piece in pieces:
            peer.inbox.feed(piece, len(piece))
        peer.inbox.end()
        with pytest.raises(error) as caught:
            await peer.inbox.only()
        assert str(caught.value) == text
        peer.inbox.close()
        peer.inbox.feed(bytes(10), 10)
        assert peer.acknowledged == sum(map(len, pieces)) + 10
        assert repr(peer.budget) == "<Budget 0 of 100 bytes held>"

    asyncio.run(main())


def test_a_limit_may_be_lowered_while_a_message_arrives() -> None:
    """A message that is over the new limit is refused at once, and what it held is free when the call is over."""

    async def main() -> None:
        peer = Peer()
        peer.inbox.feed(framed(bytes(60))[:40], 40)
        peer.inbox.narrow(60)
        peer.inbox.narrow(50)
        with pytest.raises(PayloadTooLarge, match=r"^the message has 60 bytes, at most 50 are allowed$"):
            await peer.inbox.next()
        peer.inbox.close()
        assert repr(peer.budget) == f"<Budget 0 of {1 << 20} bytes held>"

    asyncio.run(main())


def test_what_a_message_was_inflated_to_is_held_with_it() -> None:
    """It counts until the next message is read, or the call is over."""

    async def main() -> None:
        peer = Peer(most=100)
        peer.inbox.feed(framed(b"ab") * 2, 14)
        await peer.inbox.next()
        peer.inbox.hold(80)
        assert repr(peer.budget) == "<Budget 94 of 100 bytes held>"
        with pytest.raises(Overloaded):
            peer.inbox.hold(7)
        await peer.inbox.next()
        assert repr(peer.budget) == "<Budget 7 of 100 bytes held>"
        peer.inbox.close()
        assert repr(peer.budget) == "<Budget 0 of 100 bytes held>"

    asyncio.run(main())


def test_a_reader_waits_for_the_end() -> None:
    """A unary call's message is not given before the caller has said that there is no second one."""

    async def main() -> None:
        peer = Peer()
        reader = asyncio.ensure_future(peer.inbox.only())
        peer.inbox.feed(framed(b"ab"), 7)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not reader.done()
        peer.inbox.end()
        assert bytes((await reader).data) == b"ab"

    asyncio.run(main())


@pytest.mark.parametrize("closed", [False, True])
def test_a_message_may_be_kept(closed: bool) -> None:
    """It is held until it is given back, also when the next is read, and not once more after the call is over."""

    async def main() -> None:
        peer = Peer()
        for content in (b"kept", b"read on"):
            peer.inbox.feed(framed(content), len(framed(content)))
        await peer.inbox.next()
        give = peer.inbox.keep()
        await peer.inbox.next()
        assert repr(peer.budget) == f"<Budget {5 + 4 + 5 + 7} of {1 << 20} bytes held>"
        if closed:
            peer.inbox.close()
            give()
            assert repr(peer.budget) == f"<Budget 0 of {1 << 20} bytes held>"
        else:
            give()
            assert repr(peer.budget) == f"<Budget {5 + 7} of {1 << 20} bytes held>"

    asyncio.run(main())


def test_an_inbox_takes_no_more_messages() -> None:
    """Whoever waits for the next is told why."""

    async def main() -> None:
        peer = Peer()
        waiting = asyncio.ensure_future(peer.inbox.next())
        await asyncio.sleep(0)
        peer.inbox.refuse(ShuttingDown())
        with pytest.raises(ShuttingDown):
            await waiting

    asyncio.run(main())
