"""A framework's error as it may be passed on: one line, and none of this machine's folders."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:\"']+/)+")


def plain_line(text: str, path: Path) -> str:
    """The first line of ``text``; the model's ``path`` in it is its name alone, and other folders are gone."""
    line = (text.strip() or "no reason given").splitlines()[0]
    line = line.replace(f"{path}/", "").replace(str(path), f"'{path.name}'").replace(f"{path.parent}/", "")
    return _FOLDERS.sub("", line)
