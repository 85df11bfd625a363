"""An inference session as a model: its signature, and what a trial run adds to it.

Rows are batched only where every input and output has an open first axis *and* trial runs with one and with three
rows give one and three rows back. Where zeros cannot be run, the names of the axes decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.text import decode_text
from tidegate.runtimes.trial import FIXED_ROWS, OPEN_ROWS, Trial, trial_runs

PLATFORM = "onnx_onnxv1"

# BF16 is absent: ONNX Runtime's numpy interface can neither take nor give it.
_TENSORS = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
}
_TABLES = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
"""What ZipMap, skl2onnx's default for probabilities, gives: per row a map from class label to probability."""

_MADE_UP = re.compile(r"unk__\d+")
"""What ONNX Runtime calls an axis that has no name."""

_FATAL = 4
"""What a run may log: its errors are raised, and stand in the answer, so they need no second place on stderr."""

Array = npt.NDArray[Any]
Run = Callable[[list[str], dict[str, Array]], list[Any]]


class Hidden(msgspec.Struct, frozen=True):
    """Tensors of the graph that its signature does not show: inputs with what they are fed, and outputs."""

    inputs: Mapping[str, Array] = {}
    outputs: tuple[str, ...] = ()


NOTHING = Hidden()


class GraphModel:
    """Runs the session's graph; tables of class probabilities come out as tensors."""

    def __init__(self, run: Run | None, metadata: ModelMetadata, tables: Mapping[str, int]) -> None:
        self.metadata = metadata
        self._run = run
        self._names = tuple(spec.name for spec in metadata.outputs)
        self._text = tuple(spec.name for spec in metadata.inputs if spec.datatype is Datatype.BYTES)
        self._tables = tables

    @classmethod
    def prepare(
        cls, framework: Any, session: Any, artifact: Artifact, batches: bool | None, hidden: Hidden
    ) -> GraphModel:
        """Read the signature and run zeros through the graph.

        ``framework`` is the module onnxruntime. ``batches`` overrides what is found out about the batch dimension;
        None leaves it to the trial.

        Raises:
            ModelLoadFailed: an input cannot be given, or no output can be given back.
        """
        inputs = tuple(tensor_spec(artifact, node) for node in session.get_inputs() if node.name not in hidden.inputs)
        given = [node for node in session.get_outputs() if node.type in _TENSORS or node.type in _TABLES]
        served = [node for node in given if node.name not in hidden.outputs]
        properties = _properties(framework, session, {node.name for node in given})
        if not served:
            raise ModelLoadFailed(
                f"model '{artifact.name}' has no output that is a tensor: {properties['omitted_outputs']}"
            )
        axes = [spec.shape[:1] == (-1,) for spec in inputs] + [_open(node) for node in served]
        open_rows = bool(inputs) and all(axes) and not hidden.inputs
        if batches and not open_rows:
            raise ModelLoadFailed(
                f"model '{artifact.name}': option 'batch_dimension' is 'true', but not every input and output has an "
                f"open first axis"
            )
        quiet = framework.RunOptions()
        quiet.log_severity_level = _FATAL
        run = partial(session.run, run_options=quiet)
        names = [node.name for node in served]
        trials = trial_runs(
            lambda feeds: dict(zip(names, run(names, {**feeds, **hidden.inputs}), strict=True)),
            inputs,
            OPEN_ROWS if open_rows else FIXED_ROWS,
            text="",
        )
        if batches is None:
            batches = open_rows and (
                trials.keep_rows() if trials.runs else _names_agree([*session.get_inputs(), *served])
            )
        outputs, tables, labels = _outputs(served, trials.runs)
        metadata = ModelMetadata(
            name=artifact.name,
            platform=PLATFORM,
            inputs=inputs,
            outputs=outputs,
            versions=(artifact.version,),
            properties=properties | labels,
            batch_dimension=batches,
        )
        return cls(run, metadata, tables)

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``; only what leads to a wanted output is computed."""
        return self.compute(inputs, outputs, NOTHING)

    def compute(self, inputs: Arrays, outputs: Sequence[str], hidden: Hidden) -> dict[str, Array]:
        """The wanted outputs, and behind them the hidden ones, from the inputs and the hidden ones."""
        feeds = {**inputs, **hidden.inputs}
        for name in self._text:
            feeds[name] = decode_text(name, feeds[name])
        names = [*(outputs or self._names), *hidden.outputs]
        assert self._run is not None, "predict after close"
        answers = dict(zip(names, self._run(names, feeds), strict=True))
        for name, columns in self._tables.items():
            if name in answers:
                answers[name] = _table(answers[name], columns)
        return answers

    def close(self) -> None:
        self._run = None


def tensor_spec(artifact: Artifact, node: Any) -> TensorSpec:
    """What a graph's input is, or an output that becomes one.

    Raises:
        ModelLoadFailed: it is of a type that cannot be given.
    """
    datatype = _TENSORS.get(node.type)
    if datatype is None:
        raise ModelLoadFailed(
            f"model '{artifact.name}': input '{shown(node.name)}' is {node.type}, which cannot be given; expected "
            f"{', '.join(_TENSORS)}"
        )
    return TensorSpec(node.name, datatype, _shape(node))


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)


def _open(node: Any) -> bool:
    """Whether an output's first axis may be the batch. ONNX Runtime shows an unknown shape as a scalar's, []."""
    return not node.shape or _shape(node)[0] == -1


def _names_agree(nodes: Sequence[Any]) -> bool:
    """Without a trial run: the first axes are one and the same by name, or have no name, or lie in tables."""
    names = {node.shape[0] for node in nodes if node.shape and isinstance(node.shape[0], str)}
    return len({name for name in names if not _MADE_UP.fullmatch(name)}) <= 1 and all(
        node.shape or node.type in _TABLES for node in nodes
    )


def _outputs(
    served: list[Any], trials: Sequence[Trial]
) -> tuple[tuple[TensorSpec, ...], dict[str, int], dict[str, str]]:
    """The outputs' specifications, the tables among them with their number of columns, and the columns' labels."""
    specs: list[TensorSpec] = []
    tables: dict[str, int] = {}
    labels: dict[str, str] = {}
    for node in served:
        answer = trials[-1].answers[node.name] if trials else None
        if node.type in _TABLES:
            columns = list(answer[0]) if answer else []
            rows = len(answer) if answer and trials[-1].rows == 0 else -1
            specs.append(TensorSpec(node.name, Datatype.FP32, (rows, len(columns) or -1)))
            tables[node.name] = len(columns)
            if columns:
                labels[f"{node.name}.classes"] = msgspec.json.encode(columns).decode()
            continue
        shape = _shape(node)
        if not shape and answer is not None:
            shape = (-1,) * answer.ndim
        specs.append(TensorSpec(node.name, _TENSORS[node.type], shape))
    return tuple(specs), tables, labels


def _table(rows: list[dict[Any, float]], columns: int) -> Array:
    """Rows of label → probability as a matrix; ONNX Runtime gives each row's labels in ascending order."""
    if not rows:
        return np.zeros((0, columns), np.float32)
    return np.array([list(row.values()) for row in rows], dtype=np.float32)


def _properties(framework: Any, session: Any, served: set[str]) -> dict[str, str]:
    meta = session.get_modelmeta()
    facts = {
        "producer": meta.producer_name,
        "graph": meta.graph_name,
        "description": meta.description,
        "providers": ", ".join(session.get_providers()),
        "onnxruntime_version": str(framework.__version__),
        "omitted_outputs": "; ".join(f"{n.name}: {n.type}" for n in session.get_outputs() if n.name not in served),
    }
    return {name: value for name, value in facts.items() if value}
