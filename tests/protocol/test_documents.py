from __future__ import annotations

import json
import re

import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.documents import (
    decode_error,
    decode_model_metadata,
    encode_error,
    encode_model_metadata,
    encode_server_metadata,
)
from tidegate.protocol.errors import ExecutionFailed, InvalidRequest, InvalidResponse
from tidegate.protocol.messages import ModelMetadata, ServerMetadata, TensorSpec

MODEL = ModelMetadata(
    name="m",
    platform="onnx_onnxv1",
    inputs=(TensorSpec("x", Datatype.FP32, (-1, 4)),),
    outputs=(TensorSpec("y", Datatype.BYTES, ()),),
    versions=("1", "2"),
    properties={"a": "b"},
)


def test_server_metadata() -> None:
    """The server's metadata has the three members of the protocol."""
    document = json.loads(encode_server_metadata(ServerMetadata("tidegate", "0.1.0", ("binary_tensor_data",))))
    assert document == {"name": "tidegate", "version": "0.1.0", "extensions": ["binary_tensor_data"]}


def test_model_metadata() -> None:
    """A model's metadata has the members of the protocol, and not what is ours alone."""
    spec = TensorSpec("x", Datatype.FP32, (-1, 4), accepts=(Datatype.FP64,))
    document = json.loads(encode_model_metadata(ModelMetadata("m", "p", (spec,), (), max_batch_size=3)))
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    assert document == {"name": "m", "versions": [], "platform": "p", "inputs": [x], "outputs": []}


def test_model_metadata_round_trip() -> None:
    """What is written reads back equal."""
    assert decode_model_metadata(encode_model_metadata(MODEL)) == MODEL


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"name":"m","platform":"p"}', id="least"),
        pytest.param(b'{"name":"m","platform":"p","inputs":null,"versions":null,"parameters":{"x":1}}', id="nulls"),
    ],
)
def test_metadata_of_other_servers(text: bytes) -> None:
    """The description requires only name and platform; further members are skipped."""
    assert decode_model_metadata(text) == ModelMetadata("m", "p", (), ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(b"<html>", "the metadata is not valid JSON: invalid character (byte 0)", id="a-page"),
        pytest.param(b"{}", "the metadata: missing member 'name'", id="no-name"),
        pytest.param(
            b'{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":["1"]}]}',
            "inputs[0].shape[0]: expected an integer, got a string",
            id="shape",
        ),
    ],
)
def test_metadata_that_is_none(text: bytes, problem: str) -> None:
    """Another server's fault is not the caller's: 502, with the place."""
    with pytest.raises(InvalidResponse, match=f"^{re.escape(f'the server{chr(39)}s answer is not valid: {problem}')}$"):
        decode_model_metadata(text)


def test_error_round_trip() -> None:
    """An error is one member, and reads back."""
    text = encode_error(InvalidRequest('no "such" thing'))
    assert json.loads(text) == {"error": 'no "such" thing'}
    assert decode_error(text) == 'no "such" thing'


def test_an_error_that_is_not_utf8_is_escaped() -> None:
    """Half a surrogate pair in a framework's message does not break the answer."""
    assert json.loads(encode_error(ExecutionFailed("bad \ud800"))) == {"error": "bad \\ud800"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b'{"detail":"Not Found"}', "Not Found", id="fastapi"),
        pytest.param(b'{"detail":[{"loc":["a"],"msg":"b"}]}', '[{"loc":["a"],"msg":"b"}]', id="fastapi-list"),
        pytest.param(b'{"error":"a\\nb"}', "a\\nb", id="lines"),
        pytest.param(b'{"error":{"message":"x"}}', '{"message":"x"}', id="object"),
        pytest.param(b'{"error":"' + b"x" * 2000 + b'"}', "x" * 1023 + "…", id="long"),
    ],
)
def test_errors_of_other_servers(text: bytes, expected: str) -> None:
    """What other servers say is shown on one line, and cut."""
    assert decode_error(text) == expected


@pytest.mark.parametrize("text", [b"", b"<html>", b"{}", b"[]", b'{"error":null}', b'{"error":"\xff"}', b"[" * 100_000])
def test_what_is_no_error_is_refused(text: bytes) -> None:
    """A proxy's page is told from a server's error."""
    with pytest.raises(InvalidResponse):
        decode_error(text)
