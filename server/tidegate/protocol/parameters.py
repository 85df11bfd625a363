"""The flat `parameters` objects of v2, and those among them that are not for the model.

``binary_data_size`` (on a tensor) is taken out when the tensor is read and put in when it is written; no value of
ours holds it. ``binary_data_output`` (on the request) and ``binary_data`` (on a requested output) stay where the
caller put them, because the response is encoded by them. ``priority`` and ``timeout`` speak to the queue (Triton's
schedule policy), ``triton_enable_empty_final_response`` to a gRPC stream. ``for_model`` leaves all of them out of what
a model sees.
"""

from __future__ import annotations

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.limits import Limits
from tidegate.protocol.tensors import NO_PARAMETERS, Parameters

SIZE = "binary_data_size"
WISH = "binary_data"
WISH_FOR_ALL = "binary_data_output"

PRIORITY = "priority"
TIMEOUT = "timeout"

WISH_FOR_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"

_CODECS = frozenset((SIZE, WISH, WISH_FOR_ALL))
_OURS = _CODECS | {PRIORITY, TIMEOUT, WISH_FOR_FINAL}
_MIN_INTEGER = -(1 << 63)
_MAX_INTEGER = (1 << 64) - 1


def checked(where: str, parameters: Parameters | None, limits: Limits) -> Parameters:
    """``parameters`` within the limits. ``where`` is the path of their owner: "inputs[0]", "" for the request.

    Raises:
        InvalidRequest: too many of them, a name that is too long, or an integer that gRPC could not carry.
    """
    if not parameters:
        return NO_PARAMETERS
    path = member(where, "parameters")
    if len(parameters) > limits.max_parameters:
        raise InvalidRequest(f"{path}: has {len(parameters)} entries, at most {limits.max_parameters} are allowed")
    for name, value in parameters.items():
        check_name(path, name, limits)
        if type(value) is int and not _MIN_INTEGER <= value <= _MAX_INTEGER:
            raise InvalidRequest(f"{path}: '{shown(name)}' is {shown(value)}, which does not fit 64 bits")
    return parameters


def check_name(where: str, name: str, limits: Limits) -> None:
    """Hold a name, or a request's id, against the limit on its length.

    Raises:
        InvalidRequest: it is too long.
    """
    if len(name) * 4 > limits.max_name_bytes and len(name.encode()) > limits.max_name_bytes:
        raise InvalidRequest(
            f"{where}: '{shown(name)}' has {len(name.encode())} bytes, at most {limits.max_name_bytes} are allowed"
        )


def flag(where: str, parameters: Parameters, name: str) -> bool | None:
    """A boolean among ``parameters``; None where it is absent.

    Raises:
        InvalidRequest: it is there, and is no boolean.
    """
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidRequest(f"{member(where, 'parameters')}: '{name}' is {shown(value)}, expected true or false")


def size_of(where: str, parameters: Parameters) -> int | None:
    """The ``binary_data_size`` among ``parameters``, in bytes; None where it is absent.

    Raises:
        InvalidRequest: it is there, and is no integer >= 0.
    """
    value = parameters.get(SIZE)
    if value is None or (type(value) is int and value >= 0):
        return value
    raise InvalidRequest(f"{member(where, 'parameters')}: '{SIZE}' is {shown(value)}, expected an integer >= 0")


def without_size(parameters: Parameters) -> Parameters:
    """A tensor's own parameters, its ``binary_data_size`` taken out."""
    rest = {name: value for name, value in parameters.items() if name != SIZE}
    return rest or NO_PARAMETERS


def for_model(parameters: Parameters) -> Parameters:
    """What a model sees of a request's parameters: all but the codec's and the queue's own."""
    if not parameters or _OURS.isdisjoint(parameters):
        return parameters
    return {name: value for name, value in parameters.items() if name not in _OURS}


def for_wire(parameters: Parameters) -> Parameters:
    """What goes in a message that has no HTTP body: all but the codec's."""
    return {name: value for name, value in parameters.items() if name not in _CODECS}


def member(where: str, name: str) -> str:
    """The path of a member of the object at ``where``."""
    return f"{where}.{name}" if where else name
