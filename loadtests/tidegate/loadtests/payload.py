"""What every request of a run asks: one inference, made once and sent as it is, so that sending costs little."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from tidegate.protocol import grpc, rest
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor


def sample_request(model: str, metadata: ModelMetadata, rows: int, seed: int) -> InferRequest:
    """Seeded random values in the shapes of the model's inputs.

    Axis 0 is ``rows`` where the model leaves it open, every other open size is 1. Numbers lie in 0…1, or are 0 and 1.
    """
    values = np.random.default_rng(seed)
    inputs = tuple(Tensor.from_numpy(s.name, _array(s, rows, values), s.datatype) for s in metadata.inputs)
    return InferRequest(model, inputs)


def _array(spec: TensorSpec, rows: int, values: np.random.Generator) -> npt.NDArray[Any]:
    shape = tuple((rows if axis == 0 else 1) if size == -1 else size for axis, size in enumerate(spec.shape))
    if spec.datatype is Datatype.BYTES:
        return values.integers(0, 1000, shape).astype(str)
    if spec.datatype.is_float:
        return values.random(shape, dtype=np.float32)
    return values.integers(0, 2, shape)


def http_body(request: InferRequest, binary: bool) -> tuple[bytes, int | None]:
    """A v2 body and, for the binary form, the length of its JSON part. ``binary`` asks for a binary answer, too."""
    if binary:
        request = msgspec.structs.replace(request, parameters={"binary_data_output": True})
    body = rest.encode_request(request, binary_inputs=binary)
    return body.join(), body.json_length


def http_message(url: str, model: str, body: bytes, json_length: int | None, headers: Sequence[str] = ()) -> bytes:
    """The whole HTTP/1.1 request, head and body. ``json_length`` None says that the body is all JSON.

    ``headers`` are further lines of the head, each "name: value".
    """
    lines = [
        f"POST {urlsplit(url).path.rstrip('/')}/v2/models/{quote(model, safe='')}/infer HTTP/1.1",
        f"host: {urlsplit(url).netloc}",
        f"content-type: {'application/json' if json_length is None else 'application/octet-stream'}",
        f"content-length: {len(body)}",
        *headers,
    ]
    if json_length is not None:
        lines.append(f"inference-header-content-length: {json_length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def grpc_message(request: InferRequest) -> bytes:
    """The bytes of a ModelInferRequest, tensors raw."""
    return grpc.encode_infer_request(request, raw=True)


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of "http://HOST:PORT/…" or "HOST:PORT"; http without a port is 80.

    Raises:
        ValueError: it is no such address; https is none, as the client does not speak TLS.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    port = parts.port or (80 if parts.scheme == "http" else None)
    if parts.scheme not in ("", "http") or not parts.hostname or port is None:
        raise ValueError(f"'{address}' is not an address; expected http://HOST:PORT, or HOST:PORT for gRPC")
    return parts.hostname, port


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its name or number alone; nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
