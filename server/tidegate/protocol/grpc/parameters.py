"""Parameters: a map of names to one of five kinds of value.

KServe's and MLServer's messages know only the first three kinds; their clients skip a double or an unsigned one.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.limits import Limits
from tidegate.protocol.parameters import checked, for_wire, member
from tidegate.protocol.tensors import NO_PARAMETERS, Parameter, Parameters

_INT64_MAX = (1 << 63) - 1


def decode_parameters(where: str, encoded: Mapping[str, pb.InferParameter], limits: Limits) -> Parameters:
    """Parameters as values; ``where`` is the path of their owner: "inputs[0]", "" for the message itself.

    Raises:
        InvalidRequest: there are too many, a name is too long, or a value has none of the five kinds.
    """
    if not encoded:
        return NO_PARAMETERS
    decoded: dict[str, Parameter] = {}
    for name, value in encoded.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidRequest(
                f"{member(where, 'parameters')}: '{shown(name)}' has no value; expected one of bool_param, "
                "int64_param, string_param, double_param, uint64_param"
            )
        decoded[name] = getattr(value, kind)
    return checked(where, decoded, limits)


def encode_parameters(parameters: Parameters, encoded: Mapping[str, pb.InferParameter]) -> None:
    """Write parameters into a message's map, but for those that say how a tensor lies in an HTTP body.

    Raises:
        ValueError: an integer needs more than 64 bits.
    """
    for name, value in for_wire(parameters).items():
        target = encoded[name]  # a map of messages makes the entry when it is read
        if isinstance(value, bool):
            target.bool_param = value
        elif isinstance(value, int):
            if value > _INT64_MAX:
                target.uint64_param = value
            else:
                target.int64_param = value
        elif isinstance(value, float):
            target.double_param = value
        else:
            target.string_param = value
