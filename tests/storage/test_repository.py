"""What a path is taken to hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.catalogue import Catalogue
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.storage.config import ModelConfig, VersionPolicy
from tidegate.storage.listing import Folder, read_listing
from tidegate.storage.repository import ModelSource, choose, scan
from tidegate.storage.tree import Beside


class Reader:
    """A runtime that only tells files by their suffix."""

    name = "reader"
    package = "reader"
    formats = (Format("data", (".data",), executes_code=False), Format("big data", (".big.data",), executes_code=False))

    def load(self, artifact: Artifact) -> Model:
        raise NotImplementedError


class Keeper:
    """A runtime that tells directories by the file in them."""

    package = "keeper"

    def __init__(self, name: str, *markers: str) -> None:
        self.name = name
        self.formats = tuple(Format(f"kept {marker}", (), executes_code=False, marker=marker) for marker in markers)

    def load(self, artifact: Artifact) -> Model:
        raise NotImplementedError


CATALOGUE = Catalogue(
    {"reader": Reader(), "keeper": Keeper("keeper", "saved.pb"), "coder": Keeper("coder", "model.py")}
)


def folder(path: Path, tree: dict[str, object]) -> Folder:
    """A listing from nested names: a dictionary is a directory, anything else a file."""
    inner = {name: entry for name, entry in sorted(tree.items()) if isinstance(entry, dict)}
    return Folder(
        path,
        tuple(path / name for name in sorted(tree) if name not in inner),
        tuple(folder(path / name, entry) for name, entry in inner.items()),
    )


def chosen(tree: dict[str, object]) -> tuple[ModelSource, ...]:
    """The models in a tree below /srv/top, in which the content of a model.yaml is what it says."""
    top = Path("/srv/top")

    def read(path: Path) -> ModelConfig:
        content: Any = tree
        for part in path.relative_to(top).parts:
            content = content[part]
        assert isinstance(content, ModelConfig), f"'{path}' is not there to be read"
        return content

    return choose(folder(top, tree), CATALOGUE, read)


def found(tree: dict[str, object]) -> list[tuple[str, str, str]]:
    """Name, version and path below the top of every model in a tree."""
    return [(one.name, one.version, str(one.path.relative_to("/srv/top"))) for one in chosen(tree)]


@pytest.mark.parametrize(
    ("tree", "models"),
    [
        pytest.param({"a.data": 1, "b.data": 1}, [("a", "1", "a.data"), ("b", "1", "b.data")], id="files"),
        pytest.param({"iris.data": 1}, [("iris", "1", "iris.data")], id="one file"),
        pytest.param({"model.data": 1}, [("top", "1", "model.data")], id="the directory is the model"),
        pytest.param({"Model.DATA": 1}, [("Model", "1", "Model.DATA")], id="suffix in capitals"),
        pytest.param({"model.data": 1, "b.txt": 1}, [("top", "1", "model.data")], id="a model and its notes"),
        pytest.param({"x.big.data": 1}, [("x", "1", "x.big.data")], id="longest suffix"),
        pytest.param({"iris": {"any.data": 1, "notes.md": 1}}, [("iris", "1", "iris/any.data")], id="sub-directory"),
        pytest.param({"1": {"m.data": 1}}, [("top", "1", "1/m.data")], id="one version"),
        pytest.param(
            {"2": {"m.data": 1}, "10": {"m.data": 1}, "9": {"m.data": 1}}, [("top", "10", "10/m.data")], id="highest"
        ),
        pytest.param(
            {"1": {"m.data": 1}, "docs": {"a.md": 1}}, [("top", "1", "1/m.data")], id="versions beside other things"
        ),
        pytest.param(
            {"iris": {"1": {"m.data": 1}, "3": {"m.data": 1}}, "wine.data": 1, "docs": {"a.md": 1}},
            [("iris", "3", "iris/3/m.data"), ("wine", "1", "wine.data")],
            id="of all kinds",
        ),
        pytest.param(
            {"2024": {"m.data": 1}, "iris": {"m.data": 1}},
            [("2024", "1", "2024/m.data"), ("iris", "1", "iris/m.data")],
            id="a number among names is a name",
        ),
        pytest.param(
            {"007": {"m.data": 1}}, [("007", "1", "007/m.data")], id="a number with leading zeros is no version"
        ),
        pytest.param(
            {"model.data": 1, "iris": {"m.data": 1}},
            [("iris", "1", "iris/m.data"), ("model", "1", "model.data")],
            id="model.* among models",
        ),
        pytest.param({"my iris (new).data": 1}, [("my-iris-new-", "1", "my iris (new).data")], id="name made valid"),
        pytest.param({"_x": {"m.data": 1}}, [("x", "1", "_x/m.data")], id="name begins validly"),
        pytest.param({"n" * 200 + ".data": 1}, [("n" * 128, "1", "n" * 200 + ".data")], id="name cut"),
        pytest.param({"saved.pb": 1}, [("top", "1", ".")], id="a marked directory"),
        pytest.param({"flowers": {"saved.pb": 1}}, [("flowers", "1", "flowers")], id="among models"),
        pytest.param({"saved.pb": 1, "a.data": 1, "b.data": 1}, [("top", "1", ".")], id="before suffixes"),
        pytest.param({"saved.pb": 1, "1": {"a.data": 1}}, [("top", "1", ".")], id="before versions"),
        pytest.param({"f": {"3": {"saved.pb": 1}}}, [("f", "3", "f/3")], id="a marked version"),
        pytest.param(
            {"f": {"3": {"model.savedmodel": {"saved.pb": 1}}}}, [("f", "3", "f/3/model.savedmodel")], id="as in Triton"
        ),
        pytest.param({"3": {"saved.pb": 1}}, [("top", "3", "3")], id="marked versions at the top"),
        pytest.param({"f": {"2": {"saved.pb": 1}, "3": {"a.data": 1}}}, [("f", "3", "f/3/a.data")], id="of both kinds"),
    ],
)
def test_a_directory_holds_these_models(tree: dict[str, object], models: list[tuple[str, str, str]]) -> None:
    """Files, model directories and version directories are told apart by what lies in them."""
    assert found(tree) == models


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        pytest.param(
            {},
            "directory '/srv/top' holds no model; expected files ending in one of .big.data, .data, or model.py, "
            "or saved.pb, or directories with one such file each",
            id="empty",
        ),
        pytest.param(
            {"a.txt": 1, "b": {"c.txt": 1}},
            "directory '/srv/top' holds no model; expected files ending in one of .big.data, .data, or model.py, "
            "or saved.pb, or directories with one such file each",
            id="nothing known",
        ),
        pytest.param(
            {"iris": {"a.data": 1, "b.data": 1}},
            "directory '/srv/top/iris' must hold exactly one model file; it holds 'a.data', 'b.data'",
            id="two files in a model",
        ),
        pytest.param(
            {"1": {"a.data": 1, "b.data": 1}},
            "directory '/srv/top/1' must hold exactly one model file; it holds 'a.data', 'b.data'",
            id="two files in a version",
        ),
        pytest.param(
            {"1": {"a.data": 1}, "2": {"a.txt": 1}},
            "directory '/srv/top/2' must hold exactly one model file; it holds none",
            id="the highest version is empty",
        ),
        pytest.param(
            {"iris": {"a.data": 1, "2": {"a.data": 1}}},
            "directory '/srv/top/iris' holds both 'a.data' and version folders; expected one or the other",
            id="file and versions",
        ),
        pytest.param(
            {"model.data": 1, "2": {"a.data": 1}},
            "directory '/srv/top' holds both 'model.data' and version folders; expected one or the other",
            id="file and versions at the top",
        ),
        pytest.param(
            {"iris.data": 1, "iris": {"a.data": 1}},
            "two models are named 'iris': '/srv/top/iris/a.data' and '/srv/top/iris.data'",
            id="twins",
        ),
        pytest.param(
            {"é.data": 1},
            "no model name can be made from '/srv/top/é.data'; expected letters or digits in it",
            id="no name",
        ),
        pytest.param(
            {"saved.pb": 1, "model.py": 1},
            "'/srv/top': a directory is claimed by more than one runtime: coder (model.py), keeper (saved.pb); name "
            "one as 'runtime:' in the model's model.yaml",
            id="two markers",
        ),
        pytest.param(
            {"f": {"1": {"a": {"saved.pb": 1}, "b": {"saved.pb": 1}}}},
            "directory '/srv/top/f/1' must hold exactly one model file; it holds 'a', 'b'",
            id="two marked directories in a version",
        ),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tree: dict[str, object], message: str) -> None:
    """The message names the directory, what is in it, and what was expected."""
    with pytest.raises(ModelLoadFailed) as caught:
        found(tree)
    assert caught.value.message == message


TWO = {"model.data": 1}


@pytest.mark.parametrize(
    ("tree", "models"),
    [
        pytest.param({"model.yaml": ModelConfig(), "a.data": 1}, [("top", "1", "a.data")], id="makes the top a model"),
        pytest.param(
            {"f": {"model.yaml": ModelConfig(name="g"), "a.data": 1}}, [("g", "1", "f/a.data")], id="name of a folder"
        ),
        pytest.param(
            {"a.data": 1, "a.model.yaml": ModelConfig(name="z"), "b.data": 1},
            [("b", "1", "b.data"), ("z", "1", "a.data")],
            id="name of a file",
        ),
        pytest.param(
            {"a.data": 1, "b.yaml": 1, "c.model.yaml": 1}, [("a", "1", "a.data")], id="other YAML is passed over"
        ),
        pytest.param({"notes": {"model.yaml": 1}, "a.data": 1}, [("a", "1", "a.data")], id="without a model"),
        pytest.param(
            {"model.yaml": ModelConfig(runtime="coder"), "saved.pb": 1, "model.py": 1}, [("top", "1", ".")], id="marker"
        ),
        pytest.param(
            {"model.yaml": ModelConfig(runtime="reader"), "saved.pb": 1, "a.data": 1},
            [("top", "1", "a.data")],
            id="the runtime decides between a marker and a suffix",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(version_policy=VersionPolicy(latest=2)), "1": TWO, "9": TWO, "10": TWO},
            [("top", "9", "9/model.data"), ("top", "10", "10/model.data")],
            id="latest",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(version_policy=VersionPolicy(all=True)), "1": TWO, "9": TWO, "10": TWO},
            [("top", "1", "1/model.data"), ("top", "9", "9/model.data"), ("top", "10", "10/model.data")],
            id="all",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(version_policy=VersionPolicy(specific=(9, 1))), "1": TWO, "9": TWO, "10": TWO},
            [("top", "1", "1/model.data"), ("top", "9", "9/model.data")],
            id="specific",
        ),
    ],
)
def test_an_owner_says_what_a_model_is(tree: dict[str, object], models: list[tuple[str, str, str]]) -> None:
    """Its name, which runtime reads it and which versions are served stand in model.yaml."""
    assert found(tree) == models


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        pytest.param(
            {"model.yaml": ModelConfig(), "notes.txt": 1},
            "directory '/srv/top' holds no model; expected files ending in one of .big.data, .data, or model.py, or "
            "saved.pb, or directories with one such file each",
            id="no model beside it",
        ),
        pytest.param(
            {"f": {"1": {"a.data": 1, "model.yaml": ModelConfig()}}},
            "'/srv/top/f/1/model.yaml' stands in a version folder; expected it in '/srv/top/f', for all versions",
            id="in a version",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(version_policy=VersionPolicy(specific=(1, 4))), "1": TWO, "2": TWO},
            "directory '/srv/top' has no version 4, which version_policy.specific names; it has 1, 2",
            id="a version that is not there",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(version_policy=VersionPolicy(all=True)), "1": TWO, "2": {}},
            "directory '/srv/top/2' must hold exactly one model file; it holds none",
            id="an empty one of all",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(runtime="cooker"), "a.data": 1},
            "'/srv/top': there is no runtime 'cooker'; installed are coder, keeper, reader",
            id="no such runtime",
        ),
        pytest.param(
            {"model.yaml": ModelConfig(runtime="keeper"), "a.data": 1},
            "'a.data' is no model file that runtime 'keeper' reads; known suffixes are none",
            id="a runtime that does not read it",
        ),
    ],
)
def test_what_an_owner_says_must_fit(tree: dict[str, object], message: str) -> None:
    """The message names the directory and what does not fit."""
    with pytest.raises(ModelLoadFailed) as caught:
        found(tree)
    assert caught.value.message == message


def test_a_source_tells_what_its_owner_said() -> None:
    """And in which file."""
    config = ModelConfig(replicas=2)
    (source,) = chosen({"a.data": 1, "a.model.yaml": config})
    assert (source.config, source.config_path) == (config, Path("/srv/top/a.model.yaml"))


def test_files_beside_a_file_can_belong_to_it(tmp_path: Path) -> None:
    """Where the format says so: all of them in a directory of its own, those that begin with its stem among others."""
    (tmp_path / "own").mkdir()
    for name in ("a.onnx", "b.joblib", "own/m.onnx"):
        (tmp_path / name).touch()
    assert {source.name: source.beside for source in scan(tmp_path)} == {
        "a": Beside.NAMED,
        "b": Beside.NOTHING,
        "own": Beside.ALL,
    }


@pytest.mark.parametrize("config", ["iris.model.yaml", "model.yaml"])
def test_a_named_file_has_the_configuration_beside_it(tmp_path: Path, config: str) -> None:
    """Its own, or that of the folder, which is then the folder of this model."""
    (tmp_path / "iris.onnx").touch()
    (tmp_path / config).write_text("name: flowers\n")
    (source,) = scan(tmp_path / "iris.onnx")
    assert (source.name, source.config_path) == ("flowers", tmp_path / config)


def test_all_versions_take_a_name(tmp_path: Path) -> None:
    """They are one model."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "m.onnx").touch()
    (tmp_path / "model.yaml").write_text("version_policy: {all: true}\n")
    assert [(source.name, source.version) for source in scan(tmp_path, "x")] == [("x", "1"), ("x", "2")]


def test_a_file_is_one_model(tmp_path: Path) -> None:
    """A path to a file gives the model in it, named after the file unless a name is given."""
    path = tmp_path / "iris.v2.joblib"
    path.touch()
    assert scan(path) == (ModelSource("iris.v2", "1", path, "sklearn", "joblib"),)
    assert scan(path, "flowers") == (ModelSource("flowers", "1", path, "sklearn", "joblib"),)


def test_a_directory_is_read_from_disk(tmp_path: Path) -> None:
    """Hidden entries are left out, links are followed, and what lies too deep is not looked at."""
    kept = tmp_path / "kept.onnx"
    kept.touch()
    top = tmp_path / "models"
    for name in (".hidden/m.onnx", "iris/2/m.joblib", "iris/2/deep/deeper/m.onnx", "notes/readme.md"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    (top / ".secret.onnx").touch()
    (top / "linked.onnx").symlink_to(kept)
    (top / "loop").symlink_to(top / "loop")
    assert scan(top) == (
        ModelSource("iris", "2", top / "iris/2/m.joblib", "sklearn", "joblib"),
        ModelSource("linked", "1", top / "linked.onnx", "onnx", "ONNX", Beside.NAMED),
    )
    deepest = read_listing(top).folders[0].folders[0].folders[0]
    assert (deepest.path, deepest.folders) == (top / "iris/2/deep", ())


def test_a_linked_directory_keeps_its_name(tmp_path: Path) -> None:
    """A link to a model directory is named as the link is, not as its target; '.' and '..' are resolved."""
    (tmp_path / "v7").mkdir()
    (tmp_path / "v7" / "model.onnx").touch()
    (tmp_path / "iris").symlink_to(tmp_path / "v7")
    assert [one.name for one in scan(tmp_path / "iris")] == ["iris"]
    assert [one.name for one in scan(tmp_path / "v7" / ".." / "v7" / ".")] == ["v7"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "none", "'{top}/none' does not exist; expected a model file or a directory of models", id="missing"
        ),
        pytest.param("a.onnx/b", "'{top}/a.onnx/b' cannot be read: Not a directory", id="below a file"),
        pytest.param(
            "lost.onnx",
            "'{top}/lost.onnx' does not exist; expected a model file or a directory of models",
            id="dangling link",
        ),
        pytest.param("loop", "'{top}/loop' cannot be read: Too many levels of symbolic links", id="loop"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, name: str, message: str) -> None:
    """A path that leads nowhere is named, with what was expected there."""
    (tmp_path / "a.onnx").touch()
    (tmp_path / "lost.onnx").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ModelLoadFailed) as caught:
        scan(tmp_path / name)
    assert caught.value.message == message.format(top=tmp_path)


def test_a_file_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    """The message lists what the installed runtimes read."""
    (tmp_path / "a.csv").touch()
    with pytest.raises(ModelLoadFailed, match=r"^'a\.csv' is no model file .*; known suffixes are .*\.joblib, \.onnx"):
        scan(tmp_path / "a.csv")


def test_a_name_fits_one_model(tmp_path: Path) -> None:
    """A name for several models, or one that no caller could address, is refused."""
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(
        ModelLoadFailed, match=rf"^'{re.escape(str(tmp_path))}' holds 2 models; the name 'x' fits only one$"
    ):
        scan(tmp_path, "x")
    with pytest.raises(ModelLoadFailed) as caught:
        scan(tmp_path / "a.onnx", "../x")
    assert caught.value.message == (
        "'../x' is no valid model name; expected up to 128 letters, digits, '.', '_' and '-', "
        "the first a letter or digit"
    )


def test_a_directory_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """The system's own reason stands in the message."""
    with pytest.raises(ModelLoadFailed) as caught:
        read_listing(tmp_path / "gone")
    assert caught.value.message == f"directory '{tmp_path}/gone' cannot be read: No such file or directory"
