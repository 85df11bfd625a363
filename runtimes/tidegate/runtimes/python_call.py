"""One call of a custom model's function: a request to arguments, what it returns to outputs by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, shown
from tidegate.protocol.messages import TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.custom import Context
from tidegate.runtimes.python_signature import Signature
from tidegate.runtimes.runtime import Arrays
from tidegate.runtimes.text import decode_text

State = dict[str, Any]
"""What a sequence has between its steps: empty at its start, the model's to fill."""


class Call:
    """How the function is called; which arguments it takes is found out once. ``where`` names it for messages."""

    def __init__(self, function: Callable[..., Any], signature: Signature, context: Context, where: str) -> None:
        taken = inspect.signature(function).parameters
        self._function = function
        self._signature = signature
        self._where = where
        self._fixed = {"context": context} if "context" in taken else {}
        self._takes_parameters = "parameters" in taken
        self._takes_outputs = "outputs" in taken
        self.takes_state = "state" in taken
        self._specs = {spec.name: spec for spec in signature.outputs}

    def __call__(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters, state: State | None) -> Any:
        """Whatever the function returns: outputs, a coroutine, a generator.

        Raises:
            InvalidTensor: an input that is wanted as text is not UTF-8.
            Exception: whatever the function raises.
        """
        arguments: dict[str, Any] = {**inputs, **self._fixed}
        for name in self._signature.text:
            arguments[name] = decode_text(name, arguments[name])
        if self._takes_parameters:
            arguments["parameters"] = parameters
        if self._takes_outputs:
            arguments["outputs"] = tuple(outputs) or tuple(self._specs)
        if self.takes_state:
            arguments["state"] = state
        return self._function(**arguments)

    def answer(self, value: Any, outputs: Sequence[str]) -> Arrays:
        """The wanted outputs in what was returned: a mapping, a tuple in the signature's order, or the only one.

        Raises:
            ExecutionFailed: it is something else, or does not fit the signature.
        """
        named = self._named(value)
        wanted = outputs or self._specs
        for name in named:
            if name not in self._specs:
                raise self._unfit(f"an output '{shown(name)}', which its signature does not have")
        if missing := [name for name in wanted if name not in named]:
            raise self._unfit(f"{_listed(named)}, and not the output '{missing[0]}'")
        return {name: self._array(self._specs[name], named[name]) for name in wanted}

    def _named(self, value: Any) -> Mapping[str, Any]:
        if hasattr(value, "_asdict"):  # a NamedTuple knows better than its order
            value = value._asdict()
        if isinstance(value, Mapping):
            return value
        if isinstance(value, tuple):
            if len(value) != len(self._specs):
                raise self._unfit(f"a tuple of {len(value)}, expected one value for each of {_listed(self._specs)}")
            return dict(zip(self._specs, value, strict=True))
        if value is None or len(self._specs) != 1:
            kind = "nothing" if value is None else f"one {type(value).__name__}"
            raise self._unfit(f"{kind}, expected {_listed(self._specs)}")
        return {next(iter(self._specs)): value}

    def _array(self, spec: TensorSpec, value: Any) -> Any:
        text = spec.datatype is Datatype.BYTES
        if text and isinstance(value, np.ndarray):
            array = value
        else:
            try:
                # As objects: numpy's own strings lose zeros at their end.
                array = np.array(value, dtype=object) if text else np.asarray(value)
            except ValueError as error:
                raise self._unfit(f"for output '{spec.name}' what makes no array: {shown(error, 200)}") from error
        fits = len(array.shape) == len(spec.shape) and all(
            want in (-1, size) for size, want in zip(array.shape, spec.shape, strict=True)
        )
        if not fits:
            raise self._unfit(
                f"output '{spec.name}' with shape {list(array.shape)}, its signature says {list(spec.shape)}"
            )
        return array

    def _unfit(self, what: str) -> ExecutionFailed:
        return ExecutionFailed(f"{self._where} returned {what}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{shown(name)}'" for name in names) or "no outputs"
