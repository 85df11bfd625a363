"""Which files of the machine a manifest may have read as stored requests, and how much of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidegate.app.golden import FIELD, GoldenSettings, Unreadable, documents
from tidegate.runtimes.trust import TrustPolicy

NOBODY = TrustPolicy()
BOUNDS = GoldenSettings()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's directory with two stored requests, and a secret beside it."""
    golden = tmp_path / "iris" / "golden"
    golden.mkdir(parents=True)
    (golden / "b.json").write_bytes(b"B")
    (golden / "a.json").write_bytes(b"A")
    (golden / "README").write_bytes(b"no request")
    (golden / "more").mkdir()
    (golden / "more" / "c.json").write_bytes(b"C")
    (tmp_path / "secret.json").write_bytes(b"S")
    return tmp_path / "iris"


def test_a_directory_is_read_in_the_order_of_its_names(model: Path) -> None:
    """What ends otherwise, and what lies deeper, is none of it. A relative path counts from the model's directory."""
    for uri in ("golden", "golden/", f"{model}/golden", f"file://{model}/golden"):
        assert documents(uri, model, NOBODY, BOUNDS) == [("a.json", b"A"), ("b.json", b"B")]


def test_a_file_has_one_or_one_on_each_line(model: Path) -> None:
    """The latter where its name ends in .jsonl."""
    (model / "all.jsonl").write_bytes(b"A\n\nB\n")
    assert documents("golden/b.json", model, NOBODY, BOUNDS) == [("b.json", b"B")]
    assert documents("all.jsonl", model, NOBODY, BOUNDS) == [("all.jsonl:1", b"A"), ("all.jsonl:3", b"B")]


@pytest.mark.parametrize("uri", ["{tmp}/secret.json", "file://{tmp}/secret.json", "{tmp}", "{tmp}/nothing"])
def test_what_lies_elsewhere_is_not_read_and_not_looked_at(uri: str, model: Path) -> None:
    """Who writes a manifest does not even learn whether it is there."""
    with pytest.raises(Unreadable, match="lies neither in the model's own directory nor below one that --trust names"):
        documents(uri.format(tmp=model.parent), model, NOBODY, BOUNDS)


def test_what_lies_in_a_trusted_directory_is_read(model: Path) -> None:
    """Whoever started the server has said so."""
    trust = TrustPolicy((model.parent,))
    assert documents(f"{model.parent}/secret.json", model, trust, BOUNDS) == [("secret.json", b"S")]
    assert documents(f"{model.parent}/secret.json", None, trust, BOUNDS) == [("secret.json", b"S")]


def test_beside_a_model_that_is_one_file_nothing_is_read(model: Path) -> None:
    """The directory may hold anything; a relative path counts from it, where it is trusted."""
    file = model / "iris.onnx"
    file.write_bytes(b"")
    with pytest.raises(Unreadable, match="neither in the model's own directory"):
        documents("golden", file, NOBODY, BOUNDS)
    assert len(documents("golden", file, TrustPolicy((model,)), BOUNDS)) == 2


@pytest.mark.parametrize("uri", ["../secret.json", "golden/../../secret.json", "s3://bucket/golden", "file:golden"])
def test_a_path_says_where_it_leads(uri: str, model: Path) -> None:
    """As a model's own does, with the field that it stands in."""
    with pytest.raises(Unreadable, match=f"^{FIELD} '{uri}' "):
        documents(uri, model, NOBODY, BOUNDS)


def test_no_link_leads_out(model: Path) -> None:
    """Neither the place itself nor a file in it."""
    (model / "out").symlink_to(model.parent)
    with pytest.raises(Unreadable, match="neither in the model's own directory"):
        documents("out", model, NOBODY, BOUNDS)
    (model / "golden" / "c.json").symlink_to(model.parent / "secret.json")
    with pytest.raises(Unreadable, match=r"c\.json is a link that leads to where nothing is read"):
        documents("golden", model, NOBODY, BOUNDS)


def test_what_cannot_be_read_is_told(model: Path) -> None:
    """A pipe is not waited for."""
    with pytest.raises(Unreadable, match="nothing is no file"):
        documents("nothing", model, NOBODY, BOUNDS)
    (model / "empty").mkdir()
    with pytest.raises(Unreadable, match=r"has no requests, expected files NAME\.json"):
        documents("empty", model, NOBODY, BOUNDS)
    os.mkfifo(model / "empty" / "pipe.json")
    with pytest.raises(Unreadable, match=r"pipe\.json is no file"):
        documents("empty", model, NOBODY, BOUNDS)
    with pytest.raises(Unreadable, match="is a relative path"):
        documents("golden", None, NOBODY, BOUNDS)


def test_no_more_is_read_than_may_be(model: Path) -> None:
    """More is not cut off: what was left out might be what differs."""
    assert len(documents("golden", model, NOBODY, GoldenSettings(max_requests=2, max_bytes=2))) == 2
    with pytest.raises(Unreadable, match="has more than 1 requests, which is the limit"):
        documents("golden", model, NOBODY, GoldenSettings(max_requests=1))
    with pytest.raises(Unreadable, match="has more than 1 bytes, which is the limit"):
        documents("golden", model, NOBODY, GoldenSettings(max_bytes=1))


@pytest.mark.parametrize("bounds", [{"max_requests": 0}, {"max_bytes": 0}, {"timeout": -1.0}])
def test_a_bound_that_cannot_be_is_refused(bounds: dict[str, int]) -> None:
    """As soon as it is said."""
    with pytest.raises(ValueError, match=f"{next(iter(bounds))} is"):
        GoldenSettings(**bounds)
