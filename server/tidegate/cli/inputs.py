"""What a person types as an input, as a tensor of the model's datatype and shape.

``x=1,2,3,4`` · ``x=[[1,2,3,4]]`` · ``x=@rows.npy`` · ``x=@values.json`` · ``picture=@photo.jpg`` (a BYTES input takes
any file, whole). Nothing is cut or wrapped to make it fit: 1.5 for an INT64 input is an error, 300 for a UINT8 too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.cli.failure import Exit, Failure
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters, Tensor

FORMS = "inputs are given as NAME=1,2,3 or NAME=[[1,2],[3,4]] or NAME=@FILE (.npy, .json; for BYTES any file)"
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def typed_inputs(given: Sequence[str], metadata: ModelMetadata) -> tuple[Tensor, ...]:
    """Every ``NAME=VALUE`` as a tensor. One without a name is meant for the model's only input.

    Raises:
        Failure: an unknown name, an unreadable file, a value that is not of the input's datatype.
    """
    return tuple(_typed(item, metadata) for item in given)


def typed_parameters(given: Sequence[str]) -> Parameters:
    """Every ``KEY=VALUE`` as a parameter: true, false and numbers as such, anything else as text.

    Raises:
        Failure: there is no ``=``.
    """
    found: dict[str, str | int | float | bool] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise Failure(f"'{item}' is no parameter", "parameters are given as KEY=VALUE", Exit.USAGE)
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[key] = value if isinstance(value, (str, int, float, bool)) else text
    return found


def spec_of(name: str, metadata: ModelMetadata) -> TensorSpec:
    """The input of that name.

    Raises:
        Failure: the model has none.
    """
    for spec in metadata.inputs:
        if spec.name == name:
            return spec
    known = ", ".join(f"{spec.name} ({spec.datatype} {list(spec.shape)})" for spec in metadata.inputs)
    raise Failure(f"model '{metadata.name}' has no input '{name}'", f"it has {known}", Exit.USAGE)


def convert(values: Any, spec: TensorSpec) -> npt.NDArray[Any]:
    """Values (nested lists, or an array) as an array of the input's datatype; BF16 stays float32 until it is sent.

    Raises:
        Failure: they are ragged, or one of them is not exactly a value of the datatype.
    """
    kind = spec.datatype
    if kind is Datatype.BYTES:
        return _texts(values, spec)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise Failure(f"input '{spec.name}': its rows differ in length") from error
    wanted = np.dtype(np.float32) if kind is Datatype.BF16 else kind.stored
    if kind.is_integer and array.dtype.kind == "f" and not isinstance(values, np.ndarray):
        array = _whole(values, array)
    fits = array.size == 0 or array.dtype.kind in ("iuf" if kind.is_float else "iuO" if kind.is_integer else "b")
    if not fits:
        raise Failure(f"input '{spec.name}': {_sample(array)} is no {kind}")
    if kind.is_integer and array.size:
        _check_range(array, spec)
    try:
        with np.errstate(over="raise"):
            return array.astype(wanted)
    except FloatingPointError as error:
        raise Failure(f"input '{spec.name}': a value is too large for {kind}") from error


def shape_of_flat(count: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that ``count`` values without brackets are meant to have; (count,) where none fits.

    Of several free sizes the last takes what there is and the others are 1: one row, not many columns of one.
    """
    known = prod(size for size in shape if size != -1)
    free = [axis for axis, size in enumerate(shape) if size == -1]
    if not known or count % known or (not free and count != known):
        return (count,)
    sizes = [1 if size == -1 else size for size in shape]
    if free:
        sizes[free[-1]] = count // known
    return tuple(sizes)


def _typed(item: str, metadata: ModelMetadata) -> Tensor:
    name, equals, text = item.partition("=")
    if not equals:
        if len(metadata.inputs) != 1:
            names = ", ".join(spec.name for spec in metadata.inputs)
            raise Failure(f"'{item}' names no input; model '{metadata.name}' has {names}", FORMS, Exit.USAGE)
        name, text = metadata.inputs[0].name, item
    spec = spec_of(name, metadata)
    array = _from_file(Path(text[1:]), spec) if text.startswith("@") else _from_text(text, spec)
    if array.ndim == 1 and len(spec.shape) != 1:
        array = array.reshape(shape_of_flat(array.size, spec.shape))
    return Tensor.from_numpy(name, array, spec.datatype)


def _from_text(text: str, spec: TensorSpec) -> npt.NDArray[Any]:
    if text.lstrip().startswith("["):
        return convert(_parsed(text, f"input '{spec.name}'"), spec)
    return convert([parse_cell(cell, spec) for cell in text.split(",")], spec)


def parse_cell(text: str, spec: TensorSpec) -> str | int | float | bool:
    """One value as it stands between commas, or in a CSV cell.

    Raises:
        Failure: it is not of the input's datatype.
    """
    kind, text = spec.datatype, text.strip()
    try:
        if kind is Datatype.BYTES:
            return text
        if kind is Datatype.BOOL:
            return _TRUTH[text.lower()]
        return float(text) if kind.is_float else int(text)
    except (ValueError, KeyError) as error:
        raise Failure(f"input '{spec.name}': '{text}' is no {kind}") from error


def _from_file(path: Path, spec: TensorSpec) -> npt.NDArray[Any]:
    try:
        if path.suffix == ".npy":
            # Without pickle: a file of somebody else must not run code here.
            return convert(np.load(path, allow_pickle=False), spec)
        if path.suffix == ".json":
            return convert(_parsed(path.read_text(), str(path)), spec)
        if spec.datatype is Datatype.BYTES:
            return convert([path.read_bytes()], spec)
    except OSError as error:
        raise Failure(f"input '{spec.name}': {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise Failure(f"input '{spec.name}': {path} cannot be read: {error}") from error
    raise Failure(
        f"input '{spec.name}': {path.name} is neither .npy nor .json, and the input is {spec.datatype}", FORMS
    )


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"{where} is not JSON: {error}", FORMS) from error


def _texts(values: Any, spec: TensorSpec) -> npt.NDArray[Any]:
    array = np.array(values, dtype=object)
    odd = [item for item in array.reshape(-1) if not isinstance(item, (str, bytes))]
    if odd:
        raise Failure(f"input '{spec.name}': {_sample(np.asarray(odd[:1], dtype=object))} is no text")
    return array


def _whole(values: Any, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Python's own integers where there are no others: 0 beside 2**64 - 1 makes numpy turn both into floats."""
    exact = np.asarray(values, dtype=object)
    return exact if all(type(item) is int for item in exact.reshape(-1)) else array


def _check_range(array: npt.NDArray[Any], spec: TensorSpec) -> None:
    bounds = np.iinfo(spec.datatype.value.lower())
    low, high = int(array.min()), int(array.max())
    if low < bounds.min or high > bounds.max:
        worst = low if low < bounds.min else high
        raise Failure(f"input '{spec.name}': {worst} is outside {spec.datatype} ({bounds.min} to {bounds.max})")


def _sample(array: npt.NDArray[Any]) -> str:
    item = array.reshape(-1)[0]
    return repr(item.item() if isinstance(item, np.generic) else item)
