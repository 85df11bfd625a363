"""The small gRPC messages: readiness, metadata and the two dialects of the model repository."""

from __future__ import annotations

from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.generated import open_inference as pb
from tidegate.protocol.grpc import (
    check_empty_request,
    decode_model_metadata,
    decode_model_ready,
    decode_model_request,
    decode_repository_request,
    decode_server_live,
    decode_server_metadata,
    decode_server_ready,
    encode_model_metadata,
    encode_model_ready,
    encode_model_request,
    encode_repository_response,
    encode_server_live,
    encode_server_metadata,
    encode_server_ready,
)
from tidegate.protocol.messages import ModelMetadata, ServerMetadata, TensorSpec
from tidegate.protocol.repository import RepositoryRequest

METADATA = ModelMetadata(
    "iris",
    "sklearn_joblib",
    (TensorSpec("x", Datatype.FP32, (-1, 4)),),
    (TensorSpec("y", Datatype.INT64, (-1,)),),
    ("1", "2"),
    {"k": "v"},
)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    ("encode", "decode", "theirs", "field"),
    [
        (encode_server_live, decode_server_live, service_pb2.ServerLiveResponse, "live"),
        (encode_server_ready, decode_server_ready, service_pb2.ServerReadyResponse, "ready"),
        (encode_model_ready, decode_model_ready, service_pb2.ModelReadyResponse, "ready"),
    ],
    ids=["server live", "server ready", "model ready"],
)
def test_a_state_survives(value: bool, encode: Any, decode: Any, theirs: Any, field: str) -> None:
    """True and false are read back by us and by tritonclient."""
    data = encode(value)
    assert decode(data) is value
    assert getattr(theirs.FromString(data), field) is value


def test_server_metadata_survives() -> None:
    """Name, version and extensions come back, to tritonclient as well."""
    metadata = ServerMetadata("tidegate", "0.1.0", ("binary_tensor_data", "parameters"))
    data = encode_server_metadata(metadata)
    assert decode_server_metadata(data) == metadata
    assert list(service_pb2.ServerMetadataResponse.FromString(data).extensions) == ["binary_tensor_data", "parameters"]


def test_model_metadata_survives() -> None:
    """The signature comes back with its versions, properties and variable sizes."""
    data = encode_model_metadata(METADATA)
    assert decode_model_metadata(data) == METADATA
    theirs = service_pb2.ModelMetadataResponse.FromString(data)
    assert (theirs.inputs[0].datatype, list(theirs.inputs[0].shape)) == ("FP32", [-1, 4])


def test_metadata_of_an_unknown_datatype_is_refused() -> None:
    """A foreign server's signature that we cannot express is told, not guessed."""
    message = pb.ModelMetadataResponse(name="m")
    message.inputs.add(name="x", datatype="FP8")
    with pytest.raises(InvalidRequest, match=r"^tensor 'x' has the unknown datatype 'FP8'$"):
        decode_model_metadata(message.SerializeToString())


@pytest.mark.parametrize("theirs", [service_pb2.ModelReadyRequest, service_pb2.ModelMetadataRequest])
def test_a_model_request_is_name_and_version(theirs: Any) -> None:
    """ModelReady and ModelMetadata are asked in the same form."""
    assert decode_model_request(theirs(name="iris", version="2").SerializeToString()) == ("iris", "2")
    assert decode_model_request(encode_model_request("iris")) == ("iris", "")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", "name is empty; expected the name of a model", id="empty"),
        pytest.param(
            b"\x0a\x01\xff",
            "the message is not a valid ModelReadyRequest: broken protobuf, or a text that is not UTF-8",
            id="not UTF-8",
        ),
    ],
)
def test_a_model_request_without_a_model_is_refused(data: bytes, text: str) -> None:
    """The sentence says what is missing or broken."""
    with pytest.raises(InvalidRequest) as caught:
        decode_model_request(data)
    assert caught.value.message == text


def test_an_empty_request_may_hold_unknown_fields_but_no_garbage() -> None:
    """A newer client may say more than we know; broken bytes are refused all the same."""
    check_empty_request(b"")
    check_empty_request(b"\x0a\x01x")
    with pytest.raises(InvalidRequest, match=r"^the message is not a valid ServerLiveRequest: broken protobuf"):
        check_empty_request(b"\xff")


def test_triton_names_the_model_in_field_2() -> None:
    """Its parameters, the model's files among them, come along."""
    message = service_pb2.RepositoryModelLoadRequest(repository_name="r", model_name="iris")
    message.parameters["config"].string_param = "{}"
    message.parameters["file:1/model.onnx"].bytes_param = b"\x00"
    assert decode_repository_request(message.SerializeToString()) == RepositoryRequest(
        "iris", {"config": "{}", "file:1/model.onnx": b"\x00"}
    )


def test_kserve_names_the_model_in_field_1() -> None:
    """Its message has no other field, so that field 1 alone is the model and not a repository."""
    assert decode_repository_request(b"\x0a\x04iris") == RepositoryRequest("iris")


def test_the_repository_answer_suits_both() -> None:
    """KServe's clients read name and success; Triton's message has no fields and skips ours."""
    data = encode_repository_response("iris")
    assert data == b"\x0a\x04iris\x10\x01"
    service_pb2.RepositoryModelLoadResponse.FromString(data)
    assert pb.RepositoryModelUnloadResponse.FromString(data).is_unloaded


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", "model_name is empty; expected the name of a model", id="empty"),
        pytest.param(b"\x12\x01m\x1a\x05\x0a\x01p\x12\x00", "parameter 'p' has no value", id="unset parameter"),
    ],
)
def test_a_bad_repository_request_is_refused(data: bytes, text: str) -> None:
    """The sentence says what is missing."""
    with pytest.raises(InvalidRequest) as caught:
        decode_repository_request(data)
    assert caught.value.message == text
