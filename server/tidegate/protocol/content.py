"""What a model sees of a request, as one short name: the key under which an answer may be given again.

Two requests have the same name exactly if a model cannot tell them apart: input names, datatypes, shapes and bytes, the
outputs asked for in their order, and the parameters that reach a model, ``true``, ``1`` and ``1.0`` being three values.
The order of inputs and of parameters means nothing. The request's id, its wishes for binary data, ``priority`` and
``timeout`` are not part of it. Nor is the model: whoever keeps answers keeps those of one revision.
"""

from __future__ import annotations

import hashlib
from operator import attrgetter

import msgspec

from tidegate.protocol.messages import InferRequest
from tidegate.protocol.parameters import for_model

_DIGEST_BYTES = 32
"""Callers choose what they send, so that nobody may be able to find two contents of one name: 128 bits of strength."""

_BY_NAME = attrgetter("name")
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def content_of(request: InferRequest) -> bytes:
    """The name of a request's content, 32 bytes."""
    inputs = request.inputs if len(request.inputs) < 2 else sorted(request.inputs, key=_BY_NAME)
    # msgpack says of each value where it ends and of which type it is, and the sizes in it say where each tensor's
    # bytes end: different contents are different texts before they are hashed.
    head = _encode(
        (
            [output.name for output in request.outputs],
            for_model(request.parameters),
            [(tensor.name, tensor.datatype, tensor.shape, tensor.nbytes) for tensor in inputs],
        )
    )
    digest = hashlib.blake2b(head, digest_size=_DIGEST_BYTES)
    for tensor in inputs:
        digest.update(tensor.data)
    return digest.digest()


def content_bytes(request: InferRequest) -> int:
    """Bytes of a request's inputs, which is what ``content_of`` has to read."""
    return sum([tensor.nbytes for tensor in request.inputs])
