"""The signature of a custom model: declared in the decorator, else read from annotations, else from model.yaml.

An annotation is an array's type with what the protocol needs to know: ``Annotated[np.ndarray, "FP32", -1, 4]``. It is
plain ``typing``, so that every type checker takes it for the array that it is. ``str`` in place of a datatype is
BYTES that the model wants as text. Several outputs are the fields of a NamedTuple or a TypedDict.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.custom import Declaration
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.signature import declared

SINGLE_OUTPUT = "output"
SPECIAL = ("parameters", "outputs", "context", "state")
"""Arguments that are no tensors; see ``python_call.py``."""

_TEXT = (str, "str")
_EXAMPLE = 'Annotated[np.ndarray, "FP32", -1, 4]'
_STREAMS = ("Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator")


class Signature(msgspec.Struct, frozen=True):
    """``text`` names the inputs that the model wants as ``str``."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    text: frozenset[str] = frozenset()


def read_signature(artifact: Artifact, function: Callable[..., Any], declaration: Declaration, where: str) -> Signature:
    """The signature of ``function``; ``where`` names it for messages.

    Raises:
        ModelLoadFailed: nothing tells it, it is told wrongly, or the function's arguments do not fit it.
    """
    reader = _Reader(artifact, where)
    hints = reader.hints(function)
    inputs = reader.declared_tensors("inputs", declaration.inputs) or reader.arguments(function, hints)
    outputs = reader.declared_tensors("outputs", declaration.outputs) or reader.returned(hints)
    signature = Signature(
        declared(
            artifact, "inputs", inputs, f"{where} has no annotations that tell its inputs, as x: {_EXAMPLE} would"
        ),
        declared(
            artifact, "outputs", outputs, f"{where} has no annotation that tells its outputs, as -> {_EXAMPLE} would"
        ),
        frozenset(reader.text),
    )
    reader.check_arguments(function, signature)
    if declaration.batches:
        reader.check_rows(signature)
    return signature


class _Reader:
    def __init__(self, artifact: Artifact, where: str) -> None:
        self._artifact = artifact
        self._where = where
        self.text: list[str] = []

    def hints(self, function: Any) -> Mapping[str, Any]:
        try:
            return get_type_hints(function, include_extras=True)
        except Exception as error:  # an annotation is any expression, evaluated here
            raise self._refused(
                f"its annotations cannot be read: {type(error).__name__}: {shown(error, 200)}"
            ) from error

    def declared_tensors(self, side: str, tensors: Mapping[str, Sequence[Any]]) -> tuple[TensorSpec, ...]:
        if not isinstance(tensors, Mapping):
            raise self._refused(
                f'{side} is {shown(repr(tensors))}, expected tensors by name, as in {{"x": ("FP32", -1, 4)}}'
            )
        read = self._input if side == "inputs" else self._spec
        return tuple(read(f"{side} of @model", name, list(words)) for name, words in tensors.items())

    def arguments(self, function: Callable[..., Any], hints: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        """What the annotated arguments tell; () where none of them does.

        Raises:
            ModelLoadFailed: some tell and some do not.
        """
        taken = [parameter for parameter in _parameters(function) if parameter.name not in SPECIAL]
        taken = [parameter for parameter in taken if parameter.kind is not parameter.VAR_KEYWORD]
        told = {parameter.name: _metadata(hints.get(parameter.name)) for parameter in taken}
        told = {name: words for name, words in told.items() if words}
        untold = [p.name for p in taken if p.name not in told and p.default is p.empty]
        if told and untold:
            raise self._refused(f"its argument '{untold[0]}' has no tensor as annotation; expected {_EXAMPLE}, say")
        return tuple(self._input("argument", name, words) for name, words in told.items())

    def returned(self, hints: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        """What the annotation of the answer tells, or that of each response of a stream."""
        hint = hints.get("return")
        if getattr(get_origin(hint), "__name__", "") in _STREAMS:
            hint = get_args(hint)[0]
        if words := _metadata(hint):
            return (self._spec("what it returns", SINGLE_OUTPUT, words),)
        if not (is_typeddict(hint) or (isinstance(hint, type) and hasattr(hint, "_fields"))):
            return ()
        fields = {name: _metadata(field) for name, field in self.hints(hint).items()}
        untold = [name for name, words in fields.items() if not words]
        if untold:
            raise self._refused(
                f"field '{untold[0]}' of what it returns has no tensor as annotation; expected {_EXAMPLE}, say"
            )
        return tuple(self._spec("field", name, words) for name, words in fields.items())

    def check_arguments(self, function: Callable[..., Any], signature: Signature) -> None:
        parameters = {parameter.name: parameter for parameter in _parameters(function)}
        kinds = {parameter.kind for parameter in parameters.values()}
        if odd := kinds & {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL}:
            raise self._refused(f"it has an argument that is {next(iter(odd)).description}; expected arguments by name")
        names = [spec.name for spec in signature.inputs]
        for name in names:
            if name in SPECIAL:
                raise self._refused(f"an input is called '{name}', which is the name of something else; rename it")
            if name not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
                raise self._refused(f"it takes no argument '{shown(name)}', and that is an input")
        for parameter in parameters.values():
            needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
            if needed and parameter.name not in (*names, *SPECIAL):
                raise self._refused(
                    f"its argument '{parameter.name}' is no input; expected {', '.join(map(repr, names))} and, where "
                    f"wanted, {', '.join(SPECIAL)}"
                )

    def check_rows(self, signature: Signature) -> None:
        for spec in (*signature.inputs, *signature.outputs):
            if spec.shape[:1] != (-1,):
                raise self._refused(
                    f"tensor '{spec.name}' has shape {list(spec.shape)}, and a model with a batch dimension has -1 "
                    f"first in every shape"
                )

    def _input(self, place: str, name: str, words: list[Any]) -> TensorSpec:
        if words and words[0] in _TEXT:
            self.text.append(name)
        return self._spec(place, name, words)

    def _spec(self, place: str, name: str, words: list[Any]) -> TensorSpec:
        datatype, *sizes = words or [None]
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            sizes = list(sizes[0])
        if datatype in _TEXT:
            datatype = Datatype.BYTES
        if datatype not in tuple(Datatype):
            raise self._refused(
                f"{place} '{shown(name)}' has the datatype {shown(repr(datatype))}, expected str or one of "
                f"{', '.join(kind.value for kind in Datatype)}"
            )
        for size in sizes:
            if type(size) is not int or size < -1:
                raise self._refused(
                    f"{place} '{shown(name)}' has the size {shown(repr(size))}, expected a whole number, or -1 for any"
                )
        return TensorSpec(str(name), Datatype(datatype), tuple(sizes))

    def _refused(self, problem: str) -> ModelLoadFailed:
        return ModelLoadFailed(f"model '{self._artifact.name}': {self._where}: {problem}")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _metadata(hint: Any) -> list[Any]:
    return list(get_args(hint)[1:]) if get_origin(hint) is Annotated else []
