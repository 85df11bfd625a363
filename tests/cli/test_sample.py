"""The lines that a starting server offers to try."""

from __future__ import annotations

import json
import shlex

import pytest

from tidegate.cli.inputs import typed_inputs
from tidegate.cli.sample import curl_line, infer_line
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec


def model(*specs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", "t_t", specs, ())


EVERY = model(
    *(TensorSpec(kind.value.lower(), kind, (-1, 2)) for kind in Datatype if not kind.raw_only),
    TensorSpec("o'clock", Datatype.BYTES, (-1,)),
)


def test_the_curl_line_is_a_request_that_fits_the_model() -> None:
    """The shell gives curl a JSON document with one row for every input."""
    line = curl_line("127.0.0.1:8080", "m", EVERY)
    assert line is not None
    command, url, flag, body = shlex.split(line)
    assert (command, url, flag) == ("curl", "http://127.0.0.1:8080/v2/models/m/infer", "-d")
    inputs = json.loads(body)["inputs"]
    assert [(i["name"], i["datatype"]) for i in inputs] == [(s.name, s.datatype.value) for s in EVERY.inputs]
    assert all(i["shape"] in ([1, 2], [1]) and len(i["data"]) == i["shape"][-1] for i in inputs)


def test_the_infer_line_can_be_read_by_infer() -> None:
    """What it types is understood by the reader of typed inputs."""
    words = shlex.split(infer_line("127.0.0.1:8080", "m", EVERY))
    assert words[:3] == ["tidegate", "infer", "m"]
    tensors = typed_inputs(words[4::2], EVERY)
    assert [(t.name, t.datatype) for t in tensors] == [(s.name, s.datatype) for s in EVERY.inputs]
    assert {t.shape for t in tensors} == {(1, 2), (1,)}


def test_another_port_is_named() -> None:
    """Only the default needs no --url."""
    line = infer_line("127.0.0.1:9", "m", model(TensorSpec("x", Datatype.FP32, (-1, 2))))
    assert line == "tidegate infer m --input x=0.5,0.5 --url http://127.0.0.1:9"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(TensorSpec("x", Datatype.FP32, (-1, 3, 224, 224)), id="an-image"),
        pytest.param(TensorSpec("x", Datatype.FP16, (-1, 2)), id="no-json-form"),
    ],
)
def test_what_cannot_be_typed_has_no_curl_line(spec: TensorSpec) -> None:
    """A line of 150,000 numbers would help nobody, and FP16 cannot be written in JSON."""
    assert curl_line("127.0.0.1:8080", "m", model(spec)) is None


def test_large_inputs_come_from_a_file() -> None:
    """The infer line shows where it goes."""
    line = infer_line("127.0.0.1:8080", "m", model(TensorSpec("image", Datatype.FP32, (-1, 3, 224, 224))))
    assert line == "tidegate infer m --input image=@FILE.npy"
