"""The fake runtime: what its files may say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.catalogue import find
from tidegate.runtimes.runtime import Artifact


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
