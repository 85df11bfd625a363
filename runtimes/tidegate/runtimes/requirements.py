"""What a model says that must be installed, held against what is. Nothing is ever installed.

The lines are those of pip's requirements.txt. Options that say where pip looks (``--index-url``) mean nothing here and
are passed over; those that name other files are refused, because a requirement would go unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from tidegate.protocol.errors import ModelLoadFailed, shown

FILE = "requirements.txt"

_CONTINUED = re.compile(r"\\\r?\n")
_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[= ]\S+")
_OTHER_FILE = re.compile(r"-[rce]\b|--(requirement|constraint|editable)\b")


def check_requirements_file(model: str, folder: Path) -> None:
    """Hold the folder's requirements.txt, where there is one, against what is installed.

    Raises:
        ModelLoadFailed: see ``check_requirements``; or the file cannot be read.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ModelLoadFailed(f"model '{model}': '{FILE}' cannot be read: {reason}") from error
    check_requirements(model, FILE, requirement_lines(text))


def requirement_lines(text: str) -> Iterator[str]:
    """The lines of a requirements.txt that ask for something, or for something that cannot be looked up here."""
    for line in _CONTINUED.sub(" ", text).splitlines():
        line = _HASH.sub("", _COMMENT.sub("", line)).strip()
        if line and (not line.startswith("-") or _OTHER_FILE.match(line)):
            yield line


def check_requirements(
    model: str, origin: str, lines: Iterable[str], installed: Callable[[str], str] = version
) -> None:
    """Hold requirements against what is installed. ``origin`` is where they stand, for the message.

    Raises:
        ModelLoadFailed: some are missing or of another version, all of which are named; or a line is none.
    """
    faults = [fault for line in lines if (fault := _fault(_parsed(model, origin, line), installed))]
    if faults:
        raise ModelLoadFailed(
            f"model '{model}': {origin} asks for {'; '.join(faults)}; install what it asks for in the environment "
            f"that tidegate runs in"
        )


def _parsed(model: str, origin: str, line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise ModelLoadFailed(
            f"model '{model}': {origin} has '{shown(line)}', expected a name and its versions, as in numpy>=2"
        ) from error


def _fault(wanted: Requirement, installed: Callable[[str], str]) -> str:
    if wanted.marker is not None and not wanted.marker.evaluate():
        return ""
    asked = f"{wanted.name}{wanted.specifier}"
    try:
        found = installed(wanted.name)
    except PackageNotFoundError:
        return f"{asked}, which is not installed"
    return "" if wanted.specifier.contains(found, prereleases=True) else f"{asked}, and {found} is installed"
