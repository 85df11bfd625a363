"""How a page of the documentation is read, typed and compared."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tidegate.testing.pages import Command, File, Reader, matches, steps

PAGE = """# A page

```python
# one.py
print("1")
```

```console
$ python one.py
1
$ echo a \\
>   b
…

$ true
```

```
$ not a command
```
"""


def test_a_page_is_files_and_commands() -> None:
    """In their order, each command with its output and its line; other blocks are pictures."""
    assert list(steps(PAGE)) == [
        File("one.py", '# one.py\nprint("1")\n'),
        Command("python one.py", ("1",), 9),
        Command("echo a \\\n  b", ("…",), 11),
        Command("true", (), 15),
    ]


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        pytest.param("```python\nimport x\n```\n", "line 2: a python block begins with '# NAME.py'", id="no-name"),
        pytest.param("a\n```console\nls\n```\n", "line 3: a console block begins with '\\$ command'", id="no-command"),
    ],
)
def test_a_block_in_another_form_is_refused(page: str, problem: str) -> None:
    """Else it would silently not be run."""
    with pytest.raises(ValueError, match=problem):
        list(steps(page))


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        pytest.param(("a",), "a  \n\n", True, id="ends-of-lines"),
        pytest.param(("a.c",), "abc\n", False, id="no-pattern-but-the-dots"),
        pytest.param(("a … c",), "a b c\n", True, id="any-text"),
        pytest.param(("a … c",), "a b\nc c\n", False, id="within-a-line"),
        pytest.param(("…", "c"), "a\nb\nc\n", True, id="any-lines"),
        pytest.param(("a", "…"), "a\n", True, id="none-of-them"),
        pytest.param((), "a\n", False, id="nothing-expected"),
        pytest.param(("a",), "", False, id="nothing-printed"),
    ],
)
def test_output_is_compared_line_by_line(expected: tuple[str, ...], printed: str, fits: bool) -> None:
    """What stands in the page is what is printed, but for the dots."""
    assert matches(expected, printed) is fits


def test_a_reader_sees_what_a_terminal_shows(tmp_path: Path) -> None:
    """Both streams, in an otherwise empty directory, with the program's own interpreter."""
    page = "```python\n# one.py\nprint(1)\n```\n```console\n$ ls; test -t 1 && python one.py >&2\none.py\n1\n```\n"
    with Reader(tmp_path, Path(sys.executable).parent) as reader:
        reader.follow(page)


def test_another_output_is_told_with_its_place(tmp_path: Path) -> None:
    """The line of the page, what was typed, what came and what should have come."""
    with (
        Reader(tmp_path, Path(sys.executable).parent) as reader,
        pytest.raises(AssertionError, match=r"^line 2: \$ echo a\na\n\n--- expected:\nb"),
    ):
        reader.follow("```console\n$ echo a\nb\n```\n")
