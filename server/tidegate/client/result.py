"""A model's answer, its outputs as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tidegate.protocol.messages import InferResponse
from tidegate.protocol.tensors import Parameters


@dataclass(frozen=True)
class InferResult:
    """``outputs`` are arrays by name: BYTES hold ``bytes`` objects, BF16 comes as float32.

    All others are views of the answer, to be read only.
    """

    response: InferResponse
    outputs: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, response: InferResponse) -> InferResult:
        return cls(response, {tensor.name: tensor.numpy() for tensor in response.outputs})

    @property
    def model_name(self) -> str:
        return self.response.model_name

    @property
    def model_version(self) -> str:
        """The version that answered; "" from a server that does not say."""
        return self.response.model_version

    @property
    def id(self) -> str:
        """The request's own."""
        return self.response.id

    @property
    def parameters(self) -> Parameters:
        return self.response.parameters
