from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.protocol import rest
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, PayloadTooLarge
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec

MODEL = ModelMetadata("m", "fake_test", (TensorSpec("x", Datatype.UINT8, (-1, -1)),), ())
X = '{"name":"x","shape":[1],"datatype":"INT8","data":[1]}'


def decode(body: str | bytes, length: int | None = None, limits: Limits = DEFAULT_LIMITS) -> InferRequest:
    data = body.encode() if isinstance(body, str) else body
    return rest.decode_request(data, length, model="m", version="3", limits=limits, metadata=MODEL)


def with_tail(head: str, tail: bytes) -> tuple[bytes, int]:
    return head.encode() + tail, len(head.encode())


def parameters(text: str) -> str:
    return '{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"parameters":' + text + "}]}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param("", "the body is empty, expected JSON", id="empty"),
        pytest.param("[]", "the body: expected an object, got an array", id="array"),
        pytest.param("{}", "the body: missing member 'inputs'", id="no-inputs"),
        pytest.param('{"inputs":{}}', "inputs: expected an array, got an object", id="inputs-object"),
        pytest.param('{"inputs":[]} x', "the body is not valid JSON: trailing characters (byte 15)", id="trailing"),
        pytest.param('{"inputs":[tru]}', "the body is not valid JSON: invalid character (byte 15)", id="malformed"),
        pytest.param(
            '{"inputs":[', "the body is not valid JSON: it ends too early, or a string holds half a surrogate pair",
            id="cut",
        ),
        pytest.param(
            '{"inputs":[],"id":"\\udc00"}', "the body is not valid JSON: invalid utf-16 surrogate pair (byte 25)",
            id="surrogate",
        ),
        pytest.param(
            '{"a":[NaN,}', "the body is not valid JSON, even with NaN and Infinity allowed", id="nan-and-worse"
        ),
        pytest.param('{"inputs":[],"id":5}', "id: expected a string or null, got an integer", id="id"),
        pytest.param(
            '{"inputs":[],"id":"' + "x" * 1025 + '"}',
            "id: '" + "x" * 63 + "…' has 1025 bytes, at most 1024 are allowed", id="long-id",
        ),
        pytest.param('{"inputs":[{"shape":[]}]}', "inputs[0]: missing member 'name'", id="no-name"),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[1,"a"],"datatype":"INT8"}]}',
            "inputs[0].shape[1]: expected an integer, got a string", id="shape-string",
        ),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[1.5],"datatype":"INT8"}]}',
            "inputs[0].shape[0]: expected an integer, got a decimal number", id="shape-decimal",
        ),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[-1],"datatype":"INT8","data":[]}]}',
            "input 'x': shape[0] is -1, expected an integer >= 0", id="shape-negative",
        ),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[2147483648,2147483648],"datatype":"INT8","data":[]}]}',
            "input 'x': shape [2147483648, 2147483648] has more than 67108864 elements of INT8", id="shape-huge",
        ),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[1],"datatype":"FP8","data":[]}]}',
            "inputs[0].datatype: expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, "
            "FP16, BF16, FP32, FP64, BYTES, got 'FP8'", id="datatype",
        ),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[1],"datatype":"INT8"}]}',
            "input 'x': has neither data nor parameters.binary_data_size", id="no-data",
        ),
        pytest.param(
            '{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","parameters":{"shared_memory_region":"r"}}]}',
            "input 'x': shared memory is not supported; send the data itself", id="shared-memory",
        ),
        pytest.param('{"inputs":[' + X.replace('"x"', '""') + "]}", "inputs[0].name: is empty", id="empty-name"),
        pytest.param(f'{{"inputs":[{X},{X}]}}', "inputs: the name 'x' is used twice", id="twice"),
        pytest.param(
            '{"inputs":[' + X.replace('"x"', '"' + "é" * 513 + '"') + "]}",
            "inputs: '" + "é" * 63 + "…' has 1026 bytes, at most 1024 are allowed", id="long-name",
        ),
        pytest.param(
            '{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}', "outputs: the name 'y' is used twice",
            id="output-twice",
        ),
        pytest.param('{"inputs":[],"outputs":[{"name":""}]}', "outputs[0].name: is empty", id="output-unnamed"),
        pytest.param(
            parameters('{"ok":1,"a":null}'),
            "inputs[0].parameters['a']: expected true or false, a number or a string, got null", id="null-parameter",
        ),
        pytest.param(
            '{"inputs":[],"parameters":{"a":{"b":1}}}',
            "parameters['a']: expected true or false, a number or a string, got an object", id="nested-parameter",
        ),
        pytest.param(
            '{"inputs":[],"outputs":[{"name":"y","parameters":{"l":[]}}]}',
            "outputs[0].parameters['l']: expected true or false, a number or a string, got an array",
            id="list-parameter",
        ),
        pytest.param(
            parameters('{"a":18446744073709551616}'),
            "inputs[0].parameters: 'a' is 18446744073709551616, which does not fit 64 bits", id="endless-parameter",
        ),
        pytest.param(
            parameters('{"binary_data_size":"4"}'),
            "inputs[0].parameters: 'binary_data_size' is 4, expected an integer >= 0", id="size-string",
        ),
        pytest.param(
            parameters('{"binary_data_size":-4}'),
            "inputs[0].parameters: 'binary_data_size' is -4, expected an integer >= 0", id="size-negative",
        ),
        pytest.param(
            parameters('{"binary_data_size":true}'),
            "inputs[0].parameters: 'binary_data_size' is True, expected an integer >= 0", id="size-bool",
        ),
        pytest.param(
            parameters('{"binary_data_size":0}'),
            "input 'x': has both data and parameters.binary_data_size", id="data-and-size",
        ),
        pytest.param(
            '{"inputs":[],"parameters":{"binary_data_output":1}}',
            "parameters: 'binary_data_output' is 1, expected true or false", id="wish-for-all",
        ),
        pytest.param(
            '{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":"yes"}}]}',
            "outputs[0].parameters: 'binary_data' is yes, expected true or false", id="wish",
        ),
    ],
)  # fmt: skip
def test_refuses(body: str, message: str) -> None:
    """Every complaint is one sentence that begins with the place."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        decode(body)


def test_text_must_be_utf8() -> None:
    """A byte that is no UTF-8 is refused."""
    with pytest.raises(InvalidRequest, match=r"^the body is not valid UTF-8: invalid start byte$"):
        decode(b'{"inputs":[],"id":"\xff"}')


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 200_000, id="lists"),
        pytest.param(b'{"a":' * 200_000, id="objects"),
        pytest.param(b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":' + b"[" * 200_000, id="data"),
        pytest.param(b'{"inputs":[],"parameters":{"a":' + b"[" * 200_000, id="parameters"),
    ],
)
def test_deep_nesting_is_refused(body: bytes) -> None:
    """200,000 brackets cost nothing and end nothing."""
    with pytest.raises(InvalidRequest):
        decode(body)


def test_deep_nesting_says_so() -> None:
    """Nesting that the type does not stop is stopped by its depth."""
    with pytest.raises(InvalidRequest, match=r"^the body nests too deeply$"):
        decode(b'{"a":' + b"[" * 200_000)


SIZED = '{"inputs":[{"name":"x","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":%d}}]}'


@pytest.mark.parametrize(
    ("size", "tail", "message"),
    [
        pytest.param(4, b"abc", "binary_data_size of the inputs adds up to 4 bytes, 3 bytes follow", id="short"),
        pytest.param(4, b"abcde", "binary_data_size of the inputs adds up to 4 bytes, 5 bytes follow", id="long"),
        pytest.param(1 << 62, b"abcd", f"binary_data_size of the inputs adds up to {1 << 62} bytes", id="huge"),
        pytest.param(6, b"abcdef", "input 'x': has 6 bytes of binary data, its 2 elements of INT16 are 4", id="shape"),
    ],
)  # fmt: skip
def test_sizes_add_up(size: int, tail: bytes, message: str) -> None:
    """The tail is exactly the binary inputs, and each is exactly its elements."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}"):
        decode(*with_tail(SIZED % size, tail))


def test_a_missing_length_header_is_hinted_at() -> None:
    """A binary request whose JSON is the whole body names the header that was lost."""
    with pytest.raises(InvalidRequest, match=r"0 bytes follow the JSON \(whose length the header Inference-Header-Co"):
        decode(SIZED % 4)


@pytest.mark.parametrize("length", [pytest.param(-1, id="negative"), pytest.param(99, id="beyond")])
def test_the_json_length_lies_in_the_body(length: int) -> None:
    """A header that points out of the body is refused with both numbers."""
    expected = f"^Inference-Header-Content-Length is {length}, expected 0 to 13, the size of the body$"
    with pytest.raises(InvalidRequest, match=expected):
        decode('{"inputs":[]}', length)


@pytest.mark.parametrize(
    ("limits", "body", "message"),
    [
        pytest.param(Limits(max_tensors=1), f'{{"inputs":[{X},{X}]}}', "inputs: has 2 entries, at most 1 are allowed",
                     id="inputs"),
        pytest.param(Limits(max_tensors=1), '{"inputs":[],"outputs":[{"name":"a"},{"name":"b"}]}',
                     "outputs: has 2 entries, at most 1 are allowed", id="outputs"),
        pytest.param(Limits(max_parameters=1), parameters('{"a":1,"b":2}'),
                     "inputs[0].parameters: has 2 entries, at most 1 are allowed", id="parameters"),
        pytest.param(Limits(max_name_bytes=3), parameters('{"abcd":1}'),
                     "inputs[0].parameters: 'abcd' has 4 bytes, at most 3 are allowed", id="parameter-name"),
    ],
)  # fmt: skip
def test_limits(limits: Limits, body: str, message: str) -> None:
    """Every bound is a setting, and the message tells it."""
    with pytest.raises(InvalidRequest, match=f"^{re.escape(message)}$"):
        decode(body, limits=limits)


def test_the_json_has_a_limit_of_its_own() -> None:
    """JSON above its limit is 413, without being read."""
    with pytest.raises(PayloadTooLarge, match=r"^the JSON has 13 bytes, at most 12 are allowed$"):
        decode("x" * 13, limits=Limits(max_json_bytes=12))


SEEDS = [
    (f'{{"id":"1","inputs":[{X}],"outputs":[{{"name":"y","parameters":{{"binary_data":true}}}}]}}'.encode(), None),
    with_tail(SIZED % 4, b"abcd"),
    (b'{"inputs":[{"name":"t","shape":[2,1],"datatype":"BYTES","data":[["a"],["\\u00e9"]]}]}', None),
    (b'{"inputs":[{"name":"f","shape":[2],"datatype":"FP32","data":[NaN,1e3]}],"parameters":{"a":1}}', None),
    (b"\0\1\2", 0),
]


@settings(derandomize=True, deadline=None, max_examples=1500)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=6), st.data())
def test_mutated_bodies_raise_only_ours(
    seed: tuple[bytes, int | None], edits: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """A valid body with bytes replaced is a request whose tensors are whole, or a 4xx; as a response, a 502."""
    body = bytearray(seed[0])
    for position, new in edits:
        body[position : position + 1] = new
    length = data.draw(st.sampled_from([seed[1], None, 0, len(body), 10]))
    try:
        request = decode(bytes(body), length)
    except InvalidRequest:
        pass
    else:
        assert all(tensor.numpy().shape == tensor.shape for tensor in request.inputs)
    answer = bytes(body).replace(b'"inputs"', b'"outputs"', 1)
    try:
        response = rest.decode_response(answer, length and length + 1, limits=DEFAULT_LIMITS)
    except InvalidResponse:
        return
    assert all(tensor.numpy().shape == tensor.shape for tensor in response.outputs)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=100), st.none() | st.integers(-2, 110))
def test_arbitrary_bytes_raise_only_ours(body: bytes, length: int | None) -> None:
    """Bytes of no kind at all are a 4xx, or a raw tensor."""
    try:
        decode(body, length)
    except InvalidRequest:
        pass
    else:
        assert length == 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(b"<html>", "the body is not valid JSON: invalid character (byte 0)", id="a-page"),
        pytest.param(b"{}", "the body: missing member 'outputs'", id="no-outputs"),
        pytest.param(
            b'{"outputs":[{"name":"y","shape":[2],"datatype":"INT8","data":[1]}]}',
            "output 'y': data has 1 elements, its shape [2] has 2", id="too-few",
        ),
        pytest.param(
            b'{"outputs":[{"name":"y","shape":[1099511627776],"datatype":"INT8","data":[1]}]}',
            "output 'y': shape [1099511627776] has more than 67108864 elements of INT8", id="too-large",
        ),
        pytest.param(
            b'{"outputs":[{"name":"y","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1}}]}',
            "binary_data_size of the outputs adds up to 1 bytes, 0 bytes follow the JSON "
            "(whose length the header Inference-Header-Content-Length tells)", id="no-tail",
        ),
    ],
)  # fmt: skip
def test_a_server_that_breaks_the_protocol(body: bytes, problem: str) -> None:
    """A server's fault is 502, in words about outputs."""
    with pytest.raises(InvalidResponse, match="^" + re.escape(f"the server's answer is not valid: {problem}") + "$"):
        rest.decode_response(body, None, limits=DEFAULT_LIMITS)
