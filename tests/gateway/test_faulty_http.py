"""Wrong methods, wrong paths, and bytes that are hardly HTTP: the exact answer to each."""

from __future__ import annotations

import pytest

from tidegate.testing.requests import BODY, INFER, head, infer, plain
from tidegate.testing.served import Served

METHODS_AND_PATHS = [
    pytest.param(
        (plain(b"GET", INFER),),
        405,
        "method GET is not allowed for '/v2/models/m/infer'; allowed: POST",
        id="get-infer",
    ),
    pytest.param(
        (plain(b"PUT", INFER),),
        405,
        "method PUT is not allowed for '/v2/models/m/infer'; allowed: POST",
        id="put-infer",
    ),
    pytest.param(
        (plain(b"DELETE", INFER + b"/"),),
        405,
        "method DELETE is not allowed for '/v2/models/m/infer/'; allowed: POST",
        id="delete-infer",
    ),
    pytest.param(
        (plain(b"OPTIONS", INFER),),
        405,
        "method OPTIONS is not allowed for '/v2/models/m/infer'; allowed: POST",
        id="options-infer",
    ),
    pytest.param(
        (plain(b"POST", b"/v2/models/m"),),
        405,
        "method POST is not allowed for '/v2/models/m'; allowed: GET, HEAD",
        id="post-metadata",
    ),
    pytest.param(
        (plain(b"DELETE", b"/v2/models/m/versions/1"),),
        405,
        "method DELETE is not allowed for '/v2/models/m/versions/1'; allowed: GET, HEAD",
        id="delete-model",
    ),
    pytest.param(
        (plain(b"POST", b"/v2/health/live"),),
        405,
        "method POST is not allowed for '/v2/health/live'; allowed: GET, HEAD",
        id="post-live",
    ),
    pytest.param(
        (plain(b"PATCH", b"/"),), 405, "method PATCH is not allowed for '/'; allowed: GET, HEAD", id="patch-root"
    ),
    pytest.param(
        (plain(b"GET", b"/v1/models/m:predict"),),
        405,
        "method GET is not allowed for '/v1/models/m:predict'; allowed: POST",
        id="get-v1-predict",
    ),
    pytest.param((plain(b"OPTIONS", b"*"),), 404, "there is no '*' here", id="options-asterisk"),
    pytest.param((plain(b"GET", b"/nope"),), 404, "there is no '/nope' here", id="path-unknown"),
    pytest.param((plain(b"GET", b"/V2"),), 404, "there is no '/V2' here", id="path-upper-case"),
    pytest.param((plain(b"GET", b"//v2"),), 404, "there is no '//v2' here", id="path-two-slashes"),
    pytest.param(
        (plain(b"GET", b"/v2/models/../../etc/passwd"),),
        404,
        "there is no '/v2/models/../../etc/passwd' here",
        id="path-traversal",
    ),
    pytest.param(
        (plain(b"POST", b"/v2/models/..%2F..%2Fetc%2Fpasswd/infer"),),
        404,
        "model '../../etc/passwd' is not found",
        id="path-encoded-traversal",
    ),
    pytest.param((plain(b"POST", b"/v2/models/%00/infer"),), 404, "model '\\x00' is not found", id="path-encoded-nul"),
    pytest.param((plain(b"POST", b"/v2/models/%ff%fe/infer"),), 404, "model '��' is not found", id="path-no-utf-8"),
    pytest.param(
        (plain(b"POST", b"/v2/models/" + b"x" * 3000 + b"/infer"),),
        404,
        "model 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' is not found",
        id="path-long-name",
    ),
    pytest.param(
        (plain(b"GET", b"/%0d%0aSet-Cookie:%20a"),),
        404,
        "there is no '/\\r\\nSet-Cookie: a' here",
        id="path-not-found-log",
    ),
    pytest.param((infer(BODY, path=b"/v2/models/nope/infer"),), 404, "model 'nope' is not found", id="model-unknown"),
    pytest.param((infer(BODY, path=b"/v2/models//infer"),), 404, "model '' is not found", id="model-empty"),
    pytest.param(
        (infer(BODY, path=b"/v2/models/m/versions/9/infer"),),
        404,
        "model 'm' has no version '9'; it has 1",
        id="version-unknown",
    ),
    pytest.param(
        (infer(BODY, path=b"/v2/models/m/versions//infer"),),
        404,
        "there is no '/v2/models/m/versions//infer' here",
        id="version-empty",
    ),
    pytest.param(
        (plain(b"GET", b"/v2/models/nope"),), 404, "model 'nope' is not found", id="metadata-of-an-unknown-model"
    ),
    pytest.param(
        (plain(b"GET", b"/v2/models/m/versions/9/ready"),),
        404,
        "model 'm' has no version '9'; it has 1",
        id="ready-of-an-unknown-version",
    ),
    pytest.param(
        (plain(b"GET", b"/v1/models/nope"),), 404, "model 'nope' is not found", id="v1-ready-of-an-unknown-model"
    ),
]

HTTP = [
    pytest.param(
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
        400,
        "this port speaks HTTP/1.1, the client began HTTP/2; gRPC has a port of its own",
        id="http-2-preface",
    ),
    pytest.param(
        (b"\x16\x03\x01\x02\x00\x01\x00",),
        400,
        "this port speaks plain HTTP, the client began a TLS handshake",
        id="tls-hello",
    ),
    pytest.param((b"hello\r\n\r\n",), 400, "malformed HTTP request: Invalid method encountered", id="no-http"),
    pytest.param(
        (bytes(range(128, 256)),), 400, "malformed HTTP request: Invalid method encountered", id="binary-noise"
    ),
    pytest.param(
        (plain(b"FOO", b"/v2"),), 400, "malformed HTTP request: Invalid method encountered", id="method-unknown"
    ),
    pytest.param(
        (plain(b"get", b"/v2"),), 400, "malformed HTTP request: Invalid method encountered", id="method-lower-case"
    ),
    pytest.param(
        (b"GET /v2\r\n\r\n",), 400, "HTTP version 0.9 is not supported; expected 1.1 or 1.0", id="version-http-0-9"
    ),
    pytest.param(
        (b"GET /v2 HTTP/2.0\r\n\r\n",),
        400,
        "HTTP version 2.0 is not supported; expected 1.1 or 1.0",
        id="version-http-2",
    ),
    pytest.param(
        (b"GET /v2 HTTP/3.7\r\n\r\n",), 400, "malformed HTTP request: Invalid HTTP version", id="version-http-3"
    ),
    pytest.param(
        (b"GET /v2 FTP/1.1\r\n\r\n",), 400, "malformed HTTP request: Expected HTTP/, RTSP/ or ICE/", id="version-none"
    ),
    pytest.param(
        (b"CONNECT a:80 HTTP/1.1\r\n\r\n",),
        400,
        "malformed HTTP request: target 'a:80' is not a path",
        id="target-no-path",
    ),
    pytest.param(
        (b"GET v2 HTTP/1.1\r\n\r\n",),
        400,
        "malformed HTTP request: Unexpected char in url schema",
        id="target-relative",
    ),
    pytest.param(
        (b"GET /v2 x HTTP/1.1\r\n\r\n",),
        400,
        "malformed HTTP request: Expected HTTP/, RTSP/ or ICE/",
        id="target-with-a-space",
    ),
    pytest.param(
        (b"GET /\xff HTTP/1.1\r\n\r\n",), 400, "malformed HTTP request: Invalid char in url path", id="target-8-bit"
    ),
    pytest.param(
        (b"GET http://x HTTP/1.1\r\n\r\n",),
        400,
        "malformed HTTP request: target 'http://x' is not a path",
        id="target-host-only",
    ),
    pytest.param((head(b"NoColon"),), 400, "malformed HTTP request: Invalid header token", id="header-without-colon"),
    pytest.param(
        (head(b"Content Length: 1"),), 400, "malformed HTTP request: Invalid header token", id="header-with-a-space"
    ),
    pytest.param(
        (head(b"Content-Length : 1"),),
        400,
        "malformed HTTP request: Invalid header field char",
        id="header-space-before-colon",
    ),
    pytest.param(
        (head(b"A: b\r\n c"),),
        400,
        "malformed HTTP request: Unexpected whitespace after header value",
        id="header-folded",
    ),
    pytest.param((head(b"A: b\x00c"),), 400, "malformed HTTP request: Invalid header value char", id="header-nul"),
    pytest.param(
        (head(b"A: b\rc"),), 400, "malformed HTTP request: Missing expected LF after header value", id="header-bare-cr"
    ),
    pytest.param((head(b": b"),), 400, "malformed HTTP request: Invalid header token", id="header-no-name"),
    pytest.param(
        (b"GET /v2 HTTP/1.1\nHost: x\n\n",),
        400,
        "malformed HTTP request: Expected CRLF after version",
        id="header-bare-lf",
    ),
    pytest.param(
        (head(*[b"A: b"] * 101),), 431, "the request has 102 headers, the limit is 100", id="headers-too-many"
    ),
    pytest.param(
        (head(b"A: " + b"x" * 70000),),
        431,
        "the request's headers are larger than the limit of 65536 bytes",
        id="headers-too-large",
    ),
    pytest.param(
        (head(*[b"A%d: " % n + b"x" * 1000 for n in range(70)]),),
        431,
        "the request's headers are larger than the limit of 65536 bytes",
        id="headers-too-large-together",
    ),
    pytest.param(
        (plain(b"GET", b"/" + b"x" * 70000),),
        431,
        "the request's headers are larger than the limit of 65536 bytes",
        id="target-too-large",
    ),
    pytest.param(
        (*[b"GET /v2 HTTP/1.1\r\nA: ", *[b"x" * 8192] * 9],),
        431,
        "the request's headers are larger than the limit of 65536 bytes",
        id="headers-too-large-in-pieces",
    ),
    pytest.param(
        (head(b"Content-Length: abc"),),
        400,
        "malformed HTTP request: Invalid character in Content-Length",
        id="length-no-number",
    ),
    pytest.param(
        (head(b"Content-Length: -1"),),
        400,
        "malformed HTTP request: Invalid character in Content-Length",
        id="length-negative",
    ),
    pytest.param(
        (head(b"Content-Length: +3"),),
        400,
        "malformed HTTP request: Invalid character in Content-Length",
        id="length-plus",
    ),
    pytest.param((head(b"Content-Length:"),), 400, "malformed HTTP request: Empty Content-Length", id="length-empty"),
    pytest.param(
        (head(b"Content-Length: 99999999999999999999999"),),
        400,
        "malformed HTTP request: Content-Length overflow",
        id="length-overflows",
    ),
    pytest.param(
        (head(b"Content-Length: 3", b"Content-Length: 4"),),
        400,
        "malformed HTTP request: Duplicate Content-Length",
        id="length-twice",
    ),
    pytest.param(
        (head(b"Content-Length: 3", b"Content-Length: 3"),),
        400,
        "malformed HTTP request: Duplicate Content-Length",
        id="length-twice-the-same",
    ),
    pytest.param(
        (head(b"Content-Length: 3, 3"),),
        400,
        "malformed HTTP request: Invalid character in Content-Length",
        id="length-list",
    ),
    pytest.param(
        (head(b"Content-Length: 3", b"Transfer-Encoding: chunked"),),
        400,
        "malformed HTTP request: Transfer-Encoding can't be present with Content-Length",
        id="length-and-chunked",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked", b"Content-Length: 3"),),
        400,
        "malformed HTTP request: Content-Length can't be present with Transfer-Encoding",
        id="chunked-and-length",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked, gzip"),),
        400,
        "malformed HTTP request: Invalid `Transfer-Encoding` header value",
        id="chunked-not-last",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: gzip"),),
        400,
        "malformed HTTP request: Request has invalid `Transfer-Encoding`",
        id="transfer-encoding-unknown",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked") + b"zz\r\n",),
        400,
        "malformed HTTP request: Invalid character in chunk size",
        id="chunk-size-no-hex",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n",),
        400,
        "malformed HTTP request: Chunk size overflow",
        id="chunk-size-overflows",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked") + b"-1\r\n",),
        400,
        "malformed HTTP request: Invalid character in chunk size",
        id="chunk-size-negative",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked") + b"3 \r\nabc\r\n0\r\n\r\n",),
        400,
        "malformed HTTP request: Invalid character in chunk size",
        id="chunk-size-with-a-space",
    ),
    pytest.param(
        (head(b"Transfer-Encoding: chunked") + b"3\r\nabcd\r\n",),
        400,
        "malformed HTTP request: Expected LF after chunk data",
        id="chunk-longer-than-its-size",
    ),
    pytest.param(
        (*[head(b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n", b"zz\r\n"],),
        400,
        "malformed HTTP request: Invalid character in chunk size",
        id="chunk-fault-after-a-good-one",
    ),
    pytest.param(
        (*[head(b"Transfer-Encoding: chunked") + b"3;", *[b"x" * 8192] * 40],),
        431,
        "the request's headers are larger than the limit of 65536 bytes",
        id="chunk-extension-without-end",
    ),
    pytest.param(
        (*[head(b"Transfer-Encoding: chunked") + b"0\r\nA: ", *[b"x" * 8192] * 40],),
        431,
        "the request's headers are larger than the limit of 65536 bytes",
        id="trailer-without-end",
    ),
    pytest.param(
        (infer(BODY, b"Connection: Upgrade", b"Upgrade: h2c"),),
        400,
        "header 'Upgrade' is not supported on a request with a body",
        id="upgrade-with-a-body",
    ),
]


@pytest.mark.parametrize(("pieces", "status", "message"), [*METHODS_AND_PATHS, *HTTP])
def test_a_fault_is_named_and_harms_nobody(
    sturdy: Served, pieces: tuple[bytes, ...], status: int, message: str
) -> None:
    """The caller reads in one sentence what was wrong, and the server is as well as before."""
    answer = sturdy.ask(*pieces)
    assert (answer.status, answer.error) == (status, message)
    assert answer.headers["content-type"] == "application/json"
    assert sturdy.ask(plain(b"GET", b"/v2/health/live")).body == b'{"live":true}'
