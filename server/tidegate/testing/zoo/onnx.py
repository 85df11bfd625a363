"""The scikit-learn classifier as an ONNX graph. Needs skl2onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tidegate.runtimes.onnx import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers
from tidegate.testing.zoo.sklearn import classifier


def write(folder: Path) -> Path:
    from skl2onnx import to_onnx

    path = folder / "iris.onnx"
    model = to_onnx(classifier(), np.zeros((1, 4), np.float32), options={"zipmap": False})
    path.write_bytes(model.SerializeToString())
    return path


def sample() -> Arrays:
    return {"X": flowers(np.float32)[0]}


def expected(path: Path, inputs: Arrays) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def age(path: Path) -> None:
    import onnx

    model = onnx.load(path)
    for entry in model.opset_import:
        entry.version = 999
    onnx.save(model, path)


CASES = (
    Case(
        id="onnx",
        runtime=RUNTIME,
        format="ONNX",
        write=write,
        sample=sample,
        expected=expected,
        framework="onnxruntime",
        age=age,
        aged="Opset 999 is under development",
    ),
)
