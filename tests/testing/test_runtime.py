"""The fake runtime: what its files may say."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.catalogue import find
from tidegate.runtimes.runtime import Artifact
from tidegate.testing.runtime import read_journal


def _artifact(tmp_path: Path, text: str) -> Artifact:
    path = tmp_path / "m.fake.json"
    path.write_text(text)
    return Artifact("m", "1", path)


def test_identity(tmp_path: Path) -> None:
    """Found by its entry point; the file is the signature, the inputs are the outputs."""
    model = find("fake").load(_artifact(tmp_path, '{"inputs": [{"name": "a", "datatype": "INT8", "shape": [-1]}]}'))
    assert (model.metadata.inputs[0].name, model.metadata.inputs[0].datatype) == ("a", Datatype.INT8)
    assert model.metadata.outputs == model.metadata.inputs
    array = np.array([1, 2], dtype=np.int8)
    assert model.predict({"a": array}, (), {})["a"] is array
    assert model.predict({"a": array}, (), {"repeat": 2})["a"].tolist() == [1, 2, 1, 2]
    model.close()


def test_behaviour(tmp_path: Path) -> None:
    """A behaviour is every request's; with a marker, the first one's."""
    marker = tmp_path / "marker"
    model = find("fake").load(_artifact(tmp_path, f'{{"behaviour": "raise", "once": "{marker}"}}'))
    with pytest.raises(ValueError, match=r"^True$"):
        model.predict({}, (), {})
    assert model.predict({}, (), {}) == {}


def test_poison(tmp_path: Path) -> None:
    """A batch with this value in it raises, whatever else is in it; others do not."""
    model = find("fake").load(_artifact(tmp_path, '{"poison": 13}'))
    with pytest.raises(ValueError, match=r"^13 is poison$"):
        model.predict({"x": np.array([[1, 2], [3, 13]], np.float32)}, (), {})
    assert model.predict({"x": np.array([[1, 2]], np.float32)}, (), {})["x"].tolist() == [[1, 2]]


def test_journal(tmp_path: Path) -> None:
    """Executions are written down as they begin, also those that raise: when, where, and the first of each row."""
    journal = tmp_path / "journal"
    model = find("fake").load(_artifact(tmp_path, f'{{"poison": 13, "journal": "{journal}"}}'))
    before = time.monotonic()
    model.predict({"x": np.array([[1, 2], [3, 4]], np.float32)}, (), {})
    with pytest.raises(ValueError, match="poison"):
        model.predict({"x": np.array([[13, 13]], np.float32)}, (), {})
    executions = read_journal(journal)
    assert [execution.rows for execution in executions] == [(1, 3), (13,)]
    assert {execution.pid for execution in executions} == {os.getpid()}
    assert before <= executions[0].began <= executions[1].began <= time.monotonic()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", r"^'m.fake.json' is no fake model: ", id="no JSON"),
        pytest.param('{"input": []}', r"^'m.fake.json' is no fake model: .*`input`", id="unknown field"),
        pytest.param('{"behaviour": "fly"}', r"has the behaviour 'fly', which is none$", id="unknown behaviour"),
        pytest.param('{"load": {"refuse": "too old"}}', r"^too old$", id="refuses"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, text: str, message: str) -> None:
    """A file that is no fake model says what is wrong with it."""
    with pytest.raises(ModelLoadFailed, match=message):
        find("fake").load(_artifact(tmp_path, text))
