"""Headers, encodings and v1 bodies with one thing wrong: the exact answer to each."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tidegate.testing.requests import BODY, head, infer, plain
from tidegate.testing.served import Served

V1 = b"/v1/models/m:predict"

HEADERS_AND_ENCODINGS = [
    pytest.param(
        (infer(BODY, b"X-Request-Timeout-Ms: soon"),),
        400,
        "header 'X-Request-Timeout-Ms' is 'soon', expected a positive number of milliseconds",
        id="timeout-header-no-number",
    ),
    pytest.param(
        (infer(BODY, b"X-Request-Timeout-Ms: 0"),),
        400,
        "header 'X-Request-Timeout-Ms' is '0', expected a positive number of milliseconds",
        id="timeout-header-zero",
    ),
    pytest.param(
        (infer(BODY, b"X-Request-Timeout-Ms: -5"),),
        400,
        "header 'X-Request-Timeout-Ms' is '-5', expected a positive number of milliseconds",
        id="timeout-header-negative",
    ),
    pytest.param(
        (infer(BODY, b"X-Request-Timeout-Ms: inf"),),
        400,
        "header 'X-Request-Timeout-Ms' is 'inf', expected a positive number of milliseconds",
        id="timeout-header-infinite",
    ),
    pytest.param(
        (infer(BODY, b"X-Request-Timeout-Ms: 5", b"x-request-timeout-ms: 5"),),
        400,
        "header 'X-Request-Timeout-Ms' is given more than once",
        id="timeout-header-twice",
    ),
    pytest.param(
        (infer(BODY, b"Content-Type: multipart/form-data; boundary=x"),),
        415,
        (
            "content type 'multipart/form-data; boundary=x' is not supported; expected application/json or "
            "application/octet-stream"
        ),
        id="type-multipart",
    ),
    pytest.param(
        (infer(BODY, b"Content-Type: text/html"),),
        415,
        "content type 'text/html' is not supported; expected application/json or application/octet-stream",
        id="type-html",
    ),
    pytest.param(
        (infer(BODY, b"Content-Type: application/xml"),),
        415,
        "content type 'application/xml' is not supported; expected application/json or application/octet-stream",
        id="type-xml",
    ),
    pytest.param(
        (infer(BODY, b"Content-Type: image/png"),),
        415,
        "content type 'image/png' is not supported; expected application/json or application/octet-stream",
        id="type-image",
    ),
    pytest.param(
        (infer(BODY, b"Content-Encoding: br"),),
        415,
        "Content-Encoding 'br' is not supported; send gzip, deflate or none",
        id="encoding-unknown",
    ),
    pytest.param(
        (infer(BODY, b"Content-Encoding: gzip, gzip"),),
        415,
        "Content-Encoding 'gzip, gzip' is not supported; send gzip, deflate or none",
        id="encoding-two",
    ),
    pytest.param(
        (infer(BODY, b"Content-Encoding: gzip"),),
        400,
        "the body is not valid gzip: Error -3 while decompressing data: incorrect header check",
        id="gzip-is-none",
    ),
    pytest.param(
        (infer(gzip.compress(BODY, mtime=0)[:-9], b"Content-Encoding: gzip"),),
        400,
        "the body is not valid gzip: it ends too early",
        id="gzip-truncated",
    ),
    pytest.param(
        (infer(gzip.compress(BODY, mtime=0)[:-8] + bytes(8), b"Content-Encoding: gzip"),),
        400,
        "the body is not valid gzip: Error -3 while decompressing data: incorrect data check",
        id="gzip-wrong-checksum",
    ),
    pytest.param(
        (infer(gzip.compress(BODY, mtime=0) + b"junk", b"Content-Encoding: gzip"),),
        400,
        "the body is not valid gzip: Error -3 while decompressing data: incorrect header check",
        id="gzip-followed-by-junk",
    ),
    pytest.param(
        (infer(b"", b"Content-Encoding: gzip"),), 400, "the body is not valid gzip: it ends too early", id="gzip-empty"
    ),
    pytest.param(
        (infer(gzip.compress(bytes(2 << 20), mtime=0), b"Content-Encoding: gzip"),),
        413,
        "the body inflates to more than 1048576 bytes, which is the limit",
        id="gzip-bomb",
    ),
    pytest.param(
        (infer(gzip.compress(b"", mtime=0) * 4097, b"Content-Encoding: gzip"),),
        400,
        "the body has more than 4096 gzip members",
        id="gzip-bomb-of-members",
    ),
    pytest.param(
        (infer(zlib.compress(bytes(2 << 20)), b"Content-Encoding: deflate"),),
        413,
        "the body inflates to more than 1048576 bytes, which is the limit",
        id="deflate-bomb",
    ),
    pytest.param(
        (head(b"Content-Length: 1048577"),),
        413,
        "the body has 1048577 bytes, the limit is 1048576",
        id="body-announced-too-large",
    ),
    pytest.param(
        (head(b"Content-Length: 9223372036854775807"),),
        413,
        "the body has 9223372036854775807 bytes, the limit is 1048576",
        id="body-announced-absurd",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked") + b"100001\r\n" + bytes(0x100001) + b"\r\n0\r\n\r\n",),
        413,
        "the body has more than 1048576 bytes, which is the limit",
        id="body-chunked-too-large",
    ),
    pytest.param((head(),), 400, "the body is empty, expected JSON", id="body-absent"),
]

V1_BODIES = [
    pytest.param((infer(b"", path=V1),), 400, "the body is empty, expected JSON", id="v1-empty"),
    pytest.param((infer(b"{}", path=V1),), 400, "the body has neither 'instances' nor 'inputs'", id="v1-neither"),
    pytest.param(
        (infer(b'{"instances":[],"inputs":[]}', path=V1),),
        400,
        "the body has both 'instances' and 'inputs', expected one of them",
        id="v1-both",
    ),
    pytest.param(
        (infer(b'{"instances":{}}', path=V1),),
        400,
        "instances: expected an array with one entry per row",
        id="v1-instances-object",
    ),
    pytest.param(
        (infer(b'{"instances":[[[1]]]}', path=V1),),
        400,
        "input 'fp32': instances[0][0]: expected a number, got an array",
        id="v1-too-deep",
    ),
    pytest.param(
        (infer(b'{"instances":[[1,2],[3]]}', path=V1),),
        400,
        "input 'fp32': rows[1] has 1 elements, its shape [2, 2] has 2 there",
        id="v1-ragged",
    ),
    pytest.param(
        (infer(b'{"instances":[["a"]]}', path=V1),),
        400,
        "input 'fp32': instances[0][0]: expected a number, got 'a'",
        id="v1-strings",
    ),
    pytest.param(
        (infer(b'{"instances":[{"nope":[1]}]}', path=V1),),
        400,
        "instances[0]: unknown member 'nope'",
        id="v1-unknown-input",
    ),
    pytest.param(
        (infer(b'{"inputs":{"fp32":[[1]]}}', path=b"/v1/models/two:predict"),),
        400,
        "inputs: 'int8' is missing; expected 'fp32', 'int8'",
        id="v1-missing-input",
    ),
    pytest.param(
        (infer(b'{"instances":[[1]]}', path=b"/v1/models/nope:predict"),),
        404,
        "model 'nope' is not found",
        id="v1-unknown-model",
    ),
    pytest.param(
        (infer(b'{"instances":[[1]]}', path=b"/v1/models/m:explain"),),
        501,
        "model 'm' gives no explanations; it answers ':predict'",
        id="v1-explain",
    ),
]


@pytest.mark.parametrize(("pieces", "status", "message"), [*HEADERS_AND_ENCODINGS, *V1_BODIES])
def test_a_fault_is_named_and_harms_nobody(
    sturdy: Served, pieces: tuple[bytes, ...], status: int, message: str
) -> None:
    """The caller reads in one sentence what was wrong, and the server is as well as before."""
    answer = sturdy.ask(*pieces)
    assert (answer.status, answer.error) == (status, message)
    assert answer.headers["content-type"] == "application/json"
    assert sturdy.ask(plain(b"GET", b"/v2/health/live")).body == b'{"live":true}'
