"""The iris classifier as a custom model in Python: a line of arithmetic per class, as a folder and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tidegate.runtimes.python import FILE, FOLDER, MARKER, RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers

CENTRES = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]], np.float32)
"""The mean flower of each class."""

SOURCE = f'''"""Which of three mean flowers a flower is nearest to."""

from typing import Annotated, NamedTuple

import numpy as np
from tidegate.runtimes import model

CENTRES = np.array({CENTRES.tolist()}, np.float32)


class Answer(NamedTuple):
    label: Annotated[np.ndarray, "INT64", -1]
    distance: Annotated[np.ndarray, "FP32", -1, 3]


@model(batch_dimension=True)
def predict(x: Annotated[np.ndarray, "FP32", -1, 4]) -> Answer:
    distance = np.abs(x[:, None] - CENTRES).sum(axis=2)
    return Answer(distance.argmin(axis=1), distance)
'''


def write_folder(folder: Path) -> Path:
    path = folder / "iris"
    path.mkdir()
    (path / MARKER).write_text(SOURCE)
    return path


def write_file(folder: Path) -> Path:
    path = folder / "iris.model.py"
    path.write_text(SOURCE)
    return path


def hostile_folder(folder: Path, touched: Path) -> Path:
    path = folder / "iris"
    path.mkdir()
    (path / MARKER).write_text(_touching(touched))
    return path


def hostile_file(folder: Path, touched: Path) -> Path:
    path = folder / "iris.model.py"
    path.write_text(_touching(touched))
    return path


def _touching(touched: Path) -> str:
    return f"import os\nos.mkdir({str(touched)!r})\n"


def sample() -> Arrays:
    return {"x": flowers(np.float32)[0]}


def expected(path: Path, inputs: Arrays) -> Arrays:
    distance = np.abs(inputs["x"][:, None] - CENTRES).sum(axis=2)
    return {"label": distance.argmin(axis=1), "distance": distance}


def _case(id: str, **further: Any) -> Case:
    return Case(id=id, runtime=RUNTIME, sample=sample, expected=expected, framework="", **further)


CASES = (
    _case("python folder", format=FOLDER.name, body=MARKER, write=write_folder, hostile=hostile_folder),
    _case("python file", format=FILE.name, write=write_file, hostile=hostile_file),
)
