"""What is a manifest of what stands after ``tidegate serve``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.typed import is_manifest, typed_manifests

KIND = '"apiVersion": "tidegate.dev/v1", "kind": "ModelService"'


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("service.yaml", "kind: ModelService", True),
        ("service.YML", "", True),
        ("service.json", "{" + KIND + "}", True),
        ("tree.json", '{"learner": {}, "version": [2, 0, 0]}', False),
        ("broken.json", "{" + KIND, False),
        ("large.json", "{" + KIND + ', "x": "' + "x" * (1 << 20) + '"}', False),
        ("iris.joblib", "{" + KIND + "}", False),
    ],
)
def test_a_manifest_is_told_from_a_model(tmp_path: Path, name: str, content: str, expected: bool) -> None:
    """By its suffix, and where models have that one, too, by what is in it."""
    path = tmp_path / name
    path.write_text(content)
    assert is_manifest(path) is expected


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    """A directory is one of models whatever its name; who serves what is not there says so."""
    (tmp_path / "models.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    assert not any(is_manifest(tmp_path / name) for name in ("models.yaml", "pipe.yaml", "none.yaml"))


def test_all_faults_of_all_manifests_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its line; what is in order beside them is not served either."""
    good = "apiVersion: tidegate.dev/v1\nkind: ModelService\nmetadata: {name: a}\nspec:\n  predictor:\n    "
    good += "model: {modelFormat: {name: onnx}, storageUri: a.onnx}\n"
    (tmp_path / "a.yaml").write_text(good)
    (tmp_path / "b.yaml").write_text(good.replace("name: a}", "name: A}").replace("a.onnx", "a.onnx, foo: 1"))
    with pytest.raises(Failure, match="1 of 2 documents at fault, nothing was started"):
        typed_manifests([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    told = capsys.readouterr().err
    assert f"{tmp_path}/b.yaml:3: error: metadata.name is 'A'" in told
    assert f"{tmp_path}/b.yaml:6: error: spec.predictor.model.foo is no field of model" in told


def test_a_document_has_its_place_its_namespace_and_absolute_paths(tmp_path: Path) -> None:
    """Relative ones count from the directory of the manifest that they stand in."""
    (tmp_path / "a.yaml").write_text(
        "apiVersion: tidegate.dev/v1\nkind: ModelService\nmetadata: {name: a}\n"
        "spec: {predictor: {model: {modelFormat: {name: onnx}, storageUri: m/a.onnx}}}\n"
    )
    [manifest] = typed_manifests([tmp_path / "a.yaml"])
    assert manifest.place == f"{tmp_path}/a.yaml:1"
    assert manifest.document["metadata"]["namespace"] == "default"
    assert manifest.document["spec"]["predictor"]["model"]["storageUri"] == f"{tmp_path}/m/a.onnx"
