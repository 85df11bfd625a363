"""The tree is as ARCHITECTURE.md draws it: one namespace over source roots, nothing that shadows or joins it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import tidegate

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOTS: list[str] = PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]
PACKAGES = sorted(p for root in ROOTS for p in (ROOT / root / "tidegate").iterdir() if (p / "__init__.py").exists())


@pytest.mark.parametrize("root", ROOTS)
def test_the_namespace_has_no_init(root: str) -> None:
    """An __init__.py in ROOT/tidegate would hide every other source root."""
    assert not (ROOT / root / "tidegate" / "__init__.py").exists()


@pytest.mark.parametrize("root", ROOTS)
def test_code_stands_inside_the_namespace(root: str) -> None:
    """No module lies in a source root beside tidegate/, where it would be importable by an accidental name.

    The scripts of loadtests/ may: they are run by their path, and nothing imports them.
    """
    scripts = set((ROOT / "loadtests").glob("*.py"))
    stray = [p for p in (ROOT / root).rglob("*.py") if "tidegate" not in p.relative_to(ROOT / root).parts]
    stray = [p for p in stray if p not in scripts]
    assert stray == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_a_package_is_complete(package: Path) -> None:
    """Each package is typed, lives in one root only, and each of its folders with code is a package."""
    assert (package / "py.typed").exists()
    assert [p.name for p in PACKAGES].count(package.name) == 1
    folders = {p.parent for p in package.rglob("*.py")}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


def test_tests_are_no_package() -> None:
    """With importlib mode an __init__.py or a tests/tidegate folder would join the namespace under test."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    assert not (ROOT / "tests" / "tidegate").exists()


def test_the_running_namespace_is_this_checkout() -> None:
    """Two checkouts on one path merge without a word; the imported one must be this tree, or an installed wheel."""
    places = {Path(p).resolve() for p in tidegate.__path__}
    assert places == {ROOT / root / "tidegate" for root in ROOTS} or all("site-packages" in str(p) for p in places)


def test_every_tool_knows_the_same_roots() -> None:
    """hatch, mypy, ruff and coverage agree on what the source roots are."""
    tool = PROJECT["tool"]
    assert tool["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"{root}/tidegate" for root in ROOTS]
    assert tool["mypy"]["mypy_path"] == ROOTS
    assert tool["ruff"]["src"] == ROOTS
    assert tool["coverage"]["run"]["source_dirs"] == ROOTS


def test_the_folders_of_the_architecture_exist() -> None:
    """The seven top-level folders are fixed, whether or not there is code in them yet."""
    named = {"server", "runtimes", "autoscaler", "transformers", "deploy", "loadtests", "tests"}
    assert named <= {p.name for p in ROOT.iterdir() if p.is_dir()}


def test_every_module_tells_its_idea() -> None:
    """A stranger finds the room: each module of the product begins with a docstring."""
    silent = [
        str(p.relative_to(ROOT))
        for package in PACKAGES
        for p in package.rglob("*.py")
        if p.read_text().strip() and not re.match(r'(#!.*\n)?r?"""', p.read_text())
    ]
    assert silent == []
