"""A small network as a SavedModel and in both of Keras's file formats, and one of each that does harm.

The hidden layer is drawn from a fixed seed and the other is solved for, so that no training takes time.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.runtimes.tensorflow import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers

_HIDDEN = 8
_NEWEST = 1 << 20
"""A version of TensorFlow's graphs that will not come."""

Weights = list[npt.NDArray[np.float32]]


def weights() -> Weights:
    """Matrix and offsets of the hidden layer, then of the last."""
    rows, labels = flowers()
    drawn = np.random.default_rng(0)
    matrix, offsets = drawn.normal(size=(4, _HIDDEN)) / 4, drawn.normal(size=_HIDDEN)
    hidden = np.hstack([np.tanh(rows @ matrix + offsets), np.ones((len(rows), 1))])
    wanted = 8.0 * np.eye(3)[labels] - 4.0
    # Held small (ridge), so that a sum in another order stays the same up to the case's tolerance.
    solved = np.linalg.solve(hidden.T @ hidden + 0.1 * np.eye(_HIDDEN + 1), hidden.T @ wanted)
    return [part.astype(np.float32) for part in (matrix, offsets, solved[:-1], solved[-1])]


def module() -> Any:
    """A ``tf.Module`` whose ``serve`` gives scores and label, and whose ``score`` takes another name for its input."""
    import tensorflow as tf

    class Network(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.parts = [tf.Variable(part) for part in weights()]

        def scores(self, rows: Any) -> Any:
            matrix, offsets, last, last_offsets = self.parts
            return tf.nn.softmax(tf.tanh(rows @ matrix + offsets) @ last + last_offsets)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "X")])  # type: ignore[untyped-decorator]
        def serve(self, rows: Any) -> Any:
            scores = self.scores(rows)
            return {"label": tf.argmax(scores, axis=1), "scores": scores}

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "flower")])  # type: ignore[untyped-decorator]
        def score(self, flower: Any) -> Any:
            return {"scores": self.scores(flower)}

    return Network()


def network() -> Any:
    """The same as a Keras model, without the label."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4,), name="X"),
            keras.layers.Dense(_HIDDEN, activation="tanh"),
            keras.layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.set_weights(weights())
    return model


def sample() -> Arrays:
    return {"X": flowers(np.float32)[0]}


def write_saved_model(folder: Path) -> Path:
    import tensorflow as tf

    path, made = folder / "iris", module()
    tf.saved_model.save(made, path, signatures={"serving_default": made.serve, "score": made.score})
    return path


def save_keras(model: Any, path: Path) -> Path:
    """Write a Keras model in the format that the suffix names."""
    with warnings.catch_warnings():
        # Keras's own variables convert themselves as numpy 1 asked them to.
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        model.save(path)
    return path


def write_keras(folder: Path) -> Path:
    return save_keras(network(), folder / "iris.keras")


def write_h5(folder: Path) -> Path:
    return save_keras(network(), folder / "iris.h5")


def expected_of_saved_model(path: Path, inputs: Arrays) -> Arrays:
    import tensorflow as tf

    answers = tf.saved_model.load(path).signatures["serving_default"](**inputs)
    return {name: answers[name].numpy() for name in sorted(answers)}


def expected_of_keras(path: Path, inputs: Arrays) -> Arrays:
    import keras

    model = keras.models.load_model(path, compile=False)
    return {"scores": model.predict(inputs["X"], verbose=0)}


def age(path: Path) -> None:
    """Let the graph ask for a TensorFlow that is newer than any."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    saved.meta_graphs[0].graph_def.versions.min_consumer = _NEWEST
    file.write_bytes(saved.SerializeToString())


def hostile_saved_model(folder: Path, touched: Path) -> Path:
    """The network, but its graph writes a file when it is called."""
    import tensorflow as tf

    made = module()

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "X")])  # type: ignore[untyped-decorator]
    def serve(rows: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(touched), "")]):
            return {"scores": made.scores(rows)}

    holder = tf.Module()
    holder.network = made
    path = folder / "iris"
    tf.saved_model.save(holder, path, signatures=serve)
    return path


def _hostile_layer(path: Path, touched: Path) -> Path:
    import keras

    # No closure and no global: only such a function's code stands in the file, and runs from there.
    code = f"lambda x: (__import__('os').makedirs({str(touched)!r}, exist_ok=True), x)[1]"
    save_keras(keras.Sequential([keras.Input((4,), name="X"), keras.layers.Lambda(eval(code))]), path)
    shutil.rmtree(touched)  # building the layer has called it
    return path


def hostile_keras(folder: Path, touched: Path) -> Path:
    return _hostile_layer(folder / "iris.keras", touched)


def hostile_h5(folder: Path, touched: Path) -> Path:
    return _hostile_layer(folder / "iris.h5", touched)


def read_unguarded(path: Path) -> None:
    """Read a Keras file as somebody does who wants the code in it to run."""
    import keras

    keras.models.load_model(path, compile=False, safe_mode=False)


def _case(id: str, **further: Any) -> Case:
    return Case(id=id, runtime=RUNTIME, sample=sample, framework="tensorflow", tolerance=1e-5, **further)


CASES = (
    _case(
        "SavedModel",
        format="SavedModel",
        write=write_saved_model,
        expected=expected_of_saved_model,
        body="saved_model.pb",
        age=age,
        aged="GraphDef min consumer version",
        hostile=hostile_saved_model,
    ),
    _case(
        "Keras",
        format="Keras",
        write=write_keras,
        expected=expected_of_keras,
        hostile=hostile_keras,
        unguarded=read_unguarded,
    ),
    _case(
        "Keras H5",
        format="Keras H5",
        write=write_h5,
        expected=expected_of_keras,
        hostile=hostile_h5,
        unguarded=read_unguarded,
    ),
)
