"""One batch through a model: tensors in, tensors out, and every fault of the model as one clear error."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ExecutionFailed, OutOfMemory, TidegateError, shown
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Parameters, Tensor
from tidegate.runtimes.exhaustion import out_of_memory
from tidegate.runtimes.runtime import Arrays, Model, StreamingModel

log = logging.getLogger(__name__)

MESSAGE_LENGTH = 1000
"""Characters of a foreign exception's text that a caller gets to read; the worker's log has all of it."""


def execute(model: Model, inputs: Sequence[Tensor], outputs: Sequence[str], parameters: Parameters) -> list[Tensor]:
    """Run one batch and return the wanted outputs, all of them where ``outputs`` is empty, in the signature's order.

    The tensors may lie over memory that the model owns: copy them before the next call.

    Raises:
        OutOfMemory: the model raised for want of memory.
        ExecutionFailed: the model raised, or its answer does not fit its own signature.
        TidegateError: one that the model raised itself, as it is.
    """
    arrays = {tensor.name: tensor.numpy() for tensor in inputs}
    with _foreign():
        answer = model.predict(arrays, outputs, parameters)
    rows = inputs[0].shape[0] if inputs and inputs[0].shape and model.metadata.batch_dimension else None
    return collect(model.metadata, answer, outputs, rows)


def stream(
    model: StreamingModel, inputs: Sequence[Tensor], outputs: Sequence[str], parameters: Parameters
) -> Generator[list[Tensor], None, None]:
    """The responses to one request, each as ``execute`` returns it but with any number of rows.

    The tensors may lie over memory that the model owns: copy them before the next step. Closing ends the model's work.

    Raises:
        OutOfMemory, ExecutionFailed, TidegateError: as in ``execute``, also after some responses.
    """
    arrays = {tensor.name: tensor.numpy() for tensor in inputs}
    with _foreign():
        answers = iter(model.stream(arrays, outputs, parameters))
    try:
        while True:
            with _foreign():
                answer = next(answers, _OVER)
            if answer is _OVER:
                return
            yield collect(model.metadata, answer, outputs, None)
    finally:
        _end(answers)


_OVER: Any = object()


def _end(answers: Iterator[Arrays]) -> None:
    """Close a model's iterator, if it is of a kind that can be: a generator is."""
    try:
        if (close := getattr(answers, "close", None)) is not None:
            close()
    except BaseException:  # the request has its answer already
        log.exception("the model raised while its stream was closed")


@contextmanager
def _foreign() -> Iterator[None]:
    """What a model raises, as one of our errors."""
    try:
        yield
    except TidegateError:
        raise
    except BaseException as error:  # a model may raise anything, SystemExit too; the worker goes on with the next batch
        log.exception("the model raised")
        kind = OutOfMemory if out_of_memory(error) else ExecutionFailed
        raise kind(described(error)) from error


def collect(metadata: ModelMetadata, answer: Arrays, outputs: Sequence[str], rows: int | None) -> list[Tensor]:
    """The wanted outputs of a model's answer, each in the datatype of its signature.

    ``rows`` is the number of rows that each must have, None where the model knows no batch.

    Raises:
        ExecutionFailed: an output is missing, or its rank, rows or type is not what the signature says.
    """
    if not hasattr(answer, "get"):
        raise ExecutionFailed(f"the model returned {type(answer).__name__}, expected a mapping of names to arrays")
    tensors: list[Tensor] = []
    for spec in metadata.outputs:
        if outputs and spec.name not in outputs:
            continue
        array = answer.get(spec.name)
        if array is None:
            has = ", ".join(f"'{shown(name)}'" for name in answer) or "none"
            raise ExecutionFailed(f"the model returned no output '{spec.name}'; it returned {has}")
        tensors.append(_tensor(spec, np.asarray(array), rows))
    return tensors


def described(error: BaseException) -> str:
    """A foreign exception on one line of bounded length, as a caller may read it."""
    text = shown(error, MESSAGE_LENGTH)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _tensor(spec: TensorSpec, array: npt.NDArray[Any], rows: int | None) -> Tensor:
    if array.ndim != len(spec.shape):
        raise ExecutionFailed(
            f"output '{spec.name}' has shape {list(array.shape)}, its signature says {list(spec.shape)}"
        )
    if rows is not None and array.ndim and array.shape[0] != rows:
        raise ExecutionFailed(f"output '{spec.name}' has {array.shape[0]} rows for a batch of {rows}")
    if spec.datatype is not Datatype.BYTES and array.dtype.kind not in "biuf":
        raise ExecutionFailed(
            f"output '{spec.name}' is an array of {array.dtype}, its signature says {spec.datatype.value}"
        )
    return Tensor.from_numpy(spec.name, array, spec.datatype)
