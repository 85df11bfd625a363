"""A TensorFlow model, whichever file it came from: its signature, completed by trial runs, and its errors in a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.reason import plain_line
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.tensorflow_signature import Slot, input_specs, output_specs
from tidegate.runtimes.trial import FIXED_ROWS, OPEN_ROWS, trial_runs

_HEADING = "Graph execution error:"

Run = Callable[[Arrays, Sequence[str]], Sequence[Any]]
"""The wanted outputs, in their order."""


class Loaded(msgspec.Struct, frozen=True):
    """What reading a file gave."""

    platform: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    run: Run
    close: Callable[[], None]
    properties: Mapping[str, str]


class TensorflowModel:
    """Runs a loaded model; an error of its graph keeps its class and loses all but its reason."""

    def __init__(self, loaded: Loaded, metadata: ModelMetadata, error_class: type[Exception], path: Path) -> None:
        self.metadata = metadata
        self._loaded: Loaded | None = loaded
        self._names = tuple(spec.name for spec in metadata.outputs)
        self._error_class: Any = error_class
        self._path = path

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``."""
        assert self._loaded is not None, "predict after close"
        try:
            return answers(self._loaded, inputs, outputs or self._names)
        except self._error_class as error:
            # TensorFlow's own text leads through the lines of code that built the graph, on the author's machine.
            raise type(error)(None, None, plain_reason(str(error), self._path)) from error

    def close(self) -> None:
        if self._loaded is not None:
            self._loaded.close()
        self._loaded = None


def prepare(
    artifact: Artifact,
    loaded: Loaded,
    properties: Mapping[str, str],
    error_class: type[Exception],
    batches: bool | None,
) -> TensorflowModel:
    """Complete the signature with what trial runs over zeros show.

    ``batches`` overrides what is found out about the batch dimension; None leaves it to the trial. ``error_class`` is
    ``tf.errors.OpError``.

    Raises:
        ModelLoadFailed: an input cannot be given, no output can be given back, or a declaration contradicts the model.
    """
    inputs = input_specs(artifact, loaded.inputs)
    served = tuple(slot for slot in loaded.outputs if slot.datatype is not None)
    omitted = "; ".join(f"{slot.name}: {slot.kind}" for slot in loaded.outputs if slot.datatype is None)
    if not served:
        raise ModelLoadFailed(
            f"model '{artifact.name}' has no output that is a tensor: {shown(omitted or 'none', 300)}"
        )
    open_rows = bool(inputs) and all(
        [*(spec.shape[:1] == (-1,) for spec in inputs), *(slot.open_rows for slot in served)]
    )
    if batches and not open_rows:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'batch_dimension' is 'true', but not every input and output has an open "
            f"first axis"
        )
    names = [slot.name for slot in served]
    counts = OPEN_ROWS if open_rows else FIXED_ROWS
    trials = trial_runs(lambda feeds: answers(loaded, feeds, names), inputs, counts)
    if batches is None:  # an open first axis is the batch by TensorFlow's convention, unless the trial shows otherwise
        batches = open_rows and trials.keep_rows()
    ranks = {name: answer.ndim for name, answer in trials.runs[-1].answers.items()} if trials.runs else {}
    facts = {**properties, **loaded.properties, "omitted_outputs": omitted}
    metadata = ModelMetadata(
        name=artifact.name,
        platform=loaded.platform,
        inputs=inputs,
        outputs=output_specs(artifact, served, ranks),
        versions=(artifact.version,),
        properties={name: value for name, value in facts.items() if value},
        batch_dimension=batches,
    )
    return TensorflowModel(loaded, metadata, error_class, artifact.path)


def answers(loaded: Loaded, inputs: Arrays, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The wanted outputs as arrays of types that the protocol knows."""
    kinds = {slot.name: slot.datatype for slot in loaded.outputs}
    return {name: _array(answer, kinds[name]) for name, answer in zip(names, loaded.run(inputs, names), strict=True)}


def _array(answer: Any, datatype: Datatype | None) -> npt.NDArray[Any]:
    if datatype is Datatype.BYTES and not isinstance(answer, np.ndarray):
        scalar = np.empty((), dtype=object)  # numpy's own bytes would lose zeros at the end
        scalar[()] = answer
        return scalar
    return np.asarray(answer, np.float32 if datatype is Datatype.BF16 else None)


def plain_reason(text: str, path: Path) -> str:
    """The line of an error of TensorFlow that says what is wrong, without this machine's folders.

    An error of a graph has a heading, the places in the code that built it, the reason, and the node.
    """
    before, node, _ = text.partition("\n\t [[")
    if node:
        text = before.removeprefix(_HEADING).strip().rpartition("\n\n")[2]
    return shown(plain_line(text, path), 300)
