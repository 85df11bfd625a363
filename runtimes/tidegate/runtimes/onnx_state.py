"""A graph that carries a state from one run to the next, as a model that keeps it: the option ``state``.

Such a graph takes its state as an input and gives the next one as an output, and every client would have to carry it:
the whole memory of a network, there and back with each chunk of sound. Here it stays between the requests of a
sequence, and leaves the signature. A sequence begins with zeros, as these networks are trained to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.onnx_graph import GraphModel, Hidden, tensor_spec
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.sequences import Sequences, read_step

OPTION = "state"

State = Mapping[str, npt.NDArray[Any]]
"""What a run is fed beside the request, by the name of the input."""


def read_state(artifact: Artifact, session: Any) -> tuple[Hidden, dict[str, str]]:
    """What the option hides, with the zeros that a sequence begins with, and the input that each output goes to next.

    An axis that the graph leaves open has size 1 in the zeros.

    Raises:
        ModelLoadFailed: the option does not fit the graph.
    """
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    following: dict[str, str] = {}
    zeros: dict[str, npt.NDArray[Any]] = {}
    for name, output in _pairs(artifact, list(inputs), list(outputs)).items():
        given = tensor_spec(artifact, inputs[name])
        _check_pair(artifact, given, tensor_spec(artifact, outputs[output]))
        zeros[name] = np.zeros([1 if size == -1 else size for size in given.shape], given.datatype.stored)
        following[output] = name
    return Hidden(zeros, tuple(following)), following


def _pairs(artifact: Artifact, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Output by input, as the option says: ``INPUT:OUTPUT``, several with commas between them.

    A tensor's name may hold colons itself, so each is tried.

    Raises:
        ModelLoadFailed: one of them is not of this form, or the graph has no such tensors.
    """
    pairs: dict[str, str] = {}
    written = artifact.options.get(OPTION)
    for word in written.split(",") if written is not None else ():
        parts = word.strip().split(":")
        splits = [(":".join(parts[:at]), ":".join(parts[at:])) for at in range(1, len(parts))]
        fits = [(one, other) for one, other in splits if one in inputs and other in outputs]
        if len(fits) != 1 or fits[0][0] in pairs or fits[0][1] in pairs.values():
            raise ModelLoadFailed(
                f"model '{artifact.name}': option '{OPTION}' has '{shown(word)}', expected INPUT:OUTPUT, each once; "
                f"inputs are {', '.join(map(shown, inputs))}, outputs {', '.join(map(shown, outputs))}"
            )
        pairs.update(fits)
    return pairs


def _check_pair(artifact: Artifact, given: TensorSpec, next: TensorSpec) -> None:
    """Whether an output can be given to an input in the next run, as far as the graph tells.

    Raises:
        ModelLoadFailed: they differ in datatype or shape, or they hold text, of which there is no zero.
    """
    fits = given.datatype is next.datatype and given.datatype is not Datatype.BYTES
    if fits and next.shape:  # an unknown shape is shown as a scalar's
        fits = len(given.shape) == len(next.shape) and all(
            -1 in (one, other) or one == other for one, other in zip(given.shape, next.shape, strict=True)
        )
    if not fits:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option '{OPTION}': output '{shown(next.name)}' is {_described(next)}, and input "
            f"'{shown(given.name)}' {_described(given)}; expected numbers of one datatype and shape"
        )


def _described(spec: TensorSpec) -> str:
    return f"{spec.datatype.value}{list(spec.shape)}"


class StatefulGraphModel:
    """A graph whose state is kept by sequence; ``start`` and ``following`` are what ``read_state`` gives.

    One request is one run: rows of several would share a state.
    """

    def __init__(
        self,
        graph: GraphModel,
        start: Hidden,
        following: Mapping[str, str],
        sequences: Sequences[State],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metadata: ModelMetadata = msgspec.structs.replace(graph.metadata, stateful=True)
        self._graph = graph
        self._start = start
        self._following = following
        self._sequences = sequences
        self._clock = clock

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``; the parameters tell the sequence."""
        step = read_step(parameters)
        state = self._sequences.take(step, self._clock())
        hidden = self._start if state is None else Hidden(state, self._start.outputs)
        answers = self._graph.compute(inputs, outputs, hidden)
        state = {name: answers.pop(output) for output, name in self._following.items()}
        self._sequences.keep(step, state, self._clock())
        return answers

    def close(self) -> None:
        """See ``Model.close``."""
        self._graph.close()
