"""A request that fits a model, made from its signature: the line that a person can paste to see an answer."""

from __future__ import annotations

import json
import shlex
from math import prod
from typing import Any

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec

LONGEST = 64
"""Values of one input that still make a line that a person wants to paste."""


def curl_line(address: str, model: str, metadata: ModelMetadata) -> str | None:
    """A call with curl, or None where the model's inputs are too large for a line or have no JSON form."""
    if not _fits_a_line(metadata) or any(spec.datatype.raw_only for spec in metadata.inputs):
        return None
    inputs = [
        {
            "name": spec.name,
            "datatype": spec.datatype.value,
            "shape": _shape(spec),
            "data": [_value(spec)] * _count(spec),
        }
        for spec in metadata.inputs
    ]
    body = shlex.quote(json.dumps({"inputs": inputs}))
    return f"curl http://{address}/v2/models/{shlex.quote(model)}/infer -d {body}"


def infer_line(address: str, model: str, metadata: ModelMetadata) -> str:
    """The same call with tidegate's own client; with a file where the inputs are too large for a line."""
    parts = ["tidegate", "infer", shlex.quote(model)]
    for spec in metadata.inputs:
        values = ",".join([str(_value(spec))] * _count(spec)) if _fits_a_line(metadata) else "@FILE.npy"
        parts += ["--input", shlex.quote(f"{spec.name}={values}")]
    if address != "127.0.0.1:8080":
        parts += ["--url", f"http://{address}"]
    return " ".join(parts)


def _fits_a_line(metadata: ModelMetadata) -> bool:
    return sum(map(_count, metadata.inputs)) <= LONGEST


def _shape(spec: TensorSpec) -> list[int]:
    return [1 if size == -1 else size for size in spec.shape]


def _count(spec: TensorSpec) -> int:
    return prod(_shape(spec))


def _value(spec: TensorSpec) -> Any:
    if spec.datatype is Datatype.BYTES:
        return "text"
    if spec.datatype is Datatype.BOOL:
        return True
    return 0.5 if spec.datatype.is_float else 1
