"""The catalogue: runtimes found through entry points, files told by their suffix."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes import catalogue
from tidegate.runtimes.catalogue import GROUP, Catalogue, read_catalogue
from tidegate.runtimes.runtime import Artifact, Format, Model


class Reader:
    """A runtime that reads nothing: the catalogue asks only for its name and formats."""

    package = "reader"

    def __init__(self, name: str, *formats: Format) -> None:
        self.name = name
        self.formats = formats

    def load(self, artifact: Artifact) -> Model:
        raise NotImplementedError


DATA = Format("data", (".data",), executes_code=False)
FINE = Format("fine data", (".fine.data",), executes_code=False)


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable third-party module with two runtimes."""
    module = ModuleType("plugins")
    module.one = Reader("one", DATA)  # type: ignore[attr-defined]
    module.two = Reader("two", FINE)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugins", module)
    return module


def test_the_installed_runtimes_are_found_by_name_and_by_file() -> None:
    """The product's own runtimes are there without their frameworks being imported."""
    assert catalogue.find("sklearn").package == "tidegate[sklearn]"
    assert catalogue.runtimes()["onnx"] is catalogue.find("onnx")
    runtime, form = catalogue.detect(Path("models/Iris.JOBLIB"))
    assert (runtime.name, form.name, form.executes_code) == ("sklearn", "joblib", True)
    runtime, form = catalogue.detect(Path("resnet.onnx"))
    assert (runtime.name, form.name, form.executes_code) == ("onnx", "ONNX", False)


def test_a_broken_runtime_takes_nothing_from_the_others(plugins: ModuleType) -> None:
    """A runtime that does not import is told to whoever asks for it, and the rest works."""
    found = read_catalogue([entry("one", "plugins:one"), entry("bad", "no_such_module:RUNTIME")])
    assert found.find("one") is plugins.one
    with pytest.raises(ModelLoadFailed) as caught:
        found.find("bad")
    assert caught.value.message == (
        "runtime 'bad' cannot be used: no_such_module:RUNTIME does not import: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    with pytest.raises(ModelLoadFailed) as caught:
        found.detect(Path("a/b.bin"))
    assert caught.value.message == (
        "'b.bin' is no model file that an installed runtime reads; known suffixes are .data; runtime 'bad' cannot be "
        "used: no_such_module:RUNTIME does not import: ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_an_unknown_name_lists_what_is_installed(plugins: ModuleType) -> None:
    """Asking for a runtime that nobody declares names those that are."""
    found = read_catalogue([entry("two", "plugins:two"), entry("one", "plugins:one")])
    with pytest.raises(ModelLoadFailed, match=r"^there is no runtime 'three'; installed are one, two$"):
        found.find("three")
    with pytest.raises(ModelLoadFailed, match=r"^there is no runtime 'one'; installed are none$"):
        read_catalogue([]).find("one")


def test_one_name_for_two_runtimes_is_neither(plugins: ModuleType) -> None:
    """Two distributions that claim one name are told, and not chosen between; the same entry twice is one."""
    twice = [entry("one", "plugins:one"), entry("one", "plugins:one")]
    assert read_catalogue(twice).find("one") is plugins.one
    found = read_catalogue([*twice, entry("one", "plugins:two")])
    with pytest.raises(ModelLoadFailed) as caught:
        found.find("one")
    assert caught.value.message == (
        "runtime 'one' cannot be used: both plugins:one and plugins:two are installed under this name"
    )


def test_a_runtime_goes_by_one_name(plugins: ModuleType) -> None:
    """An entry point under another name than the runtime's own would be found here and lost there."""
    with pytest.raises(ModelLoadFailed) as caught:
        read_catalogue([entry("uno", "plugins:one")]).find("uno")
    assert caught.value.message == (
        "runtime 'uno' cannot be used: plugins:one calls itself 'one'; expected the entry point's own name"
    )


def test_the_longest_suffix_wins() -> None:
    """A file name that ends in two known suffixes belongs to the more special one."""
    one, two = Reader("one", DATA), Reader("two", FINE)
    both = Catalogue({"one": one, "two": two})
    assert both.detect(Path("x.fine.data")) == (two, FINE)
    assert both.detect(Path("x.data")) == (one, DATA)
    assert both.suffixes() == (".data", ".fine.data")
    assert both.recognises(Path("X.DATA"))
    assert not both.recognises(Path("x.txt"))
    assert not Catalogue({}).recognises(Path("x.data"))


def test_a_suffix_with_two_claims_is_refused() -> None:
    """Which of two runtimes reads a file is not left to the order of their names."""
    both = Catalogue({"one": Reader("one", DATA), "two": Reader("two", DATA)})
    with pytest.raises(ModelLoadFailed) as caught:
        both.detect(Path("x.data"))
    assert caught.value.message == (
        "'x.data' is claimed by more than one runtime: one (data), two (data); name one as 'runtime:' in the model's "
        "model.yaml"
    )
    assert both.detect(Path("x.data"), "two") == (both.runtimes["two"], DATA)


def test_a_directory_is_told_by_the_file_in_it() -> None:
    """A marker makes the directory one model; two markers are refused, for either could be meant."""
    saved = Format("saved model", (), executes_code=True, marker="saved.pb")
    code = Format("code", (), executes_code=True, marker="model.py")
    one, two = Reader("one", saved), Reader("two", code)
    both = Catalogue({"one": one, "two": two})
    assert both.marked({"saved.pb", "notes.txt"}) == (one, saved)
    assert both.marked({"notes.txt"}) is None
    with pytest.raises(
        ModelLoadFailed,
        match=r"^a directory is claimed by more than one runtime: one \(saved\.pb\), two \(model\.py\); "
        r"name one as 'runtime:' in the model's model\.yaml$",
    ):
        both.marked({"saved.pb", "model.py"})
    assert both.marked({"saved.pb", "model.py"}, "two") == (two, code)
    assert both.marked({"saved.pb"}, "two") is None
    assert both.markers() == {"saved.pb", "model.py"}
