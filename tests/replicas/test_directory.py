"""Private directories: made for one worker, and swept when nobody owns them."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import pytest

from tidegate.replicas.directory import PrivateDirectory, sweep
from tidegate.testing.storm import descriptors_left


def test_private(tmp_path: Path) -> None:
    """Only this user enters, and nothing is left after it."""
    directory = PrivateDirectory.make(str(tmp_path))
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    directory.socket.touch()
    directory.remove()
    assert list(tmp_path.iterdir()) == []


def test_sweep_takes_what_nobody_owns(tmp_path: Path) -> None:
    """A directory left behind goes; one with an owner, and what is not ours by name, stays."""
    owned = PrivateDirectory.make(str(tmp_path))
    stale = tmp_path / "tidegate-worker-stale"
    stale.mkdir()
    (stale / "worker").touch()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (tmp_path / "tidegate-worker-link").symlink_to(foreign)
    precious = tmp_path / "tidegate-worker-notes"
    precious.mkdir()
    (precious / "file").touch()
    assert sweep(str(tmp_path)) == 1
    kept = {"foreign", owned.path.name, "tidegate-worker-link", "tidegate-worker-notes"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert (precious / "file").exists()
    owned.remove()


def test_remove_what_is_gone(tmp_path: Path) -> None:
    """The worker may have removed it first, or its owner."""
    directory = PrivateDirectory.make(str(tmp_path))
    directory.path.rmdir()
    directory.remove()
    directory.remove()


def test_the_path_holds_in_every_working_directory(tmp_path: Path) -> None:
    """A worker gets it, and a model may go elsewhere."""
    with contextlib.chdir(tmp_path):
        directory = PrivateDirectory.make("")
        directory.remove()
        assert directory.path.is_absolute()
        directory = PrivateDirectory.make(".")
    directory.remove()
    assert directory.path.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_without_a_descriptor_there_is_none(tmp_path: Path) -> None:
    """That is an error at once, and no directory stays."""
    with descriptors_left(0), pytest.raises(OSError, match="Too many open files"):
        PrivateDirectory.make(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
