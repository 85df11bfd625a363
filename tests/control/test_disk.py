"""Looking at the disk: what is there, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from tidegate.control.disk import Root, survey


def fake(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def test_one_wrong_model_hides_no_other(tmp_path: Path) -> None:
    """It is a problem under its name; files with a configuration beside them are found one by one, too."""
    fake(tmp_path / "good" / "model.fake.json")
    fake(tmp_path / "bad" / "model.fake.json")
    (tmp_path / "bad" / "model.yaml").write_text("nonsense: 1")
    fake(tmp_path / "alone.fake.json")
    (tmp_path / "alone.model.yaml").write_text("replicas: 3")
    fake(tmp_path / "worse.fake.json")
    (tmp_path / "worse.model.yaml").write_text("replicas: 0")
    (tmp_path / "notes").mkdir()
    found = survey([Root(tmp_path)], True)
    assert list(found.offers) == ["alone", "good"]
    assert found.offers["alone"]["1"].source.config.replicas == 3
    assert set(found.problems) == {"bad", "worse"}
    assert "nonsense is no field" in found.problems["bad"]
    assert found.unread == {}


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    """Which is no problem; a directory that is not there is one, for it may be there again."""
    found = survey([Root(tmp_path), Root(tmp_path / "gone")], True)
    assert (found.offers, found.problems) == ({}, {})
    assert list(found.unread) == [tmp_path / "gone"]


def test_two_paths_with_one_model(tmp_path: Path) -> None:
    """Neither is served in place of the other."""
    for folder in ("x", "y"):
        fake(tmp_path / folder / "m.fake.json")
    found = survey([Root(tmp_path / "x"), Root(tmp_path / "y")], True)
    assert found.offers == {}
    assert "would both be model 'm' version 1" in found.problems["m"]


def test_a_change_makes_another_offer(tmp_path: Path) -> None:
    """Of content or configuration; looking twice makes none."""
    fake(tmp_path / "m" / "model.fake.json")
    roots = [Root(tmp_path)]
    first = survey(roots, True)
    assert survey(roots, True) == first
    (tmp_path / "m" / "model.yaml").write_text("replicas: 2")
    second = survey(roots, True)
    assert second != first
    (tmp_path / "m" / "model.fake.json").write_text('{"poison": 1}')
    assert survey(roots, True) not in (first, second)


def test_a_folder_that_is_one_model_is_told_as_a_whole(tmp_path: Path) -> None:
    """Its parts are no models of their own."""
    fake(tmp_path / "model.fake.json")
    (tmp_path / "model.yaml").write_text("nonsense: 1")
    assert list(survey([Root(tmp_path)], True).unread) == [tmp_path]
