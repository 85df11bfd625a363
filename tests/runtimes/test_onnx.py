"""The ONNX runtime over real graphs, beyond what the contract of all runtimes holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, ModelLoadFailed, OutOfMemory, UntrustedModel
from tidegate.protocol.messages import TensorSpec
from tidegate.protocol.tensors import Tensor
from tidegate.runtimes.execution import execute
from tidegate.runtimes.onnx import RUNTIME, plain_reason
from tidegate.runtimes.runtime import Artifact, Model

pytestmark = pytest.mark.framework

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
DATASETS = Path(onnxruntime.__file__).parent / "datasets"
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING

Axes = list[int | str | None] | None


def value(name: str, kind: int, shape: Axes) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    model = helper.make_model(
        helper.make_graph(nodes, "made", inputs, outputs, weights or []),
        opset_imports=[helper.make_opsetid("", 18)],
        producer_name="tests",
    )
    model.ir_version = 8
    return model


def relu(given: Axes, answered: Axes, kind: int = FLOAT) -> onnx.ModelProto:
    node = helper.make_node("Relu", ["x"], ["y"])
    return graph([node], [value("x", kind, given)], [value("y", kind, answered)])


def load(tmp_path: Path, model: onnx.ModelProto, trusted: bool = False, **options: str) -> Model:
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    return RUNTIME.load(Artifact("m", "1", path, trusted=trusted, options=options))


def floats(*shape: int) -> Any:
    return np.random.default_rng(0).random(shape, dtype=np.float32) - np.float32(0.5)


@pytest.mark.parametrize("name", ["light_squeezenet", "light_shufflenet"])
def test_a_third_party_network_answers_as_its_authors_say(name: str) -> None:
    """A full-size network of the onnx project gives the output that the project has recorded for it.

    Its weights are made up, so that every class is equally likely: what is checked is the reading and the running.
    """
    model = RUNTIME.load(Artifact(name, "1", LIGHT / f"{name}.onnx", threads=1))
    (given,), (answered,) = model.metadata.inputs, model.metadata.outputs
    assert (given.shape, given.datatype, model.metadata.batch_dimension) == ((1, 3, 224, 224), Datatype.FP32, False)
    # The input that the record was made with: generate_dummy_data in onnx/backend/test/runner/__init__.py.
    count = 3 * 224 * 224
    pixels = (np.arange(count).reshape(given.shape) / count).astype(np.float32)
    recorded = TensorProto()
    recorded.ParseFromString((LIGHT / f"{name}_output_0.pb").read_bytes())
    answers = model.predict({given.name: pixels}, (), {})
    np.testing.assert_allclose(answers[answered.name], numpy_helper.to_array(recorded), rtol=1e-3, atol=1e-6)


def test_a_static_graph_with_a_table_comes_out_as_tensors() -> None:
    """The iris model that ONNX Runtime ships has a fixed size and a table of probabilities."""
    path = DATASETS / "logreg_iris.onnx"
    model = RUNTIME.load(Artifact("iris", "1", path))
    assert model.metadata.inputs == (TensorSpec("float_input", Datatype.FP32, (3, 2)),)
    assert model.metadata.outputs == (
        TensorSpec("label", Datatype.INT64, (3,)),
        TensorSpec("probabilities", Datatype.FP32, (3, 3)),
    )
    assert not model.metadata.batch_dimension
    assert model.metadata.properties["probabilities.classes"] == "[0,1,2]"
    assert model.metadata.properties["producer"] == "OnnxMLTools"
    rows = load_iris().data[:3, :2].astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels, tables = session.run(None, {"float_input": rows})
    answers = model.predict({"float_input": rows}, (), {})
    np.testing.assert_array_equal(answers["label"], labels)
    np.testing.assert_array_equal(answers["probabilities"], [[row[n] for n in (0, 1, 2)] for row in tables])


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        pytest.param(None, "[0,1,2]", id="integer labels"),
        pytest.param(np.array(["zinnia", "aster", "iris"]), '["aster","iris","zinnia"]', id="text labels"),
    ],
)
def test_zipmap_s_table_is_a_matrix_with_named_columns(tmp_path: Path, names: Any, classes: str) -> None:
    """skl2onnx's default output, a map per row, is one tensor; the properties name its columns."""
    rows, labels = load_iris(return_X_y=True)
    classifier = LogisticRegression(max_iter=500).fit(rows, labels if names is None else names[labels])
    model = load(tmp_path, to_onnx(classifier, rows[:1].astype(np.float32)))
    assert model.metadata.batch_dimension
    assert model.metadata.outputs[1] == TensorSpec("output_probability", Datatype.FP32, (-1, 3))
    assert model.metadata.properties["output_probability.classes"] == classes
    answers = model.predict({"X": rows.astype(np.float32)}, (), {})
    np.testing.assert_array_equal(answers["output_label"], classifier.predict(rows))
    np.testing.assert_allclose(answers["output_probability"], classifier.predict_proba(rows), atol=1e-5)
    assert model.predict({"X": np.zeros((0, 4), np.float32)}, ("output_probability",), {})[
        "output_probability"
    ].shape == (0, 3)


def detector() -> onnx.ModelProto:
    """As many answers as there are positive numbers in the input: an open first axis that is no batch."""
    nodes = [helper.make_node("NonZero", ["x"], ["at"]), helper.make_node("Transpose", ["at"], ["y"])]
    return graph(nodes, [value("x", FLOAT, ["n", 4])], [value("y", INT64, ["found", 2])])


def image(answered: str) -> onnx.ModelProto:
    """A convolution that needs at least 3 × 3 pixels, so that the trial of size 1 fails."""
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    weights = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    return graph(
        [node], [value("x", FLOAT, ["n", 1, "h", "w_"])], [value("y", FLOAT, [answered, 1, "a", "b"])], [weights]
    )


def two_inputs(second: Axes) -> onnx.ModelProto:
    node = helper.make_node("Add", ["x", "z"], ["y"])
    return graph([node], [value("x", FLOAT, ["n", 4]), value("z", FLOAT, second)], [value("y", FLOAT, ["n", 4])])


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        pytest.param(relu([None, 4], [None, 4]), True, id="no names"),
        pytest.param(relu(["n", 4], ["m", 4]), True, id="other names, rows kept"),
        pytest.param(relu(["n", 4], None), True, id="output of unknown shape"),
        pytest.param(relu([3, 4], [3, 4]), False, id="fixed"),
        pytest.param(relu([1, "n"], [1, "n"]), False, id="fixed to one"),
        pytest.param(relu([], []), False, id="scalar"),
        pytest.param(two_inputs(["n", 4]), True, id="two inputs"),
        pytest.param(two_inputs([1, 4]), False, id="one input is fixed"),
        pytest.param(two_inputs([]), False, id="one input is a scalar"),
        pytest.param(detector(), False, id="detector"),
        pytest.param(image("n"), True, id="no trial, same name"),
        pytest.param(image("boxes"), False, id="no trial, other name"),
    ],
)
def test_rows_are_batched_only_where_they_are_rows(tmp_path: Path, model: onnx.ModelProto, batches: bool) -> None:
    """An open first axis counts as the batch if as many rows come back as went in, or its name says so."""
    metadata = load(tmp_path, model).metadata
    assert metadata.batch_dimension is batches
    assert metadata.max_batch_size == 0


def test_the_batch_dimension_can_be_told(tmp_path: Path) -> None:
    """The option overrides what the trial says, but not a size that the graph fixes."""
    assert not load(tmp_path, relu(["n", 4], ["n", 4]), batch_dimension="false").metadata.batch_dimension
    assert load(tmp_path, detector(), batch_dimension="true").metadata.batch_dimension
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, relu([3, 4], [3, 4]), batch_dimension="true")
    assert caught.value.message == (
        "model 'm': option 'batch_dimension' is 'true', but not every input and output has an open first axis"
    )


def test_an_unknown_shape_takes_the_rank_that_the_trial_shows(tmp_path: Path) -> None:
    """An output without a shape in the graph does not look like a scalar."""
    node = helper.make_node("Squeeze", ["x"], ["y"])  # which axes go is known at run time only
    model = load(tmp_path, graph([node], [value("x", FLOAT, ["n", 4])], [value("y", FLOAT, None)]))
    assert model.metadata.outputs[0].shape == (-1, -1)
    assert not model.metadata.batch_dimension


@pytest.mark.parametrize(
    ("kind", "datatype", "dtype"),
    [
        pytest.param(TensorProto.BOOL, Datatype.BOOL, "?", id="BOOL"),
        pytest.param(TensorProto.UINT8, Datatype.UINT8, "u1", id="UINT8"),
        pytest.param(TensorProto.UINT16, Datatype.UINT16, "u2", id="UINT16"),
        pytest.param(TensorProto.UINT32, Datatype.UINT32, "u4", id="UINT32"),
        pytest.param(TensorProto.UINT64, Datatype.UINT64, "u8", id="UINT64"),
        pytest.param(TensorProto.INT8, Datatype.INT8, "i1", id="INT8"),
        pytest.param(TensorProto.INT16, Datatype.INT16, "i2", id="INT16"),
        pytest.param(TensorProto.INT32, Datatype.INT32, "i4", id="INT32"),
        pytest.param(TensorProto.INT64, Datatype.INT64, "i8", id="INT64"),
        pytest.param(TensorProto.FLOAT16, Datatype.FP16, "f2", id="FP16"),
        pytest.param(TensorProto.FLOAT, Datatype.FP32, "f4", id="FP32"),
        pytest.param(TensorProto.DOUBLE, Datatype.FP64, "f8", id="FP64"),
    ],
)
def test_every_datatype_passes_unchanged(tmp_path: Path, kind: int, datatype: Datatype, dtype: str) -> None:
    """An identity graph gives back the bytes that it got, over names with ':' and '/', from a read-only view."""
    node = helper.make_node("Identity", ["in/x:0"], ["out/y:0"])
    model = load(tmp_path, graph([node], [value("in/x:0", kind, [None])], [value("out/y:0", kind, [None])]))
    assert model.metadata.inputs == (TensorSpec("in/x:0", datatype, (-1,)),)
    assert model.metadata.outputs == (TensorSpec("out/y:0", datatype, (-1,)),)
    array = np.array([0, 1, 1], dtype)
    array.flags.writeable = False
    answer = model.predict({"in/x:0": array}, (), {})["out/y:0"]
    assert answer.dtype == array.dtype
    np.testing.assert_array_equal(answer, array)


def test_text_goes_in_and_out_as_bytes(tmp_path: Path) -> None:
    """A string tensor is UTF-8 in the protocol; what is not is the caller's fault."""
    node = helper.make_node("Identity", ["x"], ["y"])
    model = load(tmp_path, graph([node], [value("x", STRING, [None, 1])], [value("y", STRING, [None, 1])]))
    assert model.metadata.inputs == (TensorSpec("x", Datatype.BYTES, (-1, 1)),)
    answers = model.predict({"x": np.array([["caf\u00e9".encode()], [b""]], dtype=object)}, (), {})
    assert answers["y"].tolist() == [["caf\u00e9"], [""]]
    with pytest.raises(InvalidTensor, match=r"^input 'x': element 0 is not UTF-8 text: invalid start byte at byte 0$"):
        model.predict({"x": np.array([[b"\xff"]], dtype=object)}, (), {})


def test_an_input_that_cannot_be_given_is_refused(tmp_path: Path) -> None:
    """bfloat16 and sequences are named with their type."""
    cast = helper.make_node("Cast", ["x"], ["y"], to=FLOAT)
    half = graph([cast], [value("x", TensorProto.BFLOAT16, [1])], [value("y", FLOAT, [1])])
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': input 'x' is tensor\(bfloat16\), which cannot be given; ex"
    ):
        load(tmp_path, half)
    sequence = helper.make_tensor_sequence_value_info("x", FLOAT, [1])
    listed = graph([helper.make_node("SequenceLength", ["x"], ["y"])], [sequence], [value("y", INT64, [])])
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'm': input 'x' is seq\(tensor\(float\)\), which cannot be given"
    ):
        load(tmp_path, listed)


def test_an_output_that_cannot_be_given_back_is_left_out(tmp_path: Path) -> None:
    """What is no tensor is named in the properties; a model of nothing else is refused."""
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["s"]), helper.make_node("Relu", ["x"], ["y"])]
    inputs = [value("x", FLOAT, ["n", 2])]
    listed = helper.make_tensor_sequence_value_info("s", FLOAT, None)
    model = load(tmp_path, graph(nodes, inputs, [listed, value("y", FLOAT, ["n", 2])]))
    assert [spec.name for spec in model.metadata.outputs] == ["y"]
    assert model.metadata.properties["omitted_outputs"] == "s: seq(tensor(float))"
    assert list(model.predict({"x": np.zeros((1, 2), np.float32)}, (), {})) == ["y"]
    with pytest.raises(ModelLoadFailed, match=r"^model 'm' has no output that is a tensor: s: seq\(tensor\(float\)\)$"):
        load(tmp_path, graph(nodes[:1], inputs, [listed]))


def matmul() -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = numpy_helper.from_array(floats(4, 4), "w")
    return graph([node], [value("x", FLOAT, ["n", 4])], [value("y", FLOAT, ["n", 4])], [weights])


def constant(location: str) -> onnx.ModelProto:
    """A graph with weights in a file, in the attribute of a node."""
    model = matmul()
    weights = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weights, location)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weights))
    del model.graph.initializer[:]
    return model


def test_weights_in_other_files_need_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted model reads its own folder; an untrusted one reads neither that nor the working directory."""
    path, rows = tmp_path / "m.onnx", floats(2, 4)
    onnx.save(matmul(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert (tmp_path / "m.data").stat().st_size >= 64
    model = RUNTIME.load(Artifact("m", "1", path, trusted=True))
    np.testing.assert_allclose(model.predict({"x": rows}, (), {})["y"], rows @ floats(4, 4), rtol=1e-5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UntrustedModel) as caught:
        RUNTIME.load(Artifact("m", "1", path))
    assert caught.value.message == (
        "model 'm' keeps weights in other files (external data), and names them itself; such a model is loaded only "
        "from a trusted source"
    )


@pytest.mark.parametrize(
    "location",
    [
        pytest.param(lambda secret: secret.name, id="beside the model"),
        pytest.param(lambda secret: f"../{secret.parent.name}/{secret.name}", id="upwards"),
        pytest.param(str, id="absolute"),
        pytest.param(lambda secret: "hard", id="hard link"),
        pytest.param(lambda secret: "soft", id="symbolic link"),
    ],
)
def test_an_untrusted_model_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: Callable[[Path], str]
) -> None:
    """However a stranger's model names a file of this machine, its content does not become weights."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    os.link(secret, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(secret)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UntrustedModel, match="keeps weights in other files"):
        load(tmp_path, constant(location(secret)))


def test_missing_weights_are_told_without_the_folder(tmp_path: Path) -> None:
    """A trusted model without its weights names the file and no folder of this machine."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, constant("gone.data"), trusted=True)
    assert "External data path does not exist" in caught.value.message
    assert "gone.data" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    """A custom operator that this ONNX Runtime does not have is refused in its own words."""
    model = graph(
        [helper.make_node("Frobnicate", ["x"], ["y"], domain="acme")],
        [value("x", FLOAT, [1])],
        [value("y", FLOAT, [1])],
    )
    model.opset_import.append(helper.make_opsetid("acme", 1))
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, model)
    assert caught.value.message.startswith("model 'm': 'm.onnx' is refused by ONNX Runtime: ")
    assert "acme" in caught.value.message
    assert "Frobnicate" in caught.value.message


def test_a_provider_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A provider is never replaced in silence by another."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, relu([1], [1]), providers="NoSuchProvider, CPUExecutionProvider")
    assert caught.value.message == (
        "model 'm': option 'providers': this ONNX Runtime has no 'NoSuchProvider'; it has "
        + ", ".join(onnxruntime.get_available_providers())
    )
    model = load(tmp_path, relu([1], [1]), providers="CPUExecutionProvider")
    assert model.metadata.properties["providers"] == "CPUExecutionProvider"


def test_what_goes_wrong_in_a_run_is_onnx_runtime_s_own_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An error of the graph itself is raised as it is, and not written to stderr as well."""
    model = load(tmp_path, image("n"))
    with pytest.raises(Exception, match=r"INVALID_ARGUMENT .* while running Conv node"):
        model.predict({"x": np.zeros((1, 1, 1, 1), np.float32)}, (), {})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param(
            "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from /srv/my models/m.onnx failed:Protobuf parsing "
            "failed.",
            "Load model from 'm.onnx' failed:Protobuf parsing failed.",
            id="path of the model",
        ),
        pytest.param(
            "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/onnxruntime/core/graph/load.h:46 void ns::Validate(const "
            "std::map<int, int>&, bool) Opset 99 is new.\nmore",
            "Opset 99 is new.",
            id="source location",
        ),
        pytest.param('does not exist: "/a/b/w.data"', 'does not exist: "w.data"', id="other path"),
        pytest.param("input: x/y, and 1/2", "input: x/y, and 1/2", id="no path"),
        pytest.param("", "no reason given", id="nothing"),
    ],
)
def test_an_error_s_first_line_is_made_plain(text: str, plain: str) -> None:
    """Codes, source locations and folders go; the reason stays."""
    assert plain_reason(text, Path("/srv/my models/m.onnx")) == plain


def test_threads_and_close(tmp_path: Path) -> None:
    """A session of one thread answers, and gives its graph back when it is closed."""
    path = tmp_path / "m.onnx"
    onnx.save(matmul(), path)
    model = RUNTIME.load(msgspec.structs.replace(Artifact("m", "1", path), threads=1))
    assert model.predict({"x": floats(1, 4)}, ("y",), {})["y"].shape == (1, 4)
    model.close()


def test_a_run_without_memory(tmp_path: Path) -> None:
    """ONNX Runtime has no class for it; its words are understood."""
    node = helper.make_node("ConstantOfShape", ["shape"], ["y"])
    model = load(tmp_path, graph([node], [value("shape", INT64, [1])], [value("y", FLOAT, [None])]))
    more_than_there_can_be = Tensor.from_numpy("shape", np.array([1 << 50], dtype=np.int64))
    with pytest.raises(OutOfMemory, match="Failed to allocate memory for requested buffer of size 4503599627370496"):
        execute(model, [more_than_there_can_be], (), {})
