"""The port between tidegate and a framework.

A runtime is found by its entry point in the group ``tidegate.runtimes``. It names the formats that it reads, and
turns an artifact into a model: a signature and a synchronous ``predict`` over numpy arrays. Importing a runtime's
module must not import its framework: that happens in ``load``, in the worker process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy.typing as npt

from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.sample import Sample

Arrays = Mapping[str, npt.NDArray[Any]]


class Format(msgspec.Struct, frozen=True):
    """A format that a runtime reads: a file, told by its suffix, or a directory, told by a file that lies in it."""

    name: str
    """As people call it: "joblib", "ONNX"."""
    suffixes: tuple[str, ...]
    """Lower-case ends of the file name, longest first where one contains another: (".fake.json",)."""
    executes_code: bool
    """Reading it can run code that its author wrote; such a file is loaded from a trusted source only."""
    marker: str = ""
    """Of a directory that is one model: the file in it that says so ("saved_model.pb"). It then has no suffixes."""
    companions: bool = False
    """Whether files beside a file of this format can belong to it, as weights that it names itself."""


class Artifact(msgspec.Struct, frozen=True):
    """A model on disk, and how it is to be loaded."""

    name: str
    """The model's name, as callers address it."""
    version: str
    path: Path
    trusted: bool = False
    """Whether a format that can execute code may be read. Only a path typed by the user is trusted by itself."""
    threads: int = 0
    """Intra-operation threads of the framework; 0 leaves it the framework's choice."""
    options: Mapping[str, str] = {}
    """Settings of the runtime itself, by the names that its page in docs/ lists."""
    inputs: tuple[TensorSpec, ...] = ()
    """What its owner declares of the inputs; none: what the artifact itself says holds."""
    outputs: tuple[TensorSpec, ...] = ()
    device: str = "auto"
    """Where it computes: see ``device.read_device``."""
    warm_up: tuple[Sample, ...] = ()
    """What is executed before the model is ready. No work of the runtime: whoever holds the model does it."""


class Model(Protocol):
    """A loaded model. ``predict`` is called from one thread at a time, never from an event loop."""

    @property
    def metadata(self) -> ModelMetadata: ...

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """Run one batch.

        ``inputs`` hold every declared input, checked against the signature, read-only; BF16 comes as float32 and
        BYTES as an object array of ``bytes``. ``outputs`` names the wanted ones, empty means all. The arrays
        returned may be views of the inputs; they are copied before the next call.

        Raises:
            Exception: whatever the framework raises; the caller reads its text as the model's error.
        """
        ...

    def close(self) -> None:
        """Give back what the model holds. Called once, after the last ``predict``."""
        ...


class StreamingModel(Model, Protocol):
    """A model whose metadata says ``decoupled``: it answers a request with any number of responses."""

    def stream(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Iterator[Arrays]:
        """The responses, one after the other, as they are made; closing the iterator ends the work.

        Arguments, and what each response may be, are as in ``predict``, which such a model need not support.

        Raises:
            Exception: whatever the framework raises, also after some responses.
        """
        ...


class Runtime(Protocol):
    """A framework's reader of artifacts."""

    @property
    def name(self) -> str: ...

    @property
    def package(self) -> str:
        """What to install where it is missing, as a pip requirement: ``tidegate[sklearn]``."""
        ...

    @property
    def formats(self) -> tuple[Format, ...]: ...

    def load(self, artifact: Artifact) -> Model:
        """Read the artifact, find its signature in it, and make it ready to predict at full speed.

        Raises:
            ModelLoadFailed: the file is corrupt, of another version, or of a kind that cannot be served.
            UntrustedModel: its format can execute code and the artifact is not trusted.
            FrameworkMissing: the framework is not installed.
        """
        ...


@runtime_checkable
class Preloadable(Protocol):
    """A runtime whose framework can be imported in one process and used in those that are forked from it."""

    def preload(self) -> None:
        """Import what ``load`` would, as it would, and no more: nothing is computed, no device touched, no thread
        started that a fork would lose, and no model's code is read.

        Raises:
            FrameworkMissing: the framework is not installed.
        """
        ...
