"""What a manifest calls a format and a runtime, against who reads the model."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from tidegate.control.formats import check_reader, with_version, without_version
from tidegate.protocol.errors import ModelLoadFailed

HERE = ("sklearn", "torch", "onnx", "own")


@pytest.mark.parametrize(
    ("form", "runtime", "found"),
    [
        pytest.param("sklearn", "", "sklearn", id="the same name"),
        pytest.param("pytorch", "", "torch", id="another name"),
        pytest.param("PyTorch", "", "torch", id="in another case"),
        pytest.param("own", "", "own", id="a runtime of somebody's own"),
        pytest.param("sklearn", "sklearn", "sklearn", id="with our runtime"),
        pytest.param("sklearn", "kserve-sklearnserver", "sklearn", id="with KServe's runtime"),
        pytest.param("sklearn", "kserve-mlserver", "sklearn", id="with another of KServe's runtimes"),
    ],
)
def test_what_fits(form: str, runtime: str, found: str) -> None:
    """KServe's runtimes are whoever reads the format."""
    check_reader(form, runtime, found, "joblib", HERE)


@pytest.mark.parametrize(
    ("form", "runtime", "message"),
    [
        pytest.param(
            "onnx",
            "",
            "spec.predictor.model.modelFormat.name is 'onnx', but the model is a joblib file or folder, which sklearn "
            "reads",
            id="another format",
        ),
        pytest.param(
            "pmml",
            "",
            "spec.predictor.model.modelFormat.name 'pmml' is read by no runtime here, expected one of huggingface, "
            "keras, lightgbm, onnx, own, python, pytorch, scikit-learn, sklearn, tensorflow, torch, torchscript, "
            "transformers, xgboost",
            id="a format that nobody reads",
        ),
        pytest.param(
            "sklearn",
            "onnx",
            "spec.predictor.model.runtime is 'onnx', but the model is a joblib file or folder, which sklearn reads",
            id="another runtime",
        ),
        pytest.param(
            "sklearn",
            "my-runtime",
            "spec.predictor.model.runtime 'my-runtime' is none of this machine, expected one of onnx, own, sklearn, "
            "torch, or nothing",
            id="a runtime of a cluster",
        ),
    ],
)
def test_what_does_not(form: str, runtime: str, message: str) -> None:
    """One sentence, with the field."""
    with pytest.raises(ModelLoadFailed) as caught:
        check_reader(form, runtime, "sklearn", "joblib", HERE)
    assert caught.value.message == message


@pytest.mark.framework
def test_a_runtime_with_its_framework_s_version() -> None:
    """As it is installed; and back."""
    assert with_version("sklearn") == f"sklearn/{version('scikit-learn')}"
    assert without_version("sklearn/1.9.0") == "sklearn"


def test_a_runtime_whose_framework_is_not_known() -> None:
    """Its name alone."""
    assert with_version("own") == without_version("own") == "own"
