"""The model in a copy is the model that was copied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.storage.cache import ArtifactCache, CacheSettings, Held
from tidegate.storage.copied import copied_source
from tidegate.storage.repository import scan


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ArtifactCache]:
    with ArtifactCache(CacheSettings(directory=tmp_path / "cache")) as made:
        yield made


def write(path: Path, content: str = "{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def again(cache: ArtifactCache, held: Held) -> Held:
    taken = cache.hold_digest(held.digest)
    assert taken is not None
    return taken


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["m.fake.json"], id="a file"),
        pytest.param(["net.onnx", "net.onnx.data"], id="a file with its weights"),
        pytest.param(["net.onnx", "net-small.onnx"], id="a file beside one whose name begins as its own does"),
        pytest.param(["m/model.joblib", "m/model.yaml"], id="a folder with settings"),
        pytest.param(["m/3/model.onnx", "m/3/weights.bin"], id="a version"),
        pytest.param(["m/saved_model.pb", "m/variables/x"], id="a marked folder"),
        pytest.param(["m/3/model.savedmodel/saved_model.pb"], id="a marked folder in a version"),
    ],
)
def test_it_is_told_as_before(cache: ArtifactCache, tmp_path: Path, names: list[str]) -> None:
    """Same runtime, format and settings, whatever came along."""
    for name in names:
        write(tmp_path / name, "threads: 3" if name.endswith(".yaml") else "x")
    first = tmp_path / names[0].split("/")[0]
    source = scan(first)[0]
    held = cache.hold(source.path, source.beside, config=source.config_path)
    found = copied_source(again(cache, held), "iris", "5")
    assert (found.name, found.version) == ("iris", "5")
    assert (found.runtime, found.format, found.config) == (source.runtime, source.format, source.config)
    assert found.path.name == ("model" if source.path.is_dir() else source.path.name)
    assert found.path.is_dir() == source.path.is_dir()


def test_a_copy_that_nobody_reads_is_refused(cache: ArtifactCache, tmp_path: Path) -> None:
    """Its runtime is not installed any more, say."""
    held = cache.hold(write(tmp_path / "a.unknown", json.dumps({})))
    with pytest.raises(ModelLoadFailed) as caught:
        copied_source(again(cache, held))
    assert caught.value.message == f"the copy sha256:{held.digest} holds a.unknown, which no installed runtime reads"
