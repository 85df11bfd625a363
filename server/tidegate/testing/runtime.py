"""The ``fake`` runtime: models that answer with their inputs, and misbehave on demand.

A model is a file ``NAME.fake.json``::

    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}], "behaviour": "identity"}

Each input is also an output. ``behaviour`` is "identity", or what every request does of the following list; a
parameter of such a name is what one request does, with the parameter's value, unless it is false:

    ``raise``     the text of the ValueError to raise
    ``blame``     raises an InvalidRequest of so many characters, none of which is text
    ``crash``     the process kills itself
    ``fault``     the process reads where no memory is, and is killed by SIGSEGV
    ``exit``      SystemExit
    ``hang``      waits for ever; other threads of the worker run
    ``spin``      computes for ever in C, holding the interpreter's lock: no thread of the worker runs
    ``gate``      path of a FIFO: waits until somebody opens it for writing, which waits for the model in turn
    ``slow``      sleeps for so many seconds
    ``grow``      allocates so many bytes and keeps them
    ``repeat``    repeats the outputs so often along their last axis
    ``omit``      leaves out the output of this name
    ``noise``     prints, in Python and past it
    ``child``     starts a process that waits for ever, and writes its id to the file of this path
    ``shut``      closes every descriptor above 2 that its process has, and holds the interpreter's lock

``decoupled`` in the file makes it a model that answers with its rows, one response for each; the parameter
``responses`` says how many instead, over and over the rows, and ``after`` how many come before it does what the list
says. ``tally`` in the file is the path of a file to which each stream that is over adds how many responses it made.

``stateful`` in the file makes it one that answers with the sum of the inputs of a sequence so far.

The same names in the file under ``load`` are done once, while loading, and under ``close`` while closing;
``"refuse": "text"`` under ``load`` is a ModelLoadFailed. ``once`` in the file is the path of a marker: the behaviour
is shown until the marker exists, and showing it makes the marker. ``memory_rows`` in the file is how many rows one
execution has memory for; with more it is a MemoryError.

Parameters keep requests from sharing a batch, so what one of a batch does stands in its data: ``poison`` in the file is
a number whose presence anywhere in the inputs is a ValueError. ``journal`` is the path of a file to which every
execution that begins is added, whatever becomes of it; ``read_journal`` reads it.
"""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameter, Parameters
from tidegate.runtimes.runtime import Arrays, Artifact, Format

_SEQUENCES = 1024
"""Sequences whose sums are kept; the one that was not asked for the longest time makes room."""


class FakeTensor(msgspec.Struct, frozen=True):
    name: str
    datatype: Datatype = Datatype.FP32
    shape: tuple[int, ...] = (-1, -1)


class FakeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file."""

    inputs: tuple[FakeTensor, ...] = (FakeTensor("x"),)
    behaviour: str = "identity"
    load: dict[str, Parameter] = {}
    close: dict[str, Parameter] = {}
    once: str = ""
    memory_rows: int | None = None
    poison: float | None = None
    journal: str = ""
    batch_dimension: bool = True
    decoupled: bool = False
    stateful: bool = False
    tally: str = ""


class Execution(msgspec.Struct, frozen=True):
    """An execution that has begun."""

    began: float
    """``time.monotonic()``, which all processes of a machine share."""
    pid: int
    rows: tuple[float, ...]
    """The first element of each row of the first input."""


class FakeModel:
    def __init__(self, name: str, spec: FakeSpec) -> None:
        self._spec = spec
        self._kept: list[Any] = []
        tensors = tuple(TensorSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in spec.inputs)
        self._sums: dict[Parameter, Arrays] = {}
        self.metadata = ModelMetadata(
            name,
            "tidegate_fake",
            tensors,
            tensors,
            batch_dimension=spec.batch_dimension,
            decoupled=spec.decoupled,
            stateful=spec.stateful,
        )

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        if self._spec.journal:
            _write_journal(self._spec.journal, inputs)
        self._misbehave(parameters)
        self._allocate(max((len(array) for array in inputs.values() if array.ndim), default=0))
        poison = self._spec.poison
        if poison is not None and any((array == poison).any() for array in inputs.values()):
            raise ValueError(f"{poison:g} is poison")
        repeat = int(parameters.get("repeat", 1))
        answer = dict(self._summed(inputs, parameters) if self._spec.stateful else inputs)
        if repeat > 1:
            answer = {name: np.tile(array, repeat) for name, array in answer.items()}
        answer.pop(str(parameters.get("omit", "")), None)
        return answer

    def stream(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Iterator[Arrays]:
        late = {name: wish for name, wish in parameters.items() if name in _ACTIONS}
        answer = self.predict(inputs, outputs, {name: wish for name, wish in parameters.items() if name not in late})
        rows = max((len(array) for array in answer.values() if array.ndim), default=1)
        after, made = int(parameters.get("after", 0)), 0
        try:
            for number in range(int(parameters.get("responses", rows))):
                if number == after:
                    misbehave(late, self._kept)
                made += 1
                yield {name: array[number % rows : number % rows + 1] for name, array in answer.items()}
            if made <= after:
                misbehave(late, self._kept)
        finally:
            if self._spec.tally:
                _add_line(self._spec.tally, b"%d\n" % made)

    def _misbehave(self, parameters: Parameters) -> None:
        if self._spec.behaviour != "identity" and _first_time(self._spec.once):
            misbehave({self._spec.behaviour: True}, self._kept)
        misbehave(parameters, self._kept)

    def _summed(self, inputs: Arrays, parameters: Parameters) -> Arrays:
        sequence = parameters["sequence_id"]
        before = {} if parameters.get("sequence_start") else self._sums[sequence]
        total = {name: array + before.get(name, 0) for name, array in inputs.items()}
        self._sums.pop(sequence, None)
        if not parameters.get("sequence_end"):
            self._sums[sequence] = total
        if len(self._sums) > _SEQUENCES:
            del self._sums[next(iter(self._sums))]
        return total

    def _allocate(self, rows: int) -> None:
        most = self._spec.memory_rows
        if most is not None and rows > most:
            raise MemoryError(f"no memory for {rows} rows")

    def close(self) -> None:
        misbehave(self._spec.close, self._kept)
        self._kept.clear()


class FakeRuntime:
    name = "fake"
    package = "tidegate"
    formats = (Format("tidegate's fake model", (".fake.json",), executes_code=False),)

    def preload(self) -> None:
        """There is no framework."""

    def load(self, artifact: Artifact) -> FakeModel:
        try:
            spec = msgspec.json.decode(artifact.path.read_bytes(), type=FakeSpec)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelLoadFailed(f"'{artifact.path.name}' is no fake model: {error}") from error
        if spec.behaviour not in ("identity", *_ACTIONS):
            raise ModelLoadFailed(f"'{artifact.path.name}' has the behaviour '{shown(spec.behaviour)}', which is none")
        if "refuse" in spec.load:
            raise ModelLoadFailed(str(spec.load["refuse"]))
        if spec.load and _first_time(spec.once):
            misbehave(spec.load, [])
        return FakeModel(artifact.name, spec)


RUNTIME = FakeRuntime()


def read_journal(path: Path) -> list[Execution]:
    """What a model's ``journal`` tells, in the order in which it was written."""
    return [msgspec.json.decode(line, type=Execution) for line in path.read_bytes().splitlines()]


def _write_journal(path: str, inputs: Arrays) -> None:
    first = next(iter(inputs.values()))
    rows = tuple(float(row.flat[0]) for row in first)
    _add_line(path, msgspec.json.encode(Execution(time.monotonic(), os.getpid(), rows)) + b"\n")


def _add_line(path: str, line: bytes) -> None:
    """In one write, so that those of several processes do not mix, and none is cut by a kill."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def misbehave(wishes: Mapping[str, Parameter], kept: list[Any]) -> None:
    """Do what the wishes name; ``kept`` holds what is never given back."""
    for name, wish in wishes.items():
        action = _ACTIONS.get(name)
        if action is not None and wish is not False:
            action(wish, kept)


def _raise(wish: Parameter, kept: list[Any]) -> None:
    raise ValueError(str(wish))


def _crash(wish: Parameter, kept: list[Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fault(wish: Parameter, kept: list[Any]) -> None:
    ctypes.string_at(0)


def _blame(wish: Parameter, kept: list[Any]) -> None:
    raise InvalidRequest("\udcff" * int(wish))


def _shut(wish: Parameter, kept: list[Any]) -> None:
    # Keeping the interpreter's lock, so that no other thread finds out and ends the process before it is found out.
    sys.setswitchinterval(3600.0)
    system = ctypes.PyDLL(None)
    for number in [int(name) for name in os.listdir("/dev/fd")]:
        if number > 2:
            system.close(number)
    system.pause()


def _exit(wish: Parameter, kept: list[Any]) -> None:
    raise SystemExit(int(wish))


def _hang(wish: Parameter, kept: list[Any]) -> None:
    threading.Event().wait()


def _spin(wish: Parameter, kept: list[Any]) -> None:
    collections.deque(itertools.repeat(None), maxlen=0)


def _gate(wish: Parameter, kept: list[Any]) -> None:
    with open(str(wish), "rb") as gate:
        gate.read()


def _slow(wish: Parameter, kept: list[Any]) -> None:
    time.sleep(0.1 if wish is True else float(wish))


def _grow(wish: Parameter, kept: list[Any]) -> None:
    kept.append(bytearray(1 << 20 if wish is True else int(wish)))


def _child(wish: Parameter, kept: list[Any]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    kept.append(child)
    Path(str(wish)).write_text(str(child.pid))


def _noise(wish: Parameter, kept: list[Any]) -> None:
    print("a model prints")
    os.write(1, b"a model's library prints\n")


_ACTIONS: dict[str, Callable[[Parameter, list[Any]], None]] = {
    "raise": _raise,
    "crash": _crash,
    "fault": _fault,
    "blame": _blame,
    "shut": _shut,
    "exit": _exit,
    "hang": _hang,
    "spin": _spin,
    "gate": _gate,
    "slow": _slow,
    "grow": _grow,
    "noise": _noise,
    "child": _child,
}


def _first_time(marker: str) -> bool:
    if not marker:
        return True
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
