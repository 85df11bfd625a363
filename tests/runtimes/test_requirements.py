"""What a custom model says must be installed, against what is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.requirements import check_requirements, check_requirements_file, requirement_lines

INSTALLED = {"numpy": "2.4.1", "torch": "2.13.0+cpu", "early": "3.0rc1"}


def installed(name: str) -> str:
    if name not in INSTALLED:
        raise PackageNotFoundError(name)
    return INSTALLED[name]


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy>=2,<3",
        "torch==2.13.0",
        "early>=3.0rc1",
        "numpy[all]==2.4.1",
        "absent; sys_platform == 'plan9'",
    ],
)
def test_what_is_installed_is_no_fault(line: str) -> None:
    """A local build and a pre-release count as what they are, and what is meant for elsewhere is not asked for."""
    check_requirements("m", "requirements.txt", [line], installed)


def test_every_fault_is_told_in_one_sentence() -> None:
    """What is missing, and what is there in its place."""
    with pytest.raises(ModelLoadFailed) as caught:
        check_requirements("m", "requirements.txt", ["numpy<2", "torch", "absent>=1"], installed)
    assert caught.value.message == (
        "model 'm': requirements.txt asks for numpy<2, and 2.4.1 is installed; absent>=1, which is not installed; "
        "install what it asks for in the environment that tidegate runs in"
    )


@pytest.mark.parametrize("line", ["-r base.txt", "--requirement=base.txt", "-e .", "-c pins.txt", "two words", "=="])
def test_a_line_that_cannot_be_held_against_anything_is_refused(line: str) -> None:
    """Else a requirement would go unseen."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': requirements\.txt has '.+', expected a name and its"):
        check_requirements("m", "requirements.txt", requirement_lines(line), installed)


def test_the_lines_are_pip_s() -> None:
    """Comments, continued lines, hashes and the options of the index ask for nothing."""
    text = """# what it needs
--extra-index-url https://example.org/simple
numpy>=2  # arrays
torch==2.13.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01

name @ https://example.org/x.whl#sha256=00
"""
    assert list(requirement_lines(text)) == ["numpy>=2", "torch==2.13.0", "name @ https://example.org/x.whl#sha256=00"]


def test_a_folder_may_have_none(tmp_path: Path) -> None:
    """Then nothing is asked for."""
    check_requirements_file("m", tmp_path)


@pytest.mark.parametrize("content", [pytest.param(b"\xff\xfe", id="no text"), pytest.param(None, id="a folder")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """With its name and the reason."""
    path = tmp_path / "requirements.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'requirements\.txt' cannot be read: "):
        check_requirements_file("m", tmp_path)


def test_what_is_really_installed_is_asked(tmp_path: Path) -> None:
    """The environment of this process."""
    (tmp_path / "requirements.txt").write_text("numpy>=2\nno-such-package-at-all\n")
    with pytest.raises(ModelLoadFailed, match=r"asks for no-such-package-at-all, which is not installed; install"):
        check_requirements_file("m", tmp_path)
