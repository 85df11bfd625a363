"""A PyTorch program as a model: its signature, and what trial runs add to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, ModelLoadFailed, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.runtime import Arrays, Artifact
from tidegate.runtimes.signature import declared
from tidegate.runtimes.text import decode_text
from tidegate.runtimes.torch_framework import Framework, plain_reason
from tidegate.runtimes.torch_program import SCALARS, Argument, Program
from tidegate.runtimes.torch_tensors import TORCH_TYPES, choose_names, datatype_of, named_values, to_array, to_tensor
from tidegate.runtimes.trial import FIXED_ROWS, OPEN_ROWS, Trials, trial_runs


class TorchModel:
    """Calls a program in inference mode."""

    metadata: ModelMetadata

    def __init__(self, framework: Framework, program: Program, inputs: tuple[TensorSpec, ...]) -> None:
        self._torch = framework.torch
        self._device = framework.device
        self._call: Any = program.call
        self._inputs = inputs
        self._scalars = {item.name for item in program.arguments if item.kind in SCALARS}
        self._works_in_place = False

    @classmethod
    def prepare(cls, framework: Framework, program: Program, artifact: Artifact, batches: bool | None) -> TorchModel:
        """Find the signature: what the file tells, its owner declares, and trial runs over zeros show.

        Where nothing is left to be found out there is no trial, so that a model with a state begins with a fresh one.

        Raises:
            ModelLoadFailed: the signature cannot be found, or cannot be had from this program.
        """
        inputs = declared(artifact, "inputs", program.inputs, program.untold)
        _check_inputs(artifact, inputs, program.arguments)
        model = cls(framework, program, inputs)
        told = artifact.outputs or program.outputs
        open_rows = all(spec.shape[:1] == (-1,) for spec in (*inputs, *told))
        if batches and not open_rows:
            raise ModelLoadFailed(
                f"model '{artifact.name}': option 'batch_dimension' is 'true', but not every input and output has an "
                f"open first axis"
            )
        trials = Trials()
        if not artifact.outputs or (batches is None and open_rows):
            open_inputs = bool(inputs) and all(spec.shape[:1] == (-1,) for spec in inputs)
            trials = trial_runs(model.run, inputs, OPEN_ROWS if open_inputs else FIXED_ROWS)
        if batches is None:
            batches = open_rows and program.rows_agree
            if trials.runs:
                batches = open_rows and trials.keep_rows()
        outputs = told or _shown_outputs(artifact, inputs, trials, batches)
        given = list(trials.runs[0].answers) if trials.runs else [spec.name for spec in program.outputs]
        if given and choose_names([spec.name for spec in outputs], given) is None:
            raise ModelLoadFailed(
                f"model '{artifact.name}': outputs declared are {_names(outputs)}, the model returns "
                f"{', '.join(map(repr, given))}"
            )
        model.metadata = ModelMetadata(
            name=artifact.name,
            platform=f"torch_{program.format}",
            inputs=inputs,
            outputs=outputs,
            versions=(artifact.version,),
            properties={"torch_version": str(framework.torch.__version__), "device": framework.device},
            batch_dimension=batches,
            max_batch_size=program.max_rows if batches else 0,
        )
        return model

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``; only wanted outputs leave the device."""
        names = [spec.name for spec in self.metadata.outputs]
        given = self._answer(inputs)
        chosen = choose_names(names, list(given))
        if chosen is None:
            raise ExecutionFailed(
                f"the model returned {', '.join(map(repr, given)) or 'nothing'}; its signature says "
                f"{', '.join(map(repr, names))}"
            )
        return {name: _array(name, given[chosen[name]]) for name in outputs or names}

    def run(self, inputs: Arrays) -> Arrays:
        """Every part of the answer by the model's own names.

        Raises:
            ExecutionFailed: a part is neither a tensor of numbers nor a number.
        """
        return {name: _array(name, value) for name, value in self._answer(inputs).items()}

    def _answer(self, inputs: Arrays) -> dict[str, Any]:
        assert self._call is not None, "predict after close"
        values = {spec.name: self._value(spec, inputs[spec.name]) for spec in self._inputs}
        with self._torch.inference_mode():
            answer = named_values(self._call(values))
        # A tensor counts how often it was written. The memory is the request's, which may be needed again.
        if any(getattr(value, "_version", 0) for value in values.values()):
            self._works_in_place = True
        return answer

    def _value(self, spec: TensorSpec, array: Any) -> Any:
        if spec.name in self._scalars:
            return decode_text(spec.name, array).item() if spec.datatype is Datatype.BYTES else array.item()
        if self._works_in_place:
            array = array.copy()
        return to_tensor(self._torch, array, spec.datatype, self._device)

    def close(self) -> None:
        self._call = None


def _array(name: str, value: Any) -> Any:
    if datatype_of(value) is None:
        kind = getattr(value, "dtype", type(value).__name__)
        raise ExecutionFailed(f"output '{shown(name)}' is {kind}; expected a tensor of numbers")
    return to_array(value)


def _check_inputs(artifact: Artifact, inputs: tuple[TensorSpec, ...], arguments: tuple[Argument, ...]) -> None:
    takes: Mapping[str, Argument] = {item.name: item for item in arguments}
    names = {spec.name for spec in inputs}
    required = {item.name for item in arguments if item.required}
    if arguments and not required <= names <= takes.keys():
        raise ModelLoadFailed(
            f"model '{artifact.name}': inputs declared are {_names(inputs)}, the model takes "
            f"{', '.join(repr(item.name) for item in arguments)}"
        )
    for spec in inputs:
        kind = takes[spec.name].kind if arguments else ""
        if kind in SCALARS:
            _check_scalar(artifact, spec, kind)
        elif spec.datatype not in TORCH_TYPES or kind not in ("", "Tensor", "Optional[Tensor]"):
            raise ModelLoadFailed(
                f"model '{artifact.name}': input '{shown(spec.name)}' is declared {spec.datatype.value}, the model "
                f"takes {shown(kind) or 'a tensor'}; expected a tensor of numbers, or an int, float, bool or str"
            )


def _check_scalar(artifact: Artifact, spec: TensorSpec, kind: str) -> None:
    fits = {
        "int": spec.datatype.is_integer,
        "float": spec.datatype.is_float,
        "bool": spec.datatype is Datatype.BOOL,
        "str": spec.datatype is Datatype.BYTES,
    }
    if not fits[kind] or spec.shape not in ((1,), ()):
        raise ModelLoadFailed(
            f"model '{artifact.name}': input '{shown(spec.name)}' is declared {spec.datatype.value} "
            f"{list(spec.shape)}, the model takes one {kind}; expected such a datatype and the shape [1]"
        )


def _shown_outputs(
    artifact: Artifact, inputs: tuple[TensorSpec, ...], trials: Trials, batches: bool
) -> tuple[TensorSpec, ...]:
    """The outputs as a trial run has shown them. An axis that may depend on an open one is open."""
    if not trials.runs:
        reason = plain_reason(artifact, trials.failure or ValueError("there is none"))
        return declared(
            artifact, "outputs", reason=f"a trial run over zeros, which would tell its outputs, fails: {reason}"
        )
    closed = not any(-1 in (spec.shape[1:] if batches else spec.shape) for spec in inputs)
    specs = []
    for name, array in trials.runs[-1].answers.items():
        shape = array.shape if closed else (-1,) * array.ndim
        specs.append(TensorSpec(name, Datatype.of(array.dtype), (-1, *shape[1:]) if batches else shape))
    return tuple(specs)


def _names(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"'{spec.name}'" for spec in specs)
