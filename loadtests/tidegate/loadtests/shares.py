"""One run by several processes: each sends its share of the load, and their samples together are the run's.

The shares are dealt in advance: connection k and arrival k belong to process k modulo their number, so all arrivals
together are those of one process. All count from one instant of the monotonic clock, which processes share. A child
reads its share from stdin and writes its samples to stdout; the end of its stdin before that interrupts it, so it
never outlives its parent.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec
import uvloop

from tidegate.loadtests.connections import Connection, GrpcConnection, HttpConnection
from tidegate.loadtests.load import Load, Sample

LEAD = 0.1
"""Seconds from telling the children the start until it: they must have read it by then."""


class Share(msgspec.Struct, frozen=True):
    """What one process sends; see ``Load``."""

    host: str
    port: int
    grpc: bool
    message: bytes
    connections: int
    arrivals: list[float] | None
    duration: float | None
    requests: int | None
    timeout: float


class Sent(msgspec.Struct, frozen=True):
    """What became of a share. ``took`` in seconds from the common start."""

    samples: list[Sample]
    took: float
    interrupted: bool = False


def deal(share: Share, processes: int) -> list[Share]:
    """Split a run between at most as many processes as there are connections; none is left without its part."""
    count = min(processes, share.connections, share.requests or processes)
    return [
        msgspec.structs.replace(
            share,
            connections=len(range(number, share.connections, count)),
            requests=None if share.requests is None else len(range(number, share.requests, count)),
            arrivals=None if share.arrivals is None else share.arrivals[number::count],
        )
        for number in range(count)
    ]


def merge(parts: Sequence[Sent]) -> Sent:
    """All samples, the time of the slowest, and whether anyone was interrupted."""
    samples = [sample for part in parts for sample in part.samples]
    return Sent(samples, max(part.took for part in parts), any(part.interrupted for part in parts))


async def send(share: Share, start: float | None = None) -> Sent:
    """Send a share in this process' loop, from the instant ``start`` of ``time.perf_counter`` (None: now) on."""
    kind = GrpcConnection if share.grpc else HttpConnection
    connections: list[Connection] = [kind(share.host, share.port, share.message) for _ in range(share.connections)]
    arrivals = None if share.arrivals is None else iter(share.arrivals)
    load = Load(connections, arrivals, share.duration, share.requests, share.timeout)
    took = await load.run(start)
    return Sent(load.samples, took, load.interrupted)


def run(share: Share, processes: int) -> Sent:
    """Send a run, in this process if it is the only one. Ctrl-C ends it with the samples so far.

    Raises:
        OSError: a process cannot be started, or ended without its samples.
    """
    dealt = deal(share, processes)
    if len(dealt) < 2:
        return uvloop.run(send(dealt[0]))
    children: list[subprocess.Popen[bytes]] = []
    try:
        children += [_child() for _ in dealt]
        return _conduct(children, dealt)
    except BaseException:
        for child in children:
            child.kill()
        raise
    finally:
        for child in children:
            child.communicate()


def _child() -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the parent alone, which tells the children by the end of their stdin.
    command = [sys.executable, "-P", "-m", "tidegate.loadtests.shares"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _conduct(children: Sequence[subprocess.Popen[bytes]], dealt: Sequence[Share]) -> Sent:
    for child, share in zip(children, dealt, strict=True):
        _write(child, msgspec.msgpack.encode(share))
    for child in children:
        _read(child)  # ready
    start = msgspec.msgpack.encode(time.perf_counter() + LEAD)
    for child in children:
        _write(child, start)
    answers: list[bytes] = []
    while len(answers) < len(children):
        try:
            answers.append(_read(children[len(answers)]))
        except KeyboardInterrupt:
            _interrupt(children)
    return merge([msgspec.msgpack.decode(answer, type=Sent) for answer in answers])


def _interrupt(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.stdin is not None:
            child.stdin.close()
            child.stdin = None


def _write(child: subprocess.Popen[bytes], data: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(len(data).to_bytes(8) + data)
    child.stdin.flush()


def _read(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    size = int.from_bytes(child.stdout.read(8))
    data = child.stdout.read(size)
    if not size or len(data) < size:
        raise OSError(f"a load process ended with {child.wait()} before it had told its samples")
    return data


async def _obey() -> None:
    """The child's part: share in, ready out, start in, samples out."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    share = msgspec.msgpack.decode(await _message(reader), type=Share)
    _tell(b"ready")
    start = msgspec.msgpack.decode(await _message(reader), type=float)
    sending = asyncio.create_task(send(share, start))
    watching = asyncio.create_task(_ended(reader, sending))
    sent = await sending
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    _tell(msgspec.msgpack.encode(sent))


async def _ended(reader: asyncio.StreamReader, sending: asyncio.Task[Sent]) -> None:
    await reader.read()
    sending.cancel()


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(8)))


def _tell(data: bytes) -> None:
    sys.stdout.buffer.write(len(data).to_bytes(8) + data)
    sys.stdout.buffer.flush()


def main() -> int:
    """The exit status: 0, or 1 if the parent ended before it had told when to start."""
    try:
        uvloop.run(_obey())
    except asyncio.IncompleteReadError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
