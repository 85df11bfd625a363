"""HTTP requests in raw bytes: good ones, and the same with one thing wrong."""

from __future__ import annotations

INFER = b"/v2/models/m/infer"


def head(*headers: bytes, method: bytes = b"POST", path: bytes = INFER) -> bytes:
    """A request's head, to which a body can be added."""
    return b"\r\n".join((b"%s %s HTTP/1.1" % (method, path), b"Host: x", *headers, b"", b""))


def infer(body: bytes, *headers: bytes, path: bytes = INFER) -> bytes:
    """A request with a body of the length that it says."""
    return head(b"Content-Length: %d" % len(body), *headers, path=path) + body


def plain(method: bytes, path: bytes) -> bytes:
    """A request without a body."""
    return head(method=method, path=path)


def tensor(**members: bytes) -> bytes:
    """The JSON of a good request with one input, some of its members replaced by other JSON."""
    good = {"name": b'"fp32"', "datatype": b'"FP32"', "shape": b"[1,2]", "data": b"[1,2]"}
    return b'{"inputs":[{%s}]}' % b",".join(b'"%s":%s' % (k.encode(), v) for k, v in {**good, **members}.items())


def binary(size: bytes, tail: bytes, kind: bytes = b"FP32") -> bytes:
    """A request of two elements of ``kind`` as binary data: ``size`` is what the JSON says, ``tail`` what follows it.

    It goes to model ``m`` for FP32, and to the model called as the kind (in lower case) for others.
    """
    name = kind.lower()
    text = b'{"inputs":[{"name":"%s","datatype":"%s","shape":[1,2],"parameters":{"binary_data_size":%s}}]}'
    text %= (name, kind, size)
    return infer(text + tail, json_length(text), path=INFER if kind == b"FP32" else b"/v2/models/%s/infer" % name)


def json_length(text: bytes) -> bytes:
    """The header that tells where the JSON ends and binary data begins."""
    return b"Inference-Header-Content-Length: %d" % len(text)


BODY = tensor()
"""The JSON of a good request to an identity model with one FP32 input."""
TENSOR = BODY.removeprefix(b'{"inputs":[').removesuffix(b"]}")
"""The JSON of its one input."""
