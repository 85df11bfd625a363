"""Secrets from a directory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tidegate.control.notifications.secrets import MOST, DirectorySecrets, SecretUnusable


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for namespace in ("default", "other"):
        (tmp_path / namespace).mkdir()
    (tmp_path / "default/team").write_text("the secret\r\n\n")
    (tmp_path / "other/theirs").write_text("x")
    (tmp_path / "outside").write_text("x")
    return tmp_path


def read(directory: Path | None, namespace: str, name: str) -> str:
    return asyncio.run(DirectorySecrets(directory).read(namespace, name))


def test_a_secret_is_read_each_time(directory: Path) -> None:
    """Without the line breaks at its end, and as it is by then; a link is followed, as mounted Secrets have them."""
    assert read(directory, "default", "team") == "the secret"
    (directory / "default/team").write_text("another")
    assert read(directory, "default", "team") == "another"
    (directory / "default/link").symlink_to(directory / "default/team")
    assert read(directory, "default", "link") == "another"


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("default", "../other/theirs"), ("default", "theirs"), ("default", ".."), ("default", "."), ("default", ""),
        ("default", "/etc/passwd"), ("default", "team\0"), ("default", "team/"), ("..", "outside"), ("", "outside"),
        ("default/../other", "theirs"), ("default", "Team"), ("default", "a" * 300), ("default", "none"),
        ("nowhere", "team"),
    ],
)  # fmt: skip
def test_a_name_leads_nowhere_else(directory: Path, namespace: str, name: str) -> None:
    """Not to another namespace, not out of the directory; what is not there is told by its name."""
    with pytest.raises(SecretUnusable, match=r"^(there is no secret '|'.*' is no name of a secret, expected )"):
        read(directory, namespace, name)


def test_without_a_directory_there_are_none() -> None:
    """And the option that would help is named."""
    with pytest.raises(SecretUnusable) as caught:
        read(None, "default", "team")
    assert str(caught.value) == "there is no secret 'default/team': the server was started without --secrets"


def test_what_is_no_small_text_is_refused(directory: Path) -> None:
    """Large, binary, a directory, a pipe that nobody writes to."""
    (directory / "default/large").write_bytes(b"x" * (MOST + 1))
    (directory / "default/binary").write_bytes(b"\xff\xfe")
    (directory / "default/folder").mkdir()
    os.mkfifo(directory / "default/pipe")
    for name, problem in (
        ("large", "has more than 8192 bytes"),
        ("binary", "is no text in ASCII"),
        ("folder", "cannot be read: "),
        ("pipe", "cannot be read: it is no file"),
    ):
        with pytest.raises(SecretUnusable, match=f"^the secret 'default/{name}' {problem}"):
            read(directory, "default", name)
