"""A real worker process, spawned and forked from a zygote, driven frame by frame over its socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.runtimes.frames import (
    Acknowledge,
    Decoder,
    Error,
    Frame,
    Hello,
    Kind,
    Load,
    Loaded,
    Partial,
    Placed,
    Predict,
    Result,
    SlotUse,
    Statistics,
    Window,
    encode,
)
from tidegate.runtimes.memory import map_memory
from tidegate.runtimes.slots import SlotPool
from tidegate.runtimes.zygote import PID, Readiness, Request
from tidegate.testing.storm import spinning

pytestmark = pytest.mark.e2e

X = np.arange(4, dtype=np.float32).reshape(1, 4)


class Gateway:
    """The other end of a worker's socket, blocking."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.decoder = Decoder()
        self.frames: list[Frame] = []
        self.descriptors: list[int] = []

    def send(self, frame: Frame, *descriptors: int) -> None:
        socket.send_fds(self.socket, [encode(frame)], descriptors)

    def receive(self) -> Frame:
        while not self.frames:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 16)
            if not data:
                raise EOFError
            self.descriptors += descriptors
            self.frames += self.decoder.feed(data)
        return self.frames.pop(0)

    def load(self, path: Path, model: int = 1, runtime: str = "fake") -> Frame:
        self.send(Frame(Kind.LOAD, 1000 + model, model, Load(runtime, "m", "1", str(path), False, 0, {})))
        return self.receive()

    def predict(self, request: int, model: int = 1, **parameters: Any) -> None:
        predict = Predict((Placed("x", Datatype.FP32, (1, 4), 0, 16),), (), parameters, 1 << 14)
        self.send(Frame(Kind.PREDICT, request, model, predict, X.tobytes()))


class Forked:
    """A forked worker, with what is used here of ``subprocess.Popen``. Its outputs are one, told as stderr."""

    def __init__(self, pid: int, output: int) -> None:
        self.pid = pid
        self._process = psutil.Process(pid)
        self._output = os.fdopen(output, "rb")
        self._written = b""
        self.send_signal = self._process.send_signal

    def wait(self, timeout: float) -> int | None:
        code: int | None = self._process.wait(timeout)
        return code

    def communicate(self, timeout: float) -> tuple[bytes, bytes]:
        if not self._output.closed:
            with self._output:
                self._written = self._output.read()
        self.wait(timeout)
        return b"", self._written


class Zygote:
    """A zygote, asked without a loop."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "tidegate.runtimes.zygote", "--runtime", "fake"]
        with theirs:
            self.process = subprocess.Popen(
                [*command, "--channel", str(theirs.fileno())], pass_fds=(theirs.fileno(),), start_new_session=True
            )
        assert msgspec.json.decode(self.channel.recv(1 << 16), type=Readiness) == Readiness()

    def fork(self, lifeline: socket.socket, theirs: socket.socket, *arguments: str) -> Forked:
        output, its = os.pipe()
        socket.send_fds(self.channel, [msgspec.json.encode(Request(arguments))], [theirs.fileno(), its])
        os.close(its)
        theirs.close()
        return Forked(int.from_bytes(lifeline.recv(PID), "big"), output)


Begin = Callable[..., "Forked | subprocess.Popen[bytes]"]


def spawn(lifeline: socket.socket, theirs: socket.socket, *arguments: str) -> subprocess.Popen[bytes]:
    with theirs:
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "tidegate.runtimes.worker"),
                *(*arguments, "--lifeline", str(theirs.fileno())),
            ],
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One for all tests: whatever its workers do, it is asked for the next, and at the end it ends by itself."""
    made = Zygote()
    descriptors = psutil.Process(made.process.pid).num_fds()
    yield made
    assert psutil.Process(made.process.pid).num_fds() == descriptors
    made.channel.close()
    assert made.process.wait(60) == 0


@pytest.fixture(
    params=[
        "spawned",
        pytest.param("forked", marks=pytest.mark.skipif(sys.platform != "linux", reason="macOS has no zygotes")),
    ]
)
def begin(request: pytest.FixtureRequest) -> Begin:
    """How a worker starts."""
    if request.param == "spawned":
        return spawn
    asked: Zygote = request.getfixturevalue("zygote")
    return asked.fork


class Started:
    """A worker process, its socket, and the lifeline that keeps it alive."""

    def __init__(self, begin: Begin, directory: Path, *arguments: str) -> None:
        self.path = directory / "worker"
        self.lifeline, theirs = socket.socketpair()
        self.lifeline.settimeout(60)
        self.process = begin(self.lifeline, theirs, "--socket", str(self.path), *arguments)
        assert self.lifeline.recv(1) == b"\n"
        self.gateways: list[Gateway] = []

    def connect(self) -> Gateway:
        gateway = Gateway(self.path)
        self.gateways.append(gateway)
        hello = gateway.receive()
        assert hello.content == Hello(self.process.pid)
        return gateway

    def end(self) -> tuple[bytes, bytes]:
        for gateway in self.gateways:
            gateway.socket.close()
        self.lifeline.close()
        return self.process.communicate(timeout=60)


@pytest.fixture
def start(tmp_path: Path, begin: Begin) -> Iterator[Callable[..., Started]]:
    """Starts workers, each in a directory of its own, and sees that they are gone."""
    started: list[Started] = []

    def go(*arguments: str) -> Started:
        directory = tmp_path / f"w{len(started)}"
        directory.mkdir(mode=0o700)
        started.append(Started(begin, directory, *arguments))
        return started[-1]

    yield go
    for worker in started:
        worker.end()
        assert not worker.path.parent.exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.fake.json"
    path.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}))
    return path


def test_load_and_predict(start: Callable[..., Started], model: Path) -> None:
    """A worker loads a model, tells its signature, and answers inline what is small."""
    gateway = start().connect()
    loaded = gateway.load(model)
    assert isinstance(loaded.content, Loaded)
    assert loaded.content.metadata.inputs[0].name == "x"
    gateway.predict(5)
    result = gateway.receive()
    assert (result.kind, result.request, result.model) == (Kind.RESULT, 5, 1)
    assert isinstance(result.content, Result)
    assert result.content.outputs == (Placed("x", Datatype.FP32, (1, 4), 0, 16),)
    assert 0.0 <= result.content.seconds < 60.0
    assert result.tensors == X.tobytes()


def test_the_socket_is_private(start: Callable[..., Started]) -> None:
    """Nobody but this user may connect."""
    worker = start()
    assert stat.S_IMODE(worker.path.stat().st_mode) == 0o600


def test_several_models_and_gateways(start: Callable[..., Started], model: Path) -> None:
    """Two gateways share a worker; a model that both load is loaded once, and an id stands for one model."""
    worker = start()
    first, second = worker.connect(), worker.connect()
    one, again = first.load(model), second.load(model)
    assert one.content == again.content
    other = model.with_name("other.fake.json")
    other.write_text(model.read_text())
    assert second.load(other, model=2).kind is Kind.LOADED
    taken = second.load(other, model=1).content
    assert isinstance(taken, Error)
    assert taken.message == "model id 1 is taken by 'm'"
    for gateway in (first, second):
        gateway.predict(9, model=2 if gateway is second else 1)
        assert gateway.receive().tensors == X.tobytes()
    first.socket.close()
    second.predict(10)
    assert second.receive().request == 10


def test_unload(start: Callable[..., Started], model: Path) -> None:
    """An unloaded model answers no more."""
    gateway = start().connect()
    gateway.load(model)
    gateway.send(Frame(Kind.UNLOAD, 7, 1))
    assert gateway.receive() == Frame(Kind.UNLOADED, 7, 1)
    gateway.predict(8)
    assert gateway.receive().content == Error("InternalError", "no model has the id 1")


def test_a_slot(start: Callable[..., Started], model: Path) -> None:
    """Inputs in shared memory are read there, outputs written behind them, and a known slot needs no descriptor."""
    gateway = start().connect()
    gateway.load(model)
    pool = SlotPool(1 << 20, 0)
    slot, _ = pool.acquire(1 << 16)
    assert slot is not None
    slot.memory[:16] = X.tobytes()
    predict = Predict((Placed("x", Datatype.FP32, (1, 4), 0, 16),), (), {}, 0, slot.use, True, 64)
    gateway.send(Frame(Kind.PREDICT, 1, 1, predict, descriptors=1), slot.descriptor)
    first = gateway.receive().content
    assert isinstance(first, Result)
    assert (first.outputs, first.slot) == ((Placed("x", Datatype.FP32, (1, 4), 64, 16),), slot.use)
    assert slot.memory[64:80] == X.tobytes()
    gateway.send(Frame(Kind.PREDICT, 2, 1, predict))
    again = gateway.receive().content
    assert isinstance(again, Result)
    assert (again.outputs, again.slot) == (first.outputs, first.slot)
    pool.release(slot)
    pool.close()


def test_outputs_that_do_not_fit(start: Callable[..., Started], model: Path) -> None:
    """Large outputs without room in a slot come in a memory of their own."""
    gateway = start().connect()
    gateway.load(model)
    gateway.predict(1, repeat=10_000)
    result = gateway.receive()
    assert isinstance(result.content, Result)
    [descriptor] = gateway.descriptors
    with map_memory(descriptor, 160_000, writable=False) as memory:
        assert (np.frombuffer(memory[:], dtype=np.float32).reshape(1, -1) == np.tile(X, 10_000)).all()
    os.close(descriptor)


def test_alive_while_computing(start: Callable[..., Started], model: Path, tmp_path: Path) -> None:
    """A worker answers pings while a model computes, and drops what is cancelled before it began."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    gateway = start().connect()
    gateway.load(model)
    gateway.predict(1, gate=str(gate))
    with gate.open("wb"):
        gateway.predict(2)
        gateway.predict(3)
        gateway.send(Frame(Kind.CANCEL, 2, 1))
        gateway.send(Frame(Kind.PING, 77))
        assert gateway.receive() == Frame(Kind.PONG, 77)
        gateway.send(Frame(Kind.STATISTICS, 78))
        statistics = gateway.receive().content
        assert isinstance(statistics, Statistics)
        assert (statistics.executed, statistics.queued) == (0, 2)
    answers = [gateway.receive() for _ in range(3)]
    assert [(frame.kind, frame.request) for frame in answers] == [
        (Kind.RESULT, 1),
        (Kind.ERROR, 2),
        (Kind.RESULT, 3),
    ]
    assert answers[1].content == Error("RequestCancelled", "cancelled before it began")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        pytest.param({"raise": "no"}, Error("ExecutionFailed", "ValueError: no"), id="raises"),
        pytest.param({"exit": 3}, Error("ExecutionFailed", "SystemExit: 3"), id="exits"),
        pytest.param(
            {"omit": "x"}, Error("ExecutionFailed", "the model returned no output 'x'; it returned none"), id="omits"
        ),
    ],
)
def test_a_model_that_fails(
    start: Callable[..., Started], model: Path, parameters: dict[str, Any], error: Error
) -> None:
    """A model's failure is one answer; the next request is executed as if nothing had been."""
    gateway = start().connect()
    gateway.load(model)
    gateway.predict(1, **parameters)
    assert gateway.receive().content == error
    gateway.predict(2)
    assert gateway.receive().kind is Kind.RESULT


@pytest.mark.parametrize(
    ("text", "runtime", "kind", "message"),
    [
        pytest.param('{"load": {"refuse": "too old"}}', "fake", "ModelLoadFailed", "too old", id="refused"),
        pytest.param('{"load": {"raise": "x"}}', "fake", "InternalError", "ValueError: x", id="unexpected"),
        pytest.param("{}", "none", "ModelLoadFailed", "there is no runtime 'none'", id="no such runtime"),
    ],
)
def test_a_load_that_fails(
    start: Callable[..., Started], tmp_path: Path, text: str, runtime: str, kind: str, message: str
) -> None:
    """A load failure is told by its kind: only a ModelLoadFailed would fail again."""
    path = tmp_path / "bad.fake.json"
    path.write_text(text)
    error = start().connect().load(path, runtime=runtime).content
    assert isinstance(error, Error)
    assert error.kind == kind
    assert error.message.startswith(message)


def test_memory_limit(start: Callable[..., Started], model: Path) -> None:
    """Over its memory limit a model gets a MemoryError, and the worker lives on."""
    gateway = start("--memory-limit", str(1 << 30)).connect()
    gateway.load(model)
    gateway.predict(1, grow=2 << 30)
    error = gateway.receive().content
    assert isinstance(error, Error)
    assert (error.kind, error.message[:11]) == ("OutOfMemory", "MemoryError")
    gateway.predict(2)
    assert gateway.receive().kind is Kind.RESULT


def test_prints_go_to_stderr(start: Callable[..., Started], model: Path) -> None:
    """What a model or its library prints never reaches stdout."""
    worker = start()
    gateway = worker.connect()
    gateway.load(model)
    gateway.predict(1, noise=True)
    assert gateway.receive().kind is Kind.RESULT
    stdout, stderr = worker.end()
    assert stdout == b""
    assert b"a model prints" in stderr
    assert b"a model's library prints" in stderr


def test_sigterm_drains(start: Callable[..., Started], model: Path, tmp_path: Path) -> None:
    """SIGTERM: what was taken is answered, what comes later is sent back, then the worker exits with 0."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = start()
    gateway = worker.connect()
    gateway.load(model)
    gateway.predict(1, gate=str(gate))
    gateway.predict(2)
    with gate.open("wb"):
        worker.process.send_signal(signal.SIGTERM)
        assert gateway.receive() == Frame(Kind.DRAIN)
        gateway.predict(3)
        refused = gateway.receive()
        assert isinstance(refused.content, Error)
        assert (refused.request, refused.content.kind) == (3, "ShuttingDown")
    assert [gateway.receive().request for _ in range(2)] == [1, 2]
    with pytest.raises(EOFError):
        gateway.receive()
    assert worker.process.wait(60) == 0
    assert not worker.path.exists()
    worker.path.parent.rmdir()


def test_sigint_is_not_for_workers(start: Callable[..., Started], model: Path) -> None:
    """Ctrl-C in a terminal reaches the whole group; the gateway decides what it means."""
    worker = start()
    gateway = worker.connect()
    worker.process.send_signal(signal.SIGINT)
    assert gateway.load(model).kind is Kind.LOADED


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(None, id="idle"),
        pytest.param({"hang": True}, id="a model waits for ever"),
        pytest.param({"spin": True}, id="a model holds the interpreter's lock"),
    ],
)
def test_the_lifeline(start: Callable[..., Started], model: Path, parameters: dict[str, Any] | None) -> None:
    """When the gateway is gone the worker is, too, whatever its model does, with what the model had started."""
    worker = start("--hang-timeout", "3")
    gateway = worker.connect()
    gateway.load(model)
    if parameters is not None:
        gateway.predict(1, **parameters)
    if parameters == {"spin": True}:
        spinning(psutil.Process(worker.process.pid))
    worker.lifeline.close()
    worker.process.wait(60)
    assert not psutil.pid_exists(worker.process.pid)
    if parameters == {"spin": True}:  # it cannot even clean up: the next gateway sweeps
        worker.path.unlink()
        worker.path.parent.rmdir()


def test_the_gateway_is_gone_before_the_worker_listens(tmp_path: Path) -> None:
    """Then the worker ends at once, and its socket and its directory with it."""
    directory = tmp_path / "w"
    directory.mkdir(mode=0o700)
    lifeline, theirs = socket.socketpair()
    lifeline.close()
    with theirs:
        command = [sys.executable, "-P", "-m", "tidegate.runtimes.worker", "--socket", str(directory / "worker")]
        worker = subprocess.Popen(
            [*command, "--lifeline", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
    _, stderr = worker.communicate(timeout=60)
    assert stderr == b""
    assert worker.returncode == -signal.SIGKILL
    assert not directory.exists()


def test_the_gateway_is_gone_while_a_load_holds_the_lock(start: Callable[..., Started], tmp_path: Path) -> None:
    """Reading a model may take its time; one that holds the interpreter's lock for ever does not live for ever."""
    path = tmp_path / "m.fake.json"
    path.write_text('{"load": {"spin": true}}')
    worker = start("--hang-timeout", "600", "--load-timeout", "3")
    gateway = worker.connect()
    gateway.send(Frame(Kind.LOAD, 1, 1, Load("fake", "m", "1", str(path), False, 0, {})))
    spinning(psutil.Process(worker.process.pid))
    worker.lifeline.close()
    assert worker.process.wait(60) == 1
    worker.path.unlink()
    worker.path.parent.rmdir()


def test_any_text_of_a_model_can_be_told(start: Callable[..., Started], model: Path) -> None:
    """What is no text is escaped, and what is too long is cut; the worker lives on."""
    gateway = start().connect()
    gateway.load(model)
    gateway.predict(1, blame=5 << 20)
    error = gateway.receive().content
    assert isinstance(error, Error)
    assert (error.kind, len(error.message)) == ("InvalidRequest", 1000)
    gateway.predict(2)
    assert gateway.receive().kind is Kind.RESULT


def test_nonsense_ends_the_connection_only(start: Callable[..., Started], model: Path) -> None:
    """A client that speaks something else is dropped; the others never notice."""
    worker = start()
    good, bad = worker.connect(), worker.connect()
    bad.socket.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with pytest.raises(EOFError):
        bad.receive()
    stranger = worker.connect()
    stranger.send(Frame(Kind.PREDICT, 1, 1, Predict((), (), {}, 0, SlotUse(1, 1, 65536), True)))
    with contextlib.suppress(ConnectionResetError), pytest.raises(EOFError):
        stranger.receive()
    assert good.load(model).kind is Kind.LOADED


@pytest.fixture
def streams(tmp_path: Path) -> Path:
    path = tmp_path / "s.fake.json"
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]
    path.write_text(json.dumps({"inputs": inputs, "decoupled": True, "tally": str(tmp_path / "tally")}))
    return path


def begin_stream(gateway: Gateway, inline: int = 1 << 14, **parameters: Any) -> None:
    """Request 5, whose model may be two responses ahead."""
    placed = (Placed("x", Datatype.FP32, (1, 4), 0, 16),)
    predict = Predict(placed, (), parameters, inline, window=Window(2, 1 << 20))
    gateway.send(Frame(Kind.PREDICT, 5, 1, predict, X.tobytes()))


def test_a_stream_waits_for_its_reader(start: Callable[..., Started], streams: Path) -> None:
    """It is as far ahead as its window allows, and goes on with each response that is acknowledged."""
    gateway = start().connect()
    gateway.load(streams)
    begin_stream(gateway, responses=5)
    for number in range(5):
        if number > 1:
            gateway.send(Frame(Kind.PING, 9))
            assert gateway.receive().kind is Kind.PONG
            gateway.send(Frame(Kind.ACKNOWLEDGE, 5, 1, Acknowledge(number - 2)))
        frame = gateway.receive()
        assert isinstance(frame.content, Partial)
        assert (frame.kind, frame.content.number, frame.tensors) == (Kind.PARTIAL, number, X.tobytes())
    result = gateway.receive()
    assert isinstance(result.content, Result)
    assert (result.kind, result.content.outputs) == (Kind.RESULT, ())


@pytest.mark.parametrize("gone", [False, True])
def test_a_stream_is_cancelled(start: Callable[..., Started], streams: Path, gone: bool) -> None:
    """By its gateway, or with it: the model is ended, and the next request executed."""
    worker = start()
    gateway, other = worker.connect(), worker.connect()
    gateway.load(streams)
    begin_stream(gateway, responses=1 << 40)
    for _ in range(2):
        assert gateway.receive().kind is Kind.PARTIAL
    if gone:
        gateway.socket.close()
    else:
        gateway.send(Frame(Kind.CANCEL, 5, 1))
        error = gateway.receive().content
        assert isinstance(error, Error)
        assert error.kind == "RequestCancelled"
    begin_stream(other, responses=1)
    assert [other.receive().kind, other.receive().kind] == [Kind.PARTIAL, Kind.RESULT]
    assert streams.with_name("tally").read_text() == "3\n1\n"


def test_a_large_response_comes_in_a_memory_of_its_own(start: Callable[..., Started], streams: Path) -> None:
    """As an answer does that is too large for a frame."""
    gateway = start().connect()
    gateway.load(streams)
    begin_stream(gateway, inline=8)
    frame = gateway.receive()
    assert (frame.kind, frame.descriptors, frame.tensors) == (Kind.PARTIAL, 1, b"")
    [descriptor] = gateway.descriptors
    with map_memory(descriptor, 16, writable=False) as memory:
        assert memory[:16] == X.tobytes()
    os.close(descriptor)


def test_an_error_ends_a_stream(start: Callable[..., Started], streams: Path) -> None:
    """After the responses before it."""
    gateway = start().connect()
    gateway.load(streams)
    begin_stream(gateway, 1 << 14, after=1, **{"raise": "no"})
    assert gateway.receive().kind is Kind.PARTIAL
    error = gateway.receive().content
    assert isinstance(error, Error)
    assert (error.kind, error.message) == ("ExecutionFailed", "ValueError: no")
