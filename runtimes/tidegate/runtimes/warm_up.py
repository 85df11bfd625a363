"""What a model executes before it is ready: its first runs allocate, compile and fill caches, and no caller waits.

A sample is a request made of nothing: zeros of the shape that the signature tells, with any size as 1, or data that
its owner has written down. A sample that fails is a load that fails: better no model than one that cannot answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, TidegateError, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.runtimes.execution import described, execute
from tidegate.runtimes.runtime import Model, StreamingModel
from tidegate.runtimes.sample import MAX_ELEMENTS, Sample


def warm_up(model: Model, samples: Sequence[Sample]) -> None:
    """Execute the samples one after the other.

    Raises:
        ModelLoadFailed: one does not fit the signature, or the model fails with it.
    """
    metadata = model.metadata
    for number, sample in enumerate(samples, 1):
        where = f"model '{metadata.name}': warm_up sample {number}"
        _check_names(where, sample, metadata)
        try:
            tensors = [tensor_of(sample, spec, metadata.batch_dimension) for spec in metadata.inputs]
            _run(model, tensors)
        except TidegateError as error:
            raise ModelLoadFailed(f"{where}: {shown(error.message, 1000)}") from error
        except BaseException as error:  # of a stream: a model may raise anything
            raise ModelLoadFailed(f"{where}: {described(error)}") from error


def tensor_of(sample: Sample, spec: TensorSpec, batch_dimension: bool) -> Tensor:
    """The sample's tensor for one input.

    Raises:
        ModelLoadFailed: its data does not fit the datatype or the shape, or it is larger than it may be.
    """
    if spec.name in sample.data:
        array = _data(spec, sample.data[spec.name])
    else:
        shape = sample.shapes.get(spec.name) or _declared(spec, sample.batch_size if batch_dimension else 1)
        _check_size(spec, shape)
        array = _zeros(spec.datatype, shape)
    if len(array.shape) != len(spec.shape) or any(
        want not in (-1, size) for size, want in zip(array.shape, spec.shape, strict=True)
    ):
        raise ModelLoadFailed(
            f"input '{spec.name}' has shape {list(array.shape)}, the model's signature says {list(spec.shape)}"
        )
    return Tensor.from_numpy(spec.name, array, spec.datatype)


def _run(model: Model, tensors: Sequence[Tensor]) -> None:
    if not model.metadata.decoupled:
        execute(model, tensors, (), {})
        return
    # The first response is enough: everything is allocated by then, and a stream need not end.
    stream = cast(StreamingModel, model).stream({tensor.name: tensor.numpy() for tensor in tensors}, (), {})
    next(iter(stream), None)
    if close := getattr(stream, "close", None):
        close()


def _declared(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    sizes = [1 if size < 0 else size for size in spec.shape]
    if spec.shape and spec.shape[0] < 0:
        sizes[0] = rows
    return tuple(sizes)


def _zeros(datatype: Datatype, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if datatype is Datatype.BYTES:
        return np.full(shape, b"", dtype=object)
    return np.zeros(shape, dtype=np.float32 if datatype is Datatype.BF16 else datatype.stored)


def _data(spec: TensorSpec, values: list[Any]) -> npt.NDArray[Any]:
    try:
        if spec.datatype is Datatype.BYTES:
            return _encoded(np.array(values, dtype=object))
        given = np.array(values)
        wanted = np.dtype(np.float32) if spec.datatype is Datatype.BF16 else spec.datatype.stored
        if given.size and not _fits(given, wanted):
            raise ValueError(f"expected lists of equal length, of {spec.datatype.value} values")
        return given.astype(wanted)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelLoadFailed(
            f"data of input '{spec.name}' is no {spec.datatype.value}: {shown(error, 200)}"
        ) from error


def _fits(given: npt.NDArray[Any], wanted: np.dtype[Any]) -> bool:
    """Whether the values are of the wanted kind, and whole numbers within its range."""
    if wanted.kind == "f":
        return given.dtype.kind in "iuf"
    if wanted.kind not in "iu" or given.dtype.kind not in "iu":
        return given.dtype.kind == wanted.kind
    bounds = np.iinfo(wanted)
    return bounds.min <= int(given.min()) and int(given.max()) <= bounds.max


def _encoded(texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    encoded = np.empty(texts.size, dtype=object)
    for index, text in enumerate(texts.reshape(-1)):
        if not isinstance(text, str | bytes):
            raise ValueError(f"element {index} is '{shown(text)}', expected text")
        encoded[index] = text.encode() if isinstance(text, str) else text
    return encoded.reshape(texts.shape)


def _check_size(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    if prod(shape) > MAX_ELEMENTS:
        raise ModelLoadFailed(f"input '{spec.name}' has {prod(shape)} elements, expected at most {MAX_ELEMENTS}")


def _check_names(where: str, sample: Sample, metadata: ModelMetadata) -> None:
    known = [spec.name for spec in metadata.inputs]
    named: Mapping[str, Any] = {**sample.shapes, **sample.data}
    for name in named:
        if name not in known:
            raise ModelLoadFailed(
                f"{where}: there is no input '{shown(name)}'; the model's are {', '.join(known) or 'none'}"
            )
