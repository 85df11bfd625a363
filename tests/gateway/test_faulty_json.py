"""JSON that is none, or lacks what a request needs: the exact answer to each, and a server that goes on."""

from __future__ import annotations

import pytest

from tidegate.testing.requests import BODY, TENSOR, infer, plain, tensor
from tidegate.testing.served import Served

TWO = b"/v2/models/two/infer"

JSON_FAULTS = [
    pytest.param((infer(b""),), 400, "the body is empty, expected JSON", id="json-empty"),
    pytest.param(
        (infer(b"   "),),
        400,
        "the body is not valid JSON: it ends too early, or a string holds half a surrogate pair",
        id="json-blank",
    ),
    pytest.param(
        (infer(b'{"inputs":['),),
        400,
        "the body is not valid JSON: it ends too early, or a string holds half a surrogate pair",
        id="json-truncated",
    ),
    pytest.param(
        (infer(BODY + b"x"),), 400, "the body is not valid JSON: trailing characters (byte 74)", id="json-trailing"
    ),
    pytest.param((infer(b"[]"),), 400, "the body: expected an object, got an array", id="json-array"),
    pytest.param((infer(b'"x"'),), 400, "the body: expected an object, got a string", id="json-string"),
    pytest.param((infer(b"null"),), 400, "the body: expected an object, got null", id="json-null"),
    pytest.param(
        (infer(b'{"id":"\xff"}'),), 400, "the body is not valid UTF-8: invalid start byte", id="json-no-utf-8"
    ),
    pytest.param(
        (infer(b'{"inputs":\x00[]}'),),
        400,
        "the body is not valid JSON: invalid character (byte 10)",
        id="json-nul-byte",
    ),
    pytest.param(
        (infer(b"{'inputs':[]}"),),
        400,
        "the body is not valid JSON: object keys must be strings (byte 1)",
        id="json-single-quotes",
    ),
    pytest.param(
        (infer(b'{/* */"inputs":[]}'),),
        400,
        "the body is not valid JSON: object keys must be strings (byte 1)",
        id="json-comment",
    ),
    pytest.param(
        (infer(b"\xef\xbb\xbf" + BODY),), 400, "the body is not valid JSON: invalid character (byte 0)", id="json-bom"
    ),
    pytest.param((infer(b"[" * 100000),), 400, "the body: expected an object, got an array", id="json-deep"),
    pytest.param(
        (infer(tensor(data=b"[" * 100000 + b"]" * 100000)),), 400, "the body nests too deeply", id="json-deep-data"
    ),
    pytest.param(
        (infer(b'{"id":"\\ud800","inputs":[]}'),),
        400,
        "the body is not valid JSON: unexpected end of escaped utf-16 surrogate pair (byte 13)",
        id="json-half-surrogate",
    ),
    pytest.param(
        (infer(b"inputs=1&x=2"),), 400, "the body is not valid JSON: invalid character (byte 0)", id="json-form-instead"
    ),
]

MEMBERS = [
    pytest.param((infer(b"{}"),), 400, "the body: missing member 'inputs'", id="inputs-missing"),
    pytest.param((infer(b'{"inputs":null}'),), 400, "inputs: expected an array, got null", id="inputs-null"),
    pytest.param((infer(b'{"inputs":{}}'),), 400, "inputs: expected an array, got an object", id="inputs-object"),
    pytest.param(
        (infer(b'{"inputs":[]}'),),
        400,
        "model 'm' needs input 'fp32', which the request does not have",
        id="inputs-empty",
    ),
    pytest.param(
        (infer(b'{"inputs":[1]}'),), 400, "inputs[0]: expected an object, got an integer", id="inputs-of-numbers"
    ),
    pytest.param(
        (infer(b'{"id":7,"inputs":[%s]}' % TENSOR),),
        400,
        "id: expected a string or null, got an integer",
        id="id-number",
    ),
    pytest.param(
        (infer(b'{"id":"%s","inputs":[%s]}' % (b"x" * 1025, TENSOR)),),
        400,
        (
            "id: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' has 1025 bytes, at most 1024 "
            "are allowed"
        ),
        id="id-too-long",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s],"outputs":{}}' % TENSOR),),
        400,
        "outputs: expected an array or null, got an object",
        id="outputs-object",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s],"outputs":[{"name":"nope"}]}' % TENSOR),),
        400,
        "model 'm' has no output 'nope'; expected 'fp32'",
        id="outputs-unknown",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s],"outputs":[{"name":"fp32"},{"name":"fp32"}]}' % TENSOR),),
        400,
        "outputs: the name 'fp32' is used twice",
        id="outputs-twice",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s],"outputs":[{}]}' % TENSOR),),
        400,
        "outputs[0]: missing member 'name'",
        id="outputs-no-name",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s]}' % b",".join([TENSOR] * 1025)),),
        400,
        "inputs: has 1025 entries, at most 1024 are allowed",
        id="inputs-too-many",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s],"outputs":[%s]}' % (TENSOR, b",".join([b'{"name":"a"}'] * 1025))),),
        400,
        "outputs: has 1025 entries, at most 1024 are allowed",
        id="outputs-too-many",
    ),
]

NAMES = [
    pytest.param(
        (infer(b'{"inputs":[{"datatype":"FP32","shape":[1,2],"data":[1,2]}]}'),),
        400,
        "inputs[0]: missing member 'name'",
        id="name-missing",
    ),
    pytest.param(
        (infer(tensor(name=b"1")),), 400, "inputs[0].name: expected a string, got an integer", id="name-number"
    ),
    pytest.param(
        (infer(tensor(name=b'"nope"')),), 400, "model 'm' has no input 'nope'; expected 'fp32'", id="name-unknown"
    ),
    pytest.param((infer(tensor(name=b'""')),), 400, "inputs[0].name: is empty", id="name-empty"),
    pytest.param(
        (infer(b'{"inputs":[%s,%s]}' % (TENSOR, TENSOR)),),
        400,
        "inputs: the name 'fp32' is used twice",
        id="name-twice",
    ),
    pytest.param(
        (infer(tensor(name=b'"%s"' % (b"x" * 1025))),),
        400,
        (
            "inputs: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' has 1025 bytes, at most "
            "1024 are allowed"
        ),
        id="name-too-long",
    ),
    pytest.param(
        (infer(tensor(name=b'"a\\nb\\u0000"')),),
        400,
        "model 'm' has no input 'a\\nb\\x00'; expected 'fp32'",
        id="name-control-characters",
    ),
    pytest.param(
        (infer(BODY, path=TWO),),
        400,
        "model 'two' needs input 'int8', which the request does not have",
        id="input-missing",
    ),
]

DATATYPES = [
    pytest.param(
        (infer(b'{"inputs":[{"name":"fp32","shape":[1,2],"data":[1,2]}]}'),),
        400,
        "inputs[0]: missing member 'datatype'",
        id="datatype-missing",
    ),
    pytest.param(
        (infer(tensor(datatype=b'"FLOAT"')),),
        400,
        (
            "inputs[0].datatype: expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, "
            "FP16, BF16, FP32, FP64, BYTES, got 'FLOAT'"
        ),
        id="datatype-unknown",
    ),
    pytest.param(
        (infer(tensor(datatype=b'"fp32"')),),
        400,
        (
            "inputs[0].datatype: expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, "
            "FP16, BF16, FP32, FP64, BYTES, got 'fp32'"
        ),
        id="datatype-lower-case",
    ),
    pytest.param(
        (infer(tensor(datatype=b"32")),),
        400,
        "inputs[0].datatype: expected a string, got an integer",
        id="datatype-number",
    ),
    pytest.param(
        (infer(tensor(datatype=b"null")),), 400, "inputs[0].datatype: expected a string, got null", id="datatype-null"
    ),
    pytest.param(
        (infer(tensor(datatype=b'"INT64"')),),
        400,
        "input 'fp32': datatype is INT64, the model expects FP32",
        id="datatype-other-than-the-models",
    ),
    pytest.param(
        (infer(tensor(datatype=b'"FP16"')),),
        400,
        "input 'fp32': FP16 has no JSON form; send it as binary data (parameters.binary_data_size)",
        id="datatype-fp16-as-json",
    ),
    pytest.param(
        (infer(tensor(datatype=b'"BF16"')),),
        400,
        "input 'fp32': BF16 has no JSON form; send it as binary data (parameters.binary_data_size)",
        id="datatype-bf16-as-json",
    ),
]

PARAMETERS = [
    pytest.param(
        (infer(b'{"parameters":[],"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: expected an object or null, got an array",
        id="parameters-array",
    ),
    pytest.param(
        (infer(b'{"parameters":{"a":{}},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters['a']: expected true or false, a number or a string, got an object",
        id="parameters-nested",
    ),
    pytest.param(
        (infer(b'{"parameters":{"a":null},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters['a']: expected true or false, a number or a string, got null",
        id="parameters-null-value",
    ),
    pytest.param(
        (infer(b'{"parameters":{%s},"inputs":[%s]}' % (b",".join(b'"%d":1' % n for n in range(257)), TENSOR)),),
        400,
        "parameters: has 257 entries, at most 256 are allowed",
        id="parameters-too-many",
    ),
    pytest.param(
        (infer(b'{"parameters":{"a":18446744073709551616},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: 'a' is 18446744073709551616, which does not fit 64 bits",
        id="parameters-integer-beyond-64-bits",
    ),
    pytest.param(
        (infer(tensor(parameters=b"7")),),
        400,
        "inputs[0].parameters: expected an object or null, got an integer",
        id="parameters-of-an-input",
    ),
    pytest.param(
        (infer(b'{"parameters":{"timeout":-1},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: 'timeout' is -1, expected a whole number of microseconds",
        id="timeout-negative",
    ),
    pytest.param(
        (infer(b'{"parameters":{"timeout":1.5},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: 'timeout' is 1.5, expected a whole number of microseconds",
        id="timeout-fraction",
    ),
    pytest.param(
        (infer(b'{"parameters":{"timeout":"1s"},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: 'timeout' is \"1s\", expected a whole number of microseconds",
        id="timeout-string",
    ),
    pytest.param(
        (infer(b'{"parameters":{"timeout":true},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: 'timeout' is true, expected a whole number of microseconds",
        id="timeout-boolean",
    ),
    pytest.param(
        (infer(b'{"parameters":{"binary_data_output":1},"inputs":[%s]}' % TENSOR),),
        400,
        "parameters: 'binary_data_output' is 1, expected true or false",
        id="binary-output-wish-no-boolean",
    ),
    pytest.param(
        (infer(b'{"inputs":[%s],"outputs":[{"name":"fp32","parameters":{"binary_data":"x"}}]}' % TENSOR),),
        400,
        "outputs[0].parameters: 'binary_data' is x, expected true or false",
        id="binary-wish-no-boolean",
    ),
]


@pytest.mark.parametrize(("pieces", "status", "message"), [*JSON_FAULTS, *MEMBERS, *NAMES, *DATATYPES, *PARAMETERS])
def test_a_fault_is_named_and_harms_nobody(
    sturdy: Served, pieces: tuple[bytes, ...], status: int, message: str
) -> None:
    """The caller reads in one sentence what was wrong, and the server is as well as before."""
    answer = sturdy.ask(*pieces)
    assert (answer.status, answer.error) == (status, message)
    assert answer.headers["content-type"] == "application/json"
    assert sturdy.ask(plain(b"GET", b"/v2/health/live")).body == b'{"live":true}'
