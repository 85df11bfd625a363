"""What can be called: a TorchScript module, an exported program, or an architecture with its weights.

Each is a ``Program``: what it takes and gives as far as its file tells, and one function from values by name to
whatever the model returns.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.torch_framework import Framework, unreadable
from tidegate.runtimes.torch_tensors import datatype_of, named_values

SCALARS: Mapping[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
"""Kinds of arguments that are no tensors: one element each."""


class Argument(msgspec.Struct, frozen=True):
    """One argument of the model's ``forward``. ``kind`` is "Tensor", one of ``SCALARS``, or "" where it is not told."""

    name: str
    kind: str = ""
    required: bool = True


class Program(msgspec.Struct, frozen=True):
    """Something that can be called."""

    format: str
    call: Callable[[Mapping[str, Any]], Any]
    arguments: tuple[Argument, ...] = ()
    """What ``forward`` takes by name; empty where it takes anything, in the order of the declaration."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    untold: str = ""
    """Why the file does not tell its inputs, for the sentence that asks for them."""
    rows_agree: bool = True
    """The file says nothing against the first axis being one and the same everywhere."""
    max_rows: int = 0


def open_torchscript(framework: Framework, artifact: Artifact) -> Program:
    """A module of TorchScript, in evaluation mode. It tells its arguments' names and kinds.

    Raises:
        ModelLoadFailed: it cannot be read.
    """
    torch = framework.torch
    with warnings.catch_warnings():
        # Deprecated in 2.13 for whoever writes such files; those that were written still want to be served.
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
        try:
            with artifact.path.open("rb") as file:
                module = torch.jit.load(file, map_location=framework.device).eval()
            schema = module.forward.schema.arguments[1:]
        except Exception as error:  # RuntimeError for most, but a damaged archive surfaces as nearly anything
            raise unreadable(artifact, error) from error
    arguments = tuple(Argument(item.name, str(item.type), not item.has_default_value()) for item in schema)
    told = ", ".join(f"{argument.name}: {argument.kind}" for argument in arguments)
    return Program(
        "torchscript",
        lambda values: module(**values),
        arguments,
        untold=f"TorchScript tells its arguments ({shown(told, 200)}), and no datatypes and shapes of tensors",
    )


def open_exported(framework: Framework, artifact: Artifact) -> Program:
    """A program that ``torch.export.save`` wrote. It tells names, datatypes and shapes.

    Raises:
        ModelLoadFailed: it cannot be read, or takes what is no tensor.
    """
    torch = framework.torch
    try:
        with artifact.path.open("rb") as file:
            program = torch.export.load(file)
        if framework.device != "cpu":
            program = torch.export.passes.move_to_device_pass(program, framework.device)
        module = program.module()
    except Exception as error:  # of the archive, its JSON, its pickles or its operators
        raise unreadable(artifact, error) from error
    from torch.utils import _pytree  # the only way from flat inputs to nested ones; torch.export's own docs name it

    made = {node.name: node.meta.get("val") for node in program.graph.nodes}
    places = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    takes = [place for place in places if not _is_constant(place)]
    inputs = tuple(_spec(artifact, "input", place.name, made.get(place.name)) for place in takes)

    def call(values: Mapping[str, Any]) -> Any:
        flat = [place.value if _is_constant(place) else values[place.name] for place in places]
        positional, named = _pytree.tree_unflatten(flat, program.call_spec.in_spec)
        return module(*positional, **named)

    results = [spec.arg for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    flat = [place.value if _is_constant(place) else made.get(place.name) for place in results]
    gives = named_values(_pytree.tree_unflatten(flat, program.call_spec.out_spec))
    outputs = tuple(_spec(artifact, "output", name, value) for name, value in gives.items())
    axes = [value.shape[0] if value.ndim else 0 for value in (*(made[place.name] for place in takes), *gives.values())]
    lowest, highest = _bounds(program.range_constraints, axes)
    return Program(
        "exported",
        call,
        tuple(Argument(place.name, "Tensor") for place in takes),
        inputs,
        outputs,
        rows_agree=len({str(axis) for axis in axes}) == 1 and lowest <= 1,
        max_rows=highest,
    )


def open_module(
    framework: Framework, artifact: Artifact, module: Any, weights: Mapping[str, Any], form: str
) -> Program:
    """An architecture, filled with weights, in evaluation mode. It tells the names of its arguments.

    Raises:
        ModelLoadFailed: the weights are not those of the architecture.
    """
    try:
        module.load_state_dict(weights)
    except Exception as error:  # RuntimeError, but a module may have its own way
        reason = shown(" ".join(str(error).split()), 300)
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' does not hold the weights of {type(module).__name__}: "
            f"{reason}"
        ) from error
    module.to(framework.device).eval()
    arguments = _forward_arguments(module.forward)
    return Program(
        form,
        (lambda values: module(**values)) if arguments else (lambda values: module(*values.values())),
        arguments,
        untold="weights and an architecture do not tell datatypes and shapes of its inputs",
    )


def _forward_arguments(forward: Callable[..., Any]) -> tuple[Argument, ...]:
    parameters = inspect.signature(forward).parameters.values()
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY) for parameter in parameters):
        return ()
    return tuple(
        Argument(parameter.name, required=parameter.default is parameter.empty)
        for parameter in parameters
        if parameter.kind is not parameter.VAR_KEYWORD
    )


def _is_constant(place: Any) -> bool:
    return type(place).__name__ == "ConstantArgument"


def _spec(artifact: Artifact, side: str, name: str, value: Any) -> TensorSpec:
    datatype = datatype_of(value) if hasattr(value, "shape") else None
    if datatype is None:
        kind = getattr(value, "dtype", type(value).__name__)
        raise ModelLoadFailed(
            f"model '{artifact.name}': {side} '{shown(name)}' is {kind}; expected a tensor of numbers"
        )
    return TensorSpec(name, datatype, tuple(size if isinstance(size, int) else -1 for size in value.shape))


def _bounds(constraints: Mapping[Any, Any], axes: Sequence[Any]) -> tuple[int, int]:
    """The fewest and the most rows, 0 where there is no bound, of a first axis that is the same symbol everywhere."""
    ranges: Iterable[Any] = [found for symbol, found in constraints.items() if axes and str(symbol) == str(axes[0])]
    for found in ranges:
        unbounded = not getattr(found.upper, "is_finite", True) or found.upper > _LARGEST
        return int(found.lower), 0 if unbounded else int(found.upper)
    return 0, 0


_LARGEST = 1 << 62
"""Bounds from here on mean none."""
