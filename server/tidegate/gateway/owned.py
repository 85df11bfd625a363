"""Answers over memory of their own, which outlive the memory that the replica wants back."""

from __future__ import annotations

import msgspec

from tidegate.gateway.backend import Answer
from tidegate.protocol.messages import InferRequest, InferResponse


class OwnedAnswer:
    """An answer over memory of its own, which other answers may read as well: there is nothing to give back."""

    __slots__ = ("response",)

    def __init__(self, request: InferRequest, kept: InferResponse) -> None:
        self.response = InferResponse(
            request.model_name, kept.outputs, kept.model_version, request.id, parameters=kept.parameters
        )

    def release(self) -> None:
        """Nothing: the memory lives as long as somebody reads it."""


def owned(answer: Answer) -> InferResponse:
    """The response with its outputs copied, for the memory that they lie in is given back."""
    try:
        response = answer.response
        outputs = tuple([msgspec.structs.replace(tensor, data=bytes(tensor.data)) for tensor in response.outputs])
        return msgspec.structs.replace(response, outputs=outputs)
    finally:
        answer.release()
