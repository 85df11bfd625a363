"""The TensorFlow runtime over real SavedModels and Keras files, beyond what the contract of all runtimes holds."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.runtimes.tensorflow import RUNTIME
from tidegate.testing.zoo.tensorflow import save_keras, write_saved_model

pytestmark = pytest.mark.framework

tf: Any
keras: Any

Body = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def _frameworks() -> None:
    """Imported by the first test and not by the module: that takes seconds, also where its tests are not wanted."""
    global tf, keras
    import keras
    import tensorflow as tf


def spec(shape: list[int | None] | None, dtype: Any = "float32", name: str = "x") -> Any:
    return tf.TensorSpec(shape, dtype, name)


def save(folder: Path, body: Body, *inputs: Any) -> Path:
    """A SavedModel whose one signature is the function ``body``."""
    path = folder / "m"
    module = tf.Module()
    module.serve = tf.function(body, input_signature=inputs)
    tf.saved_model.save(module, path, signatures=module.serve)
    return path


def load(path: Path, **further: Any) -> Model:
    return RUNTIME.load(Artifact("m", "1", path, trusted=True, **further))


def serve(folder: Path, body: Body, *inputs: Any, **further: Any) -> Model:
    return load(save(folder, body, *inputs), **further)


def refused(path: Path, **further: Any) -> str:
    with pytest.raises(ModelLoadFailed) as caught:
        load(path, **further)
    assert str(path.parent) not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("folder", ["model.savedmodel", "3"])
def test_a_directory_of_any_name_is_a_model(tmp_path: Path, folder: str) -> None:
    """As Triton and as TensorFlow Serving name it: the file in it tells what it is."""
    model = load(write_saved_model(tmp_path).rename(tmp_path / folder))
    meta = model.metadata
    assert (meta.platform, meta.batch_dimension, meta.max_batch_size) == ("tensorflow_savedmodel", True, 0)
    assert meta.inputs == (TensorSpec("X", Datatype.FP32, (-1, 4)),)
    assert meta.outputs == (TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("scores", Datatype.FP32, (-1, 3)))
    assert meta.properties == {
        "tensorflow_version": tf.__version__,
        "saved_by_tensorflow": tf.__version__,
        "device": "cpu",
        "signature": "serving_default",
        "other_signatures": "score",
        "method": "tensorflow/serving/predict",
    }


def test_another_signature_can_be_served(tmp_path: Path) -> None:
    """Its own inputs and outputs are the model's."""
    model = load(write_saved_model(tmp_path), options={"signature": "score"})
    assert [one.name for one in (*model.metadata.inputs, *model.metadata.outputs)] == ["flower", "scores"]
    rows = np.zeros((2, 4), np.float32)
    assert model.predict({"flower": rows}, (), {})["scores"].shape == (2, 3)
    assert "the model has 'score', 'serving_default'" in refused(tmp_path / "iris", options={"signature": "x"})


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"])
def test_every_integer_passes_unchanged(tmp_path: Path, dtype: str) -> None:
    """An identity gives back the values and the type that it got, from a read-only view."""
    model = serve(tmp_path, lambda x: {"y": tf.identity(x)}, spec([None], dtype))
    array = np.array([0, 1, 1], dtype)
    array.flags.writeable = False
    answer = model.predict({"x": array}, (), {})["y"]
    assert answer.dtype == array.dtype
    np.testing.assert_array_equal(answer, array)


@pytest.mark.parametrize(
    ("dtype", "given", "datatype"),
    [
        ("float16", np.float16, Datatype.FP16),
        ("bfloat16", np.float32, Datatype.BF16),
        ("float32", np.float32, Datatype.FP32),
        ("float64", np.float64, Datatype.FP64),
    ],
)
def test_every_float_passes_unchanged(tmp_path: Path, dtype: str, given: Any, datatype: Datatype) -> None:
    """bfloat16 comes as the float32 that holds it, and goes as one."""
    model = serve(tmp_path, lambda x: {"y": tf.identity(x)}, spec([None, 2], dtype))
    assert model.metadata.inputs == (TensorSpec("x", datatype, (-1, 2)),)
    assert model.metadata.outputs == (TensorSpec("y", datatype, (-1, 2)),)
    array = np.array([[0.5, -1.0], [np.inf, 0.0]], given)
    answer = model.predict({"x": array}, (), {})["y"]
    assert answer.dtype == given
    np.testing.assert_array_equal(answer, array)


def test_text_is_bytes_in_and_out(tmp_path: Path) -> None:
    """A string is any bytes to TensorFlow; zeros at its end stay, in a scalar, too."""
    model = serve(tmp_path, lambda x: {"y": tf.identity(x), "first": x[0]}, spec([None], tf.string))
    texts = np.array([b"a\0", b"\xff", b""], dtype=object)
    answers = model.predict({"x": texts}, (), {})
    assert answers["y"].tolist() == [b"a\0", b"\xff", b""]
    assert (answers["first"].shape, answers["first"].item()) == ((), b"a\0")
    assert not model.metadata.batch_dimension


def test_examples_are_plain_text(tmp_path: Path) -> None:
    """The serialised tf.Example of a signature to classify or to regress is an element of BYTES.

    An empty text is no such example, so no trial succeeds, and the open first axis counts as the batch.
    """

    def body(examples: Any) -> dict[str, Any]:
        return {"y": 2.0 * tf.io.parse_example(examples, {"size": tf.io.FixedLenFeature([], tf.float32)})["size"]}

    model = serve(tmp_path, body, spec([None], tf.string, "examples"))
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[3.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"size": feature})).SerializeToString()
    answer = model.predict({"examples": np.array([example, example], dtype=object)}, (), {})
    assert answer["y"].tolist() == [6.0, 6.0]
    assert model.metadata.batch_dimension


@pytest.mark.parametrize(
    ("body", "shape", "batches"),
    [
        pytest.param(lambda x: {"y": 2 * x}, [None, 2], True, id="open"),
        pytest.param(lambda x: {"y": 2 * x}, [3, 2], False, id="fixed"),
        pytest.param(lambda x: {"y": 2 * x}, [], False, id="scalar"),
        pytest.param(lambda x: {"y": tf.reduce_sum(x)}, [None, 2], False, id="one answer for all rows"),
        pytest.param(lambda x: {"y": tf.boolean_mask(x, x[:, 0] > 0)}, [None, 2], False, id="as many as were found"),
    ],
)
def test_rows_are_batched_only_where_they_are_rows(
    tmp_path: Path, body: Body, shape: list[int | None], batches: bool
) -> None:
    """An open first axis counts as the batch if as many rows come back as went in."""
    assert serve(tmp_path, body, spec(shape)).metadata.batch_dimension is batches


def test_the_batch_dimension_can_be_told(tmp_path: Path) -> None:
    """The option overrides what the trial says, but not a size that the signature fixes."""
    path = save(tmp_path, lambda x: {"y": 2 * x}, spec([None, 2]))
    assert not load(path, options={"batch_dimension": "false"}).metadata.batch_dimension
    fixed = (TensorSpec("x", Datatype.FP32, (1, 2)),)
    assert refused(path, inputs=fixed, options={"batch_dimension": "true"}) == (
        "model 'm': option 'batch_dimension' is 'true', but not every input and output has an open first axis"
    )


def test_an_unknown_rank_is_declared(tmp_path: Path) -> None:
    """The owner says what goes in; what comes out a trial has shown."""
    path = save(tmp_path, lambda x: {"y": 2 * x}, spec(None))
    assert "does not tell the number of axes of 'x'" in refused(path)
    model = load(path, inputs=(TensorSpec("x", Datatype.FP32, (-1, 4)),))
    assert model.metadata.outputs == (TensorSpec("y", Datatype.FP32, (-1, -1)),)
    assert model.metadata.batch_dimension


def test_what_is_no_plain_tensor_is_left_out_or_refused(tmp_path: Path) -> None:
    """A complex output is named in the properties; a model of nothing else is refused, and so is such an input."""

    def body(x: Any) -> dict[str, Any]:
        return {"y": x, "z": tf.cast(x, tf.complex64)}

    model = serve(tmp_path / "both", body, spec([None]))
    assert model.metadata.properties["omitted_outputs"] == "z: complex64"
    assert list(model.predict({"x": np.ones(1, np.float32)}, (), {})) == ["y"]
    alone = save(tmp_path / "alone", lambda x: {"z": tf.cast(x, tf.complex64)}, spec([None]))
    assert refused(alone) == "model 'm' has no output that is a tensor: z: complex64"
    given = save(tmp_path / "given", lambda x: {"y": tf.math.real(x)}, spec([None], tf.complex64))
    assert refused(given).startswith("model 'm': input 'x' is complex64, which cannot be given; expected one of bool, ")


def test_a_sparse_tensor_is_no_plain_one(tmp_path: Path) -> None:
    """An entry of a signature that stands for several tensors of the graph is refused by what it is."""
    path = save(tmp_path, lambda x: {"y": 2 * x}, spec([None]))

    def change(saved: Any) -> None:
        given = saved.meta_graphs[0].signature_def["serving_default"].inputs["x"]
        given.coo_sparse.values_tensor_name = given.name

    _edit(path, change)
    assert refused(path).startswith("model 'm': input 'x' is a sparse tensor, which cannot be given; expected one of ")


def test_only_what_is_wanted_is_computed(tmp_path: Path) -> None:
    """In a graph of TensorFlow 1, an output that fails does not disturb who has not asked for it."""
    v1, path, graph = tf.compat.v1, tmp_path / "m", tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        given = v1.placeholder(tf.float32, [None], "given")
        outputs = {"pairs": tf.reshape(given, [-1, 2]), "double": 2 * given}
        signature = v1.saved_model.predict_signature_def({"x": given}, outputs)
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    model = load(path)
    odd = {"x": np.ones(3, np.float32)}
    assert model.predict(odd, ("double",), {})["double"].tolist() == [2, 2, 2]
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.predict(odd, ("pairs",), {})


def test_an_error_of_a_run_is_one_line(tmp_path: Path) -> None:
    """It keeps its class and its reason; the nodes and the lines of code that built the graph are gone."""
    model = serve(tmp_path, lambda x: {"pairs": tf.reshape(x, [-1, 2])}, spec([None]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"^Input to reshape is a tensor with 3 values[^\n]*$"):
        model.predict({"x": np.ones(3, np.float32)}, (), {})


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    change(saved)
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())


def test_an_operation_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A custom operation is refused in TensorFlow's words, without the name of this machine."""
    path = save(tmp_path, lambda x: {"y": 2 * x}, spec([None]))

    def change(saved: Any) -> None:
        saved.meta_graphs[0].graph_def.node[0].op = "Frobnicate"

    _edit(path, change)
    message = refused(path)
    assert message.startswith("model 'm': 'm' is refused by TensorFlow: Op type not registered 'Frobnicate'")
    assert socket.gethostname() not in message


def test_the_graph_for_serving_is_taken(tmp_path: Path) -> None:
    """Of several, the one with that tag; of one, that one; and without, the tags are told."""
    path = save(tmp_path, lambda x: {"y": 2 * x}, spec([None]))

    def add(saved: Any) -> None:
        other = saved.meta_graphs.add()
        other.CopyFrom(saved.meta_graphs[0])
        other.meta_info_def.tags[:] = ["serve", "tpu"]

    _edit(path, add)
    assert load(path).metadata.properties["signature"] == "serving_default"

    def rename(saved: Any) -> None:
        saved.meta_graphs[0].meta_info_def.tags[:] = ["train"]

    _edit(path, rename)
    assert refused(path).endswith("holds no graph with the tag 'serve'; it has train; serve+tpu")

    def remove(saved: Any) -> None:
        del saved.meta_graphs[1]

    _edit(path, remove)
    assert load(path).predict({"x": np.ones(1, np.float32)}, (), {})["y"].tolist() == [2]


@pytest.mark.parametrize("damage", ["index missing", "data missing", "data cut short", "data changed"])
def test_damaged_variables_are_refused(tmp_path: Path, damage: str) -> None:
    """A missing or changed file of weights is told when the model is loaded, not when it is called."""
    path = write_saved_model(tmp_path)
    folder = path / "variables"
    data = folder / "variables.data-00000-of-00001"
    whole = data.read_bytes()
    match damage:
        case "index missing":
            (folder / "variables.index").unlink()
        case "data missing":
            data.unlink()
        case "data cut short":
            data.write_bytes(whole[: len(whole) // 2])
        case "data changed":
            data.write_bytes(bytes(byte ^ 1 for byte in whole))
    message = refused(path)
    assert message.startswith("model 'm': 'iris' is refused by TensorFlow: ")
    assert "\n" not in message


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """CUDA is never replaced in silence by the CPU."""
    if tf.test.is_built_with_cuda():
        pytest.skip("this TensorFlow has CUDA")
    path = save(tmp_path, lambda x: {"y": 2 * x}, spec([None]))
    assert load(path, device="cpu").metadata.properties["device"] == "cpu"
    assert refused(path, device="cuda:1") == (
        "model 'm': device 'cuda:1' cannot be used: this TensorFlow is built without CUDA; expected cpu or auto"
    )


def test_a_closed_model_is_gone(tmp_path: Path) -> None:
    """Its session answers no more; closing is all that there is to do."""
    model = serve(tmp_path, lambda x: {"y": 2 * x}, spec([None]))
    model.close()
    with pytest.raises(AssertionError, match="predict after close"):
        model.predict({"x": np.ones(1, np.float32)}, (), {})


def two_heads() -> Any:
    """Two inputs and two outputs, each in a dictionary; the outputs' layers have other names."""
    size, age = keras.Input((2,), name="size"), keras.Input((), dtype="int64", name="age")
    joined = keras.layers.Dense(3, name="dense")(size)
    older = keras.layers.Rescaling(2.0, name="twice")(age)
    return keras.Model({"size": size, "age": age}, {"wide": joined, "old": older})


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_keras_model_keeps_its_author_s_names(tmp_path: Path, suffix: str) -> None:
    """Keys of dictionaries are the names of inputs and outputs."""
    made = two_heads()
    model = load(save_keras(made, tmp_path / f"m.{suffix}"))
    meta = model.metadata
    assert meta.inputs == (TensorSpec("age", Datatype.INT64, (-1,)), TensorSpec("size", Datatype.FP32, (-1, 2)))
    assert [one.name for one in meta.outputs] == ["old", "wide"]
    assert (meta.platform, meta.properties["saved_by_keras"]) == (f"tensorflow_{suffix}", keras.__version__)
    inputs: dict[str, Any] = {"size": np.ones((3, 2), np.float32), "age": np.arange(3)}
    answers, wanted = model.predict(inputs, ("wide", "old"), {}), made(inputs)
    np.testing.assert_allclose(answers["wide"], wanted["wide"], rtol=1e-6)
    np.testing.assert_allclose(answers["old"], [0, 2, 4])
    model.close()


def test_keras_outputs_without_names_are_told_apart(tmp_path: Path) -> None:
    """They are named after their layers; a layer that was called twice gives two names."""
    given = keras.Input((2,), name="x")
    dense = keras.layers.Dense(2, name="dense")
    once = dense(given)
    model = load(save_keras(keras.Model(given, [once, dense(once)]), tmp_path / "m.keras"))
    assert [one.name for one in model.metadata.outputs] == ["dense", "dense_1"]


def test_an_error_in_a_keras_model_is_one_line(tmp_path: Path) -> None:
    """What its layers say of an input that does not fit, without the code that built them."""
    given = keras.Input((None,), name="x")
    model = load(save_keras(keras.Model(given, keras.layers.Reshape((2,))(given)), tmp_path / "m.keras"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"^Input to reshape is a tensor with 3 values[^\n]*$"):
        model.predict({"x": np.ones((1, 3), np.float32)}, (), {})


def test_a_keras_file_that_tells_no_inputs_is_refused(tmp_path: Path) -> None:
    """Neither a model without its first layer's size nor weights alone can be served."""
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    with pytest.warns(UserWarning, match="not yet been built"):
        save_keras(unbuilt, tmp_path / "m.keras")
    assert refused(tmp_path / "m.keras") == (
        "model 'm': 'm.keras' does not tell its inputs; save a model that begins with keras.Input, or export it as a "
        "SavedModel"
    )
    import h5py

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["layer"] = np.ones(2)
    assert "is refused by Keras: No model config found in the file" in refused(tmp_path / "m.h5")


def test_an_old_keras_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose safe mode has known holes reads no file, also where the file is trusted."""
    path = save_keras(two_heads(), tmp_path / "m.keras")
    monkeypatch.setattr(keras, "__version__", "3.9.2")
    assert refused(path) == (
        "model 'm': Keras 3.9.2 is installed, expected at least 3.15: earlier ones can be made to run a file's code "
        "although they are told not to"
    )


def test_a_keras_file_knows_no_signatures(tmp_path: Path) -> None:
    """The option is of SavedModels alone."""
    path = save_keras(two_heads(), tmp_path / "m.keras")
    assert refused(path, options={"signature": "x"}) == (
        "model 'm': there is no option 'signature'; known are batch_dimension"
    )


def test_threads_are_the_process_s(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once TensorFlow computes, its threads stay as they are, and the log says so."""
    path = save_keras(two_heads(), tmp_path / "m.keras")
    load(path)
    with caplog.at_level("WARNING", "tidegate.runtimes.tensorflow_process"):
        model = RUNTIME.load(msgspec.structs.replace(Artifact("m", "1", path, trusted=True), threads=7))
    assert "TensorFlow has started with other threads; 7 cannot be set any more" in caplog.messages
    model.close()
