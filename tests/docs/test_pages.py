"""The pages of the documentation do what they say: every command in them is typed, every file in them written."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tidegate.testing.pages import Reader, steps

ROOT = Path(__file__).resolve().parents[2]
PAGES = [page for page in sorted(ROOT.glob("docs/*.md")) if page.name != "README.md"]
SECTIONS = ["Try it", "Reference", "Errors", "Limits", "Deviations"]


@pytest.mark.e2e
@pytest.mark.framework
@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """From an empty directory to the end of the page, with the output that it shows."""
    if missing := [tool for tool in ("bash", "curl", "pkill") if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    with Reader(tmp_path, Path(sys.executable).parent) as reader:
        reader.follow(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_form_of_all(page: Path) -> None:
    """A title, a sentence, something to try, and then what is there in one order."""
    text = page.read_text()
    assert re.match(r"# .+\n\n[A-Zt].+\n", text)
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sections[0] == "Try it"
    assert [name for name in SECTIONS if name in sections] == [name for name in sections if name in SECTIONS]
    assert list(steps(text)) != []


def test_the_index_lists_every_page() -> None:
    """Each once, by its file."""
    linked = re.findall(r"^\| \[[^\]]+\]\(([\w.]+)\)", (ROOT / "docs" / "README.md").read_text(), re.MULTILINE)
    assert sorted(linked) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Those to files of this project; nothing is fetched."""
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
