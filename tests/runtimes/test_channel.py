"""The channel over a real socket pair, on the standard event loop and on uvloop."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from tidegate.runtimes.channel import Channel
from tidegate.runtimes.frames import Bounds, ChannelBroken, Error, Frame, Hello, Kind, Result, encode
from tidegate.runtimes.memory import anonymous_memory

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(
    params=[pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Drive a test on a loop, and see that no descriptor is left."""

    def go(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(main, 30))

    request.param().close()  # uvloop's first loop opens what its later ones share
    before = len(os.listdir("/dev/fd"))
    yield go
    assert len(os.listdir("/dev/fd")) == before


class End:
    """One end of a channel, which keeps what it receives."""

    def __init__(self, connected: socket.socket, bounds: Bounds | None = None) -> None:
        self.frames: asyncio.Queue[tuple[Frame, list[int]]] = asyncio.Queue()
        self.broken: asyncio.Future[ChannelBroken] = asyncio.get_running_loop().create_future()
        self.channel = Channel(
            connected,
            asyncio.get_running_loop(),
            lambda frame, numbers: self.frames.put_nowait((frame, numbers)),
            self.broken.set_result,
            bounds or Bounds(),
        )
        self.channel.start()

    async def receive(self) -> Frame:
        frame, _ = await self.frames.get()
        return frame


def test_both_directions(run: Run) -> None:
    """Frames arrive in order, both ways."""

    async def main() -> None:
        left, right = (End(end) for end in socket.socketpair())
        for number in range(3):
            left.channel.send(Frame(Kind.PING, number))
        right.channel.send(Frame(Kind.HELLO, content=Hello(7)))
        assert [(await right.receive()).request for _ in range(3)] == [0, 1, 2]
        assert (await left.receive()).content == Hello(7)
        left.channel.close()
        assert str(await right.broken) == "the peer went away"
        assert repr(right.channel) == "<Channel closed, backlog 0 bytes>"

    run(main())


def test_a_descriptor_travels_with_its_frame(run: Run) -> None:
    """The receiver gets the frame and the descriptor together, not inheritable, over the same memory."""

    async def main() -> None:
        left, right = (End(end) for end in socket.socketpair())
        memory = anonymous_memory(4096)
        os.pwrite(memory, b"shared", 0)
        left.channel.send(Frame(Kind.PING, 1))
        left.channel.send(Frame(Kind.RESULT, 2, content=Result((), 0.0), descriptors=1), (memory,))
        left.channel.send(Frame(Kind.PING, 3))
        os.close(memory)
        received = [await right.frames.get() for _ in range(3)]
        assert [(frame.request, len(numbers)) for frame, numbers in received] == [(1, 0), (2, 1), (3, 0)]
        [number] = received[1][1]
        assert os.pread(number, 6, 0) == b"shared"
        assert not os.get_inheritable(number)
        os.close(number)
        left.channel.close()
        right.channel.close()

    run(main())


def test_a_slow_reader_gets_all_of_it(run: Run) -> None:
    """What the socket does not take waits in order, descriptors included, and the sender's own may be closed."""

    async def main() -> None:
        first, second = socket.socketpair()
        left = End(first)
        body = b"x" * 100_000
        for number in range(40):
            memory = anonymous_memory(4096)
            frame = Frame(Kind.RESULT, number, content=Result((), 0.0), tensors=body, descriptors=1)
            left.channel.send(frame, (memory,))
            os.close(memory)
        right = End(second)
        for number in range(40):
            frame, numbers = await right.frames.get()
            assert (frame.request, len(frame.tensors), len(numbers)) == (number, 100_000, 1)
            os.close(numbers[0])
        left.channel.close()
        right.channel.close()

    run(main())


def test_who_does_not_read_is_not_read(run: Run) -> None:
    """While more than a mebibyte waits for a peer, its own frames are left in the socket; then they are taken."""

    async def main() -> None:
        first, second = socket.socketpair()
        left = End(first)
        for number in range(20):
            left.channel.send(Frame(Kind.RESULT, number, content=Result((), 0.0), tensors=b"x" * 200_000))
        second.send(encode(Frame(Kind.PING)))
        await left.receive()
        assert repr(left.channel).startswith("<Channel paused, backlog ")
        second.send(encode(Frame(Kind.PING, 1)))
        right = End(second)
        for number in range(20):
            assert (await right.receive()).request == number
        assert (await left.receive()).request == 1
        left.channel.close()
        right.channel.close()

    run(main())


def test_any_thread_may_send(run: Run) -> None:
    """Frames of several threads arrive whole, each thread's in order."""

    async def main() -> None:
        left, right = (End(end) for end in socket.socketpair())

        def send(model: int) -> None:
            for number in range(200):
                content = Error("ExecutionFailed", "x" * 2000)
                left.channel.send(Frame(Kind.ERROR, number, model, content))

        threads = [threading.Thread(target=send, args=(model,)) for model in range(3)]
        for thread in threads:
            thread.start()
        received = [await right.receive() for _ in range(600)]
        for thread in threads:
            thread.join()
        for model in range(3):
            assert [frame.request for frame in received if frame.model == model] == list(range(200))
        left.channel.close()
        right.channel.close()

    run(main())


def _frame_then_end(end: socket.socket) -> None:
    end.send(encode(Frame(Kind.PING))[:-1])
    end.close()


def _unclaimed(end: socket.socket) -> None:
    for _ in range(17):
        socket.send_fds(end, [encode(Frame(Kind.PING))], [0])
    end.close()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        pytest.param(lambda end: end.close(), r"the peer went away$", id="closed"),
        pytest.param(_frame_then_end, r"in the middle of a frame", id="half a frame"),
        pytest.param(lambda end: end.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), r"begins with b'GE'", id="no frame"),
        pytest.param(
            lambda end: end.send(encode(Frame(Kind.PING, descriptors=1))),
            r"claims 1 descriptors, 0 came",
            id="descriptor missing",
        ),
        pytest.param(
            lambda end: socket.send_fds(end, [encode(Frame(Kind.PING))], [0] * 40),
            r"descriptors were lost: more came at once than a read takes",
            id="a flood of descriptors",
        ),
        pytest.param(_unclaimed, r"sends descriptors that no frame claims", id="descriptors of no frame"),
    ],
)
def test_broken(run: Run, act: Callable[[socket.socket], None], message: str) -> None:
    """What cannot be right ends the channel, says why, and leaves no descriptor behind."""

    async def main() -> None:
        first, second = socket.socketpair()
        left = End(first)
        act(second)
        with pytest.raises(ChannelBroken, match=message):
            raise await left.broken
        second.close()
        left.channel.send(Frame(Kind.PING))  # swallowed: the owner has been told

    run(main())


def test_an_owner_that_refuses_a_frame_ends_the_channel(run: Run) -> None:
    """A ChannelBroken of whoever takes the frames closes the channel like one of its own."""

    async def main() -> None:
        first, second = socket.socketpair()
        broken: asyncio.Future[ChannelBroken] = asyncio.get_running_loop().create_future()

        def refuse(frame: Frame, numbers: list[int]) -> None:
            raise ChannelBroken("not me")

        channel = Channel(first, asyncio.get_running_loop(), refuse, broken.set_result)
        channel.start()
        second.send(encode(Frame(Kind.PING)))
        assert str(await broken) == "not me"
        assert channel.closed
        second.close()

    run(main())


def test_finish_writes_what_is_left(run: Run) -> None:
    """A process about to end still sends its answers, as long as somebody reads them."""

    async def main() -> None:
        first, second = socket.socketpair()
        left = End(first)
        for number in range(10):
            left.channel.send(Frame(Kind.RESULT, number, content=Result((), 0.0), tensors=b"x" * 200_000))
        received: list[bytes] = []

        def read() -> None:
            while data := second.recv(1 << 16):
                received.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        left.channel.finish(30)
        reader.join()
        assert sum(map(len, received)) > 10 * 200_000
        second.close()

    run(main())
