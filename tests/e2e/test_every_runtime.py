"""A directory with a model of every framework, served by one command and asked by one client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidegate.client import Client
from tidegate.testing.process import Serving
from tidegate.testing.zoo import huggingface, lightgbm, onnx, python, sklearn, tensorflow, torch, xgboost

pytestmark = [pytest.mark.e2e, pytest.mark.framework]

MODELS = {
    "sklearn": sklearn.CASES[0],
    "onnx": onnx.CASES[0],
    "xgboost": xgboost.CASES[0],
    "lightgbm": lightgbm.CASES[0],
    "torch": torch.CASES[0],
    "tensorflow": tensorflow.CASES[0],
    "huggingface": huggingface.CASES[0],
    "python": python.CASES[0],
}


def as_sent(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Texts travel as bytes."""
    if array.dtype.kind not in "OU":
        return array
    return np.array([text.encode() if isinstance(text, str) else text for text in array.flat]).reshape(array.shape)


def test_a_model_of_every_framework_answers_from_one_directory(tmp_path: Path) -> None:
    """Each is found, loaded by its runtime, and answers a batch as its framework does, over HTTP and gRPC."""
    directory = tmp_path / "models"
    directory.mkdir()
    paths = {name: case.lay_down(directory / name) for name, case in MODELS.items()}
    with Serving.start(directory, "--threads", "1") as server:
        assert server.until("ready")["loaded"] == len(MODELS)
        found = {event["model"]: event["runtime"] for event in server.events if event["event"] == "found"}
        assert found == {name: name for name in MODELS}
        for url in (server.url, f"grpc://{server.grpc}"):
            with Client(url) as client:
                for name, case in MODELS.items():
                    inputs = {key: rows[:8] for key, rows in case.sample().items()}
                    answers = client.infer(name, inputs).outputs
                    for output, wanted in case.expected(paths[name], inputs).items():
                        if wanted.dtype.kind == "f":
                            np.testing.assert_allclose(answers[output], wanted, rtol=1e-5, atol=1e-5)
                        else:
                            np.testing.assert_array_equal(answers[output], as_sent(wanted))
        assert server.stop() == 0
