"""Tensors that cannot be: the exact answer to each, and a server that goes on."""

from __future__ import annotations

import pytest

from tidegate.testing.requests import BODY, binary, infer, json_length, plain, tensor
from tidegate.testing.served import Served

INT8 = b"/v2/models/int8/infer"
UINT64 = b"/v2/models/uint64/infer"
BOOL = b"/v2/models/bool/infer"
BYTES = b"/v2/models/bytes/infer"
TWO = b"/v2/models/two/infer"
NO_DATA = tensor(parameters=b'{"binary_data_size":8}').replace(b',"data":[1,2]', b"") + b"12345678"

SHAPES = [
    pytest.param(
        (infer(b'{"inputs":[{"name":"fp32","datatype":"FP32","data":[1,2]}]}'),),
        400,
        "inputs[0]: missing member 'shape'",
        id="shape-missing",
    ),
    pytest.param((infer(tensor(shape=b"null")),), 400, "inputs[0].shape: expected an array, got null", id="shape-null"),
    pytest.param(
        (infer(tensor(shape=b"2")),), 400, "inputs[0].shape: expected an array, got an integer", id="shape-number"
    ),
    pytest.param(
        (infer(tensor(shape=b'["1","2"]')),),
        400,
        "inputs[0].shape[0]: expected an integer, got a string",
        id="shape-of-strings",
    ),
    pytest.param(
        (infer(tensor(shape=b"[1.5,2]")),),
        400,
        "inputs[0].shape[0]: expected an integer, got a decimal number",
        id="shape-of-fractions",
    ),
    pytest.param(
        (infer(tensor(shape=b"[-1,2]")),),
        400,
        "input 'fp32': shape[0] is -1, expected an integer >= 0",
        id="shape-negative",
    ),
    pytest.param(
        (infer(tensor(shape=b"[2147483648,2147483648]")),),
        400,
        "input 'fp32': shape [2147483648, 2147483648] has more than 262144 elements of FP32",
        id="shape-huge",
    ),
    pytest.param(
        (infer(tensor(shape=b"[4294967296,4294967296]")),),
        400,
        "input 'fp32': shape [4294967296, 4294967296] has more than 262144 elements of FP32",
        id="shape-overflows",
    ),
    pytest.param(
        (infer(tensor(shape=b"[99999999999999999999999,1]")),),
        400,
        "input 'fp32': shape [99999999999999999999999, 1] has more than 262144 elements of FP32",
        id="shape-beyond-64-bits",
    ),
    pytest.param(
        (infer(tensor(shape=b"[4611686018427387904,4611686018427387904,0]", data=b"[]")),),
        400,
        "input 'fp32': shape [4611686018427387904, 4611686018427387904, 0] has more than 262144 elements of FP32",
        id="shape-zero-beside-huge",
    ),
    pytest.param(
        (infer(tensor(shape=b"[%s]" % b",".join([b"1"] * 17), data=b"[1]")),),
        400,
        "input 'fp32': shape has 17 dimensions, at most 16 are allowed",
        id="shape-too-many-dimensions",
    ),
    pytest.param(
        (infer(tensor(shape=b"[2]")),),
        400,
        "input 'fp32': shape is [2], the model expects [-1, -1]",
        id="shape-of-another-rank",
    ),
    pytest.param(
        (infer(tensor(shape=b"[1,3]")),),
        400,
        "input 'fp32': data has 2 elements, its shape [1, 3] has 3",
        id="shape-too-large-for-the-data",
    ),
    pytest.param(
        (infer(tensor(shape=b"[1,1]")),),
        400,
        "input 'fp32': data has 2 elements, its shape [1, 1] has 1",
        id="shape-too-small-for-the-data",
    ),
    pytest.param(
        (infer(tensor(shape=b"[]", data=b"[1]")),),
        400,
        "input 'fp32': shape is [], the model expects [-1, -1]",
        id="shape-scalar",
    ),
]

DATA = [
    pytest.param(
        (infer(b'{"inputs":[{"name":"fp32","datatype":"FP32","shape":[1,2]}]}'),),
        400,
        "input 'fp32': has neither data nor parameters.binary_data_size",
        id="data-missing",
    ),
    pytest.param((infer(tensor(data=b"null")),), 400, "input 'fp32': data: expected an array", id="data-null"),
    pytest.param((infer(tensor(data=b'"12"')),), 400, "input 'fp32': data: expected an array", id="data-string"),
    pytest.param((infer(tensor(data=b"{}")),), 400, "input 'fp32': data: expected an array", id="data-object"),
    pytest.param(
        (infer(tensor(data=b'["1","2"]')),),
        400,
        "input 'fp32': data[0]: expected a number, got '1'",
        id="data-of-strings",
    ),
    pytest.param(
        (infer(tensor(data=b"[true,false]")),),
        400,
        "input 'fp32': data[0]: expected a number, got true or false",
        id="data-of-booleans",
    ),
    pytest.param(
        (infer(tensor(shape=b"[2,2]", data=b"[[1,2],[3]]")),),
        400,
        "input 'fp32': data[1] has 1 elements, its shape [2, 2] has 2 there",
        id="data-ragged",
    ),
    pytest.param(
        (infer(tensor(data=b"[[[1,2]]]")),),
        400,
        "input 'fp32': data nests more than 2 deep, expected a flat array, or nested 2 deep as its shape",
        id="data-nested-too-deep",
    ),
    pytest.param(
        (infer(tensor(shape=b"[2,1]", data=b"[[1,2]]")),),
        400,
        "input 'fp32': data has 1 elements, its shape [2, 1] has 2 there",
        id="data-nested-otherwise",
    ),
    pytest.param(
        (infer(tensor(data=b"[1e400,1]")),),
        400,
        "input 'fp32': data[0]: the number is out of range",
        id="data-overflows-float",
    ),
    pytest.param(
        (infer(tensor(name=b'"int8"', datatype=b'"INT8"', data=b"[128,0]"), path=INT8),),
        400,
        "input 'int8': element 0 is 128, INT8 holds -128 to 127",
        id="int8-too-large",
    ),
    pytest.param(
        (infer(tensor(name=b'"int8"', datatype=b'"INT8"', data=b"[-129,0]"), path=INT8),),
        400,
        "input 'int8': element 0 is -129, INT8 holds -128 to 127",
        id="int8-too-small",
    ),
    pytest.param(
        (infer(tensor(name=b'"int8"', datatype=b'"INT8"', data=b"[1.5,0]"), path=INT8),),
        400,
        "input 'int8': data[0]: expected an integer, got a decimal number",
        id="int8-fraction",
    ),
    pytest.param(
        (infer(tensor(name=b'"int8"', datatype=b'"INT8"', data=b"[null,0]"), path=INT8),),
        400,
        "input 'int8': data[0]: expected an integer, got null",
        id="int8-null",
    ),
    pytest.param(
        (infer(tensor(name=b'"uint64"', datatype=b'"UINT64"', data=b"[-1,0]"), path=UINT64),),
        400,
        "input 'uint64': element 0 is -1, UINT64 holds 0 to 18446744073709551615",
        id="uint64-negative",
    ),
    pytest.param(
        (infer(tensor(name=b'"uint64"', datatype=b'"UINT64"', data=b"[18446744073709551616,0]"), path=UINT64),),
        400,
        "input 'uint64': element 0 is 18446744073709551616, UINT64 holds 0 to 18446744073709551615",
        id="uint64-beyond",
    ),
    pytest.param(
        (infer(tensor(name=b'"bool"', datatype=b'"BOOL"', data=b"[2,0]"), path=BOOL),),
        400,
        "input 'bool': data[0]: expected true or false, got an integer",
        id="bool-number",
    ),
    pytest.param(
        (infer(tensor(name=b'"bytes"', datatype=b'"BYTES"', data=b"[1,2]"), path=BYTES),),
        400,
        "input 'bytes': data[0]: expected a string, got an integer",
        id="bytes-number",
    ),
]

BINARY_DATA = [
    pytest.param(
        (infer(BODY, b"Inference-Header-Content-Length: x"),),
        400,
        "header 'Inference-Header-Content-Length' is 'x', expected the JSON part's length in bytes",
        id="binary-length-no-number",
    ),
    pytest.param(
        (infer(BODY, b"Inference-Header-Content-Length: -1"),),
        400,
        "header 'Inference-Header-Content-Length' is '-1', expected the JSON part's length in bytes",
        id="binary-length-negative",
    ),
    pytest.param(
        (infer(BODY, b"Inference-Header-Content-Length: 999"),),
        400,
        "Inference-Header-Content-Length is 999, expected 0 to 73, the size of the body",
        id="binary-length-beyond-the-body",
    ),
    pytest.param(
        (infer(BODY, b"Inference-Header-Content-Length: 10"),),
        400,
        "the body is not valid JSON: it ends too early, or a string holds half a surrogate pair",
        id="binary-length-cuts-the-json",
    ),
    pytest.param(
        (infer(BODY, b"Inference-Header-Content-Length: 1", b"Inference-Header-Content-Length: 2"),),
        400,
        "header 'Inference-Header-Content-Length' is given more than once",
        id="binary-length-twice",
    ),
    pytest.param(
        (infer(BODY + b"tail", b"Inference-Header-Content-Length: %d" % len(BODY)),),
        400,
        (
            "binary_data_size of the inputs adds up to 0 bytes, 4 bytes follow the JSON (whose length the header "
            "Inference-Header-Content-Length tells)"
        ),
        id="binary-length-without-tail",
    ),
    pytest.param(
        (binary(b"8", b"1234"),),
        400,
        (
            "binary_data_size of the inputs adds up to 8 bytes, 4 bytes follow the JSON (whose length the header "
            "Inference-Header-Content-Length tells)"
        ),
        id="binary-too-short",
    ),
    pytest.param(
        (binary(b"4", b"12345678"),),
        400,
        (
            "binary_data_size of the inputs adds up to 4 bytes, 8 bytes follow the JSON (whose length the header "
            "Inference-Header-Content-Length tells)"
        ),
        id="binary-too-long",
    ),
    pytest.param(
        (binary(b"8", b"12345678tail"),),
        400,
        (
            "binary_data_size of the inputs adds up to 8 bytes, 12 bytes follow the JSON (whose length the "
            "header Inference-Header-Content-Length tells)"
        ),
        id="binary-left-over",
    ),
    pytest.param(
        (binary(b"12", b"123456789012"),),
        400,
        "input 'fp32': has 12 bytes of binary data, its 2 elements of FP32 are 8",
        id="binary-size-of-other-shape",
    ),
    pytest.param(
        (binary(b"-8", b"12345678"),),
        400,
        "inputs[0].parameters: 'binary_data_size' is -8, expected an integer >= 0",
        id="binary-size-negative",
    ),
    pytest.param(
        (binary(b'"8"', b"12345678"),),
        400,
        "inputs[0].parameters: 'binary_data_size' is 8, expected an integer >= 0",
        id="binary-size-string",
    ),
    pytest.param(
        (binary(b"9223372036854775807", b"12345678"),),
        400,
        (
            "binary_data_size of the inputs adds up to 9223372036854775807 bytes, 8 bytes follow the JSON (whose "
            "length the header Inference-Header-Content-Length tells)"
        ),
        id="binary-size-huge",
    ),
    pytest.param(
        (
            infer(
                tensor(parameters=b'{"binary_data_size":8}') + b"12345678",
                json_length(tensor(parameters=b'{"binary_data_size":8}')),
            ),
        ),
        400,
        "input 'fp32': has both data and parameters.binary_data_size",
        id="binary-and-data",
    ),
    pytest.param(
        (infer(NO_DATA),),
        400,
        "the body is not valid JSON: trailing characters (byte 97)",
        id="binary-size-without-the-header",
    ),
    pytest.param(
        (binary(b"2", b"\x00\x02", kind=b"BOOL"),),
        400,
        "input 'bool': element 1 of its BOOL data is 2, expected 0 or 1",
        id="binary-bool-two",
    ),
    pytest.param(
        (binary(b"9", b"\x01\0\0\0a\xff\xff\xff\xff", kind=b"BYTES"),),
        400,
        "input 'bytes': element 1 claims 4294967295 bytes, but only 0 are left",
        id="binary-bytes-element-too-long",
    ),
    pytest.param(
        (binary(b"7", b"\x01\0\0\0a\x01\0", kind=b"BYTES"),),
        400,
        "input 'bytes': BYTES data ends before the length of element 1 of 2",
        id="binary-bytes-cut-in-a-length",
    ),
    pytest.param(
        (binary(b"12", b"\x01\0\0\0a\x01\0\0\0bcc", kind=b"BYTES"),),
        400,
        "input 'bytes': 2 bytes are left over after its 2 elements",
        id="binary-bytes-left-over",
    ),
    pytest.param(
        (infer(b"12345", b"Inference-Header-Content-Length: 0"),),
        400,
        "input 'fp32': has 5 bytes of binary data, shape [-1, -1] needs a multiple of 4",
        id="raw-of-a-wrong-size",
    ),
    pytest.param(
        (infer(b"12345678", b"Inference-Header-Content-Length: 0", path=TWO),),
        400,
        "model 'two' has 2 inputs, a raw request is for models with one",
        id="raw-for-two-inputs",
    ),
]


@pytest.mark.parametrize(("pieces", "status", "message"), [*SHAPES, *DATA, *BINARY_DATA])
def test_a_fault_is_named_and_harms_nobody(
    sturdy: Served, pieces: tuple[bytes, ...], status: int, message: str
) -> None:
    """The caller reads in one sentence what was wrong, and the server is as well as before."""
    answer = sturdy.ask(*pieces)
    assert (answer.status, answer.error) == (status, message)
    assert answer.headers["content-type"] == "application/json"
    assert sturdy.ask(plain(b"GET", b"/v2/health/live")).body == b'{"live":true}'
