"""Whether a request fits the model that it names: tensors' names, datatypes and shapes against the signature.

Runs before the queue, so that a malformed request never meets another one in a batch. The codecs have already
checked what needs no model: element counts, byte sizes, ranges, duplicates.
"""

from __future__ import annotations

from tidegate.protocol.errors import InvalidRequest, InvalidTensor, shown
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor


def check_request(request: InferRequest, metadata: ModelMetadata) -> None:
    """Hold a request against a model's signature.

    Raises:
        InvalidRequest: an input is missing or unknown, or an output is asked for that the model does not have.
        InvalidTensor: an input's datatype or shape is not the model's.
    """
    specs = {spec.name: spec for spec in metadata.inputs}
    rows: tuple[str, int] | None = None
    for tensor in request.inputs:
        spec = specs.pop(tensor.name, None)
        if spec is None:
            raise InvalidRequest(
                f"model '{metadata.name}' has no input '{shown(tensor.name)}'; expected {_names(metadata.inputs)}"
            )
        check_tensor(tensor, spec)
        if metadata.batch_dimension:
            rows = _same_rows(tensor, rows)
    if specs:
        missing = ", ".join(f"'{name}'" for name in specs)
        raise InvalidRequest(f"model '{metadata.name}' needs input {missing}, which the request does not have")
    if request.outputs:
        _check_outputs(request, metadata)


def check_tensor(tensor: Tensor, spec: TensorSpec) -> None:
    """Hold one input against its specification.

    Raises:
        InvalidTensor: another datatype, rank or size than the specification allows.
    """
    if tensor.datatype is not spec.datatype and tensor.datatype not in spec.accepts:
        allowed = ", ".join(kind.value for kind in (spec.datatype, *spec.accepts))
        raise InvalidTensor(tensor.name, f"datatype is {tensor.datatype.value}, the model expects {allowed}")
    fits = len(tensor.shape) == len(spec.shape) and all(
        want in (-1, size) for size, want in zip(tensor.shape, spec.shape, strict=True)
    )
    if not fits:
        raise InvalidTensor(tensor.name, f"shape is {list(tensor.shape)}, the model expects {list(spec.shape)}")


def _same_rows(tensor: Tensor, rows: tuple[str, int] | None) -> tuple[str, int]:
    first = tensor.shape[0] if tensor.shape else 0
    if not first:
        raise InvalidTensor(tensor.name, f"shape {list(tensor.shape)} has no rows, the model expects at least one")
    if rows is not None and rows[1] != first:
        raise InvalidTensor(
            tensor.name, f"has {first} rows where input '{rows[0]}' has {rows[1]}; the inputs of a batch must agree"
        )
    return rows or (tensor.name, first)


def _check_outputs(request: InferRequest, metadata: ModelMetadata) -> None:
    known = {spec.name for spec in metadata.outputs}
    for wanted in request.outputs:
        if wanted.name not in known:
            raise InvalidRequest(
                f"model '{metadata.name}' has no output '{shown(wanted.name)}'; expected {_names(metadata.outputs)}"
            )


def _names(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"'{spec.name}'" for spec in specs) or "none"
