"""A graph that carries a state: hidden from its callers, kept by sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.onnx import RUNTIME
from tidegate.runtimes.runtime import Artifact, Model

pytestmark = pytest.mark.framework

SILERO = "silero-vad==6.2.3"  # MIT; only its model is used


def running_sum(path: Path, state: int = TensorProto.FLOAT, next: str = "sum:0") -> Path:
    """y = x + sum, which is the next sum as well, and the sign of x."""
    names = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y", "sign")]
    nodes = [
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "float"], ["y"]),
        helper.make_node("Identity", ["y"], [next]),
        helper.make_node("Sign", ["x"], ["sign"]),
    ]
    graph = helper.make_graph(
        nodes,
        "made",
        [names[0], helper.make_tensor_value_info("sum", state, ["n"])],
        [*names[1:], helper.make_tensor_value_info(next, TensorProto.FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def load(path: Path, **options: str) -> Model:
    return RUNTIME.load(Artifact("m", "1", path, options=options))


def step(model: Model, sequence: int, value: float, *outputs: str, **flags: bool) -> float:
    parameters = {"sequence_id": sequence, **{f"sequence_{name}": flag for name, flag in flags.items()}}
    answers = model.predict({"x": np.array([value], np.float32)}, outputs, parameters)
    assert "sum:0" not in answers
    return float(answers["y" if not outputs else outputs[0]][0])


def test_a_state_is_kept_by_sequence_and_shown_to_nobody(tmp_path: Path) -> None:
    """It begins with zeros, goes from step to step, and ends with its sequence; colons in names are no matter."""
    model = load(running_sum(tmp_path / "m.onnx"), state="sum:sum:0")
    assert model.metadata.inputs == (TensorSpec("x", Datatype.FP32, (-1,)),)
    assert [spec.name for spec in model.metadata.outputs] == ["y", "sign"]
    assert (model.metadata.stateful, model.metadata.batch_dimension) == (True, False)
    assert "omitted_outputs" not in model.metadata.properties
    assert [step(model, 1, 1, start=True), step(model, 2, 10, start=True)] == [1, 10]
    assert [step(model, 1, -1, "sign"), step(model, 2, 10), step(model, 1, 5)] == [-1, 20, 5]
    assert step(model, 1, 1, start=True) == 1
    assert step(model, 1, 1, end=True) == 2
    with pytest.raises(InvalidRequest, match="sequence 1 is not known; it has not begun here, has ended, or"):
        step(model, 1, 1)
    with pytest.raises(InvalidRequest, match="'sequence_id' is missing"):
        model.predict({"x": np.zeros(1, np.float32)}, (), {})
    assert step(model, 2, 1, end=True) == 21
    model.close()


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    """It can be sent again."""
    model = load(running_sum(tmp_path / "m.onnx"), state="sum:sum:0")
    step(model, 1, 1, start=True)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        model.predict({"x": np.zeros((2, 2), np.float32)}, (), {"sequence_id": 1, "sequence_start": True})
    step(model, 1, 3, start=True)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        model.predict({"x": np.zeros((2, 2), np.float32)}, (), {"sequence_id": 1})
    assert step(model, 1, 4) == 7


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        pytest.param(
            "", "has '', expected INPUT:OUTPUT, each once; inputs are x, sum, outputs y, sign, sum:0", id="empty"
        ),
        pytest.param("sum", "has 'sum', expected INPUT:OUTPUT", id="no colon"),
        pytest.param("sum:total", "has 'sum:total', expected INPUT:OUTPUT", id="no such output"),
        pytest.param("sum:y,sum:sign", "has 'sum:sign', expected INPUT:OUTPUT, each once", id="twice"),
    ],
)
def test_an_option_that_does_not_fit_the_graph_is_refused(tmp_path: Path, state: str, problem: str) -> None:
    """With what was written and what the graph has."""
    with pytest.raises(ModelLoadFailed, match=f"^model 'm': option 'state' {problem}"):
        load(running_sum(tmp_path / "m.onnx"), state=state)


def test_a_state_keeps_its_datatype(tmp_path: Path) -> None:
    """An output that its input cannot take is refused when the model is loaded."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(running_sum(tmp_path / "m.onnx", state=TensorProto.INT64), state="sum:sum:0")
    assert caught.value.message == (
        "model 'm': option 'state': output 'sum:0' is FP32[-1], and input 'sum' INT64[-1]; expected numbers of one "
        "datatype and shape"
    )


def test_a_state_and_a_batch_exclude_each_other(tmp_path: Path) -> None:
    """Rows of one batch would share it."""
    with pytest.raises(ModelLoadFailed, match="options 'state' and 'batch_dimension' exclude each other"):
        load(running_sum(tmp_path / "m.onnx"), state="sum:sum:0", batch_dimension="true")


@pytest.mark.models
def test_a_third_party_detector_hears_two_sounds_at_once(from_package: Callable[[str, str], Path]) -> None:
    """silero-vad, stepped over two interleaved sequences, says what ONNX Runtime alone says with the state by hand."""
    silero = from_package(SILERO, "silero_vad/data/silero_vad.onnx")
    model = load(silero, state="state:stateN")
    assert [spec.name for spec in model.metadata.inputs] == ["input", "sr"]
    assert [spec.name for spec in model.metadata.outputs] == ["output"]
    session = onnxruntime.InferenceSession(silero, providers=["CPUExecutionProvider"])
    rate = np.array(16000, np.int64)
    sounds = np.random.default_rng(0).normal(scale=0.2, size=(2, 6, 1, 576)).astype(np.float32)
    sounds[1] *= np.sin(np.arange(576, dtype=np.float32) / 8)
    states: list[Any] = [np.zeros((2, 1, 128), np.float32)] * 2
    heard = []
    for at in range(6):
        for sound in range(2):
            parameters: Parameters = {
                "sequence_id": f"sound {sound}",
                "sequence_start": at == 0,
                "sequence_end": at == 5,
            }
            feeds = {"input": sounds[sound, at], "sr": rate}
            answer = model.predict(feeds, (), parameters)["output"]
            wanted, states[sound] = session.run(["output", "stateN"], {**feeds, "state": states[sound]})
            np.testing.assert_array_equal(answer, wanted)
            heard.append(float(answer[0, 0]))
    assert len(set(heard)) == 12
    with pytest.raises(InvalidRequest, match="sequence 'sound 0' is not known"):
        model.predict(feeds, (), {"sequence_id": "sound 0"})
