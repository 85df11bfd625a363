"""From the arguments of a call to the request that it stands for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy.typing as npt

from tidegate.client.arrays import tensor_of
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, ModelMetadata, RequestedOutput
from tidegate.protocol.parameters import PRIORITY, checked
from tidegate.protocol.tensors import NO_PARAMETERS, Parameter, Parameters, Tensor

Inputs = Mapping[str, npt.ArrayLike | Tensor]


def make_request(
    model: str,
    inputs: Inputs | InferRequest,
    *,
    outputs: Iterable[str] = (),
    version: str = "",
    parameters: Parameters = NO_PARAMETERS,
    priority: int | None = None,
    request_id: str = "",
    datatypes: Mapping[str, Datatype | str] | None = None,
    signature: ModelMetadata | None = None,
    limits: Limits,
) -> InferRequest:
    """The request. One that is given keeps what the other arguments do not name.

    Raises:
        InvalidRequest: InvalidTensor where an array is at fault; a name, a datatype or a parameter that is none.
    """
    if not model:
        raise InvalidRequest("the model's name is empty")
    request = (
        inputs if isinstance(inputs, InferRequest) else InferRequest(model, _tensors(inputs, datatypes, signature))
    )
    if request.model_name != model:
        raise InvalidRequest(f"the request is for model '{shown(request.model_name)}', the call for '{shown(model)}'")
    own = {} if priority is None else {PRIORITY: priority}
    return msgspec.structs.replace(
        request,
        model_version=version or request.model_version,
        id=request_id or request.id,
        outputs=_wanted(outputs) or request.outputs,
        parameters=_checked({**request.parameters, **parameters, **own}, limits),
    )


def _tensors(
    inputs: Inputs, datatypes: Mapping[str, Datatype | str] | None, signature: ModelMetadata | None
) -> tuple[Tensor, ...]:
    wished = _wished(inputs, datatypes or {}, signature)
    return tuple(tensor_of(name, value, wished.get(name)) for name, value in inputs.items())


def _wished(
    inputs: Inputs, datatypes: Mapping[str, Datatype | str], signature: ModelMetadata | None
) -> dict[str, Datatype]:
    """The datatypes to convert to: those of the call, else those of the model."""
    wished = {} if signature is None else {spec.name: spec.datatype for spec in signature.inputs}
    for name, kind in datatypes.items():
        if name not in inputs:
            raise InvalidRequest(f"datatypes names input '{shown(name)}', which the call does not have")
        try:
            wished[name] = Datatype(kind)
        except ValueError as error:
            known = ", ".join(Datatype)
            raise InvalidRequest(f"datatypes: '{shown(kind)}' is not known, expected one of {known}") from error
    return wished


def _wanted(outputs: Iterable[str]) -> tuple[RequestedOutput, ...]:
    if isinstance(outputs, str):
        raise InvalidRequest(f"outputs is '{shown(outputs)}', expected names in a list")
    return tuple(RequestedOutput(name) for name in outputs)


def _checked(parameters: dict[str, Parameter], limits: Limits) -> Parameters:
    for name, value in parameters.items():
        if not isinstance(value, str | int | float):
            raise InvalidRequest(
                f"parameters: '{shown(name)}' is of type {type(value).__name__}, expected text, a number or a bool"
            )
    return checked("", parameters, limits)
