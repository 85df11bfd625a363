"""The one gate in front of every file: is it there, which format is it, and may that format be read from this source.

A pickle is a program: reading one runs what its author wrote, with all rights of the process. Scanners miss hostile
ones, so nothing is decided by looking at the content: the source is trusted, or the file is not opened.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel, shown
from tidegate.runtimes.runtime import Artifact, Format


class TrustPolicy(msgspec.Struct, frozen=True):
    """Which sources the owner of a server vouches for, where others name them. Without an entry it is none."""

    directories: tuple[Path, ...] = ()
    """What lies in these directories, or is one of these paths, is trusted. Links are followed before it is looked at,
    here and there: a link in a trusted directory vouches for nothing outside of it."""

    def trusts(self, path: Path) -> bool:
        """Whether the file or directory at an absolute path is trusted."""
        place = os.path.realpath(path)
        return any(
            os.path.commonpath((place, trusted)) == trusted for trusted in map(os.path.realpath, self.directories)
        )


def require_trust(artifact: Artifact, format: Format) -> None:
    """Let the artifact pass if its format is only data, or its source is trusted.

    Every runtime calls this for every format, before it reads the first byte of the file.

    Raises:
        UntrustedModel: the format can execute code and nobody has vouched for the source.
    """
    if not format.executes_code or artifact.trusted:
        return
    raise UntrustedModel(
        f"model '{artifact.name}' is a {format.name} file, and reading one can run any code that its author put "
        f"there; it is loaded only from a trusted source: a path typed on the command line, or one below a directory "
        f"that --trust names"
    )


def admit(artifact: Artifact, formats: tuple[Format, ...]) -> Format:
    """The format of an artifact that may be read: what every runtime calls first of all.

    Raises:
        ModelLoadFailed: it is in none of ``formats``, or it is not there.
        UntrustedModel: see ``require_trust``.
    """
    form = _format(artifact, formats)
    require_trust(artifact, form)
    _check_file(artifact, form, artifact.path / form.marker if form.marker else artifact.path)
    return form


def _format(artifact: Artifact, formats: tuple[Format, ...]) -> Format:
    name = artifact.path.name.lower()
    if artifact.path.is_dir():
        for form in formats:
            if form.marker and (artifact.path / form.marker).exists():
                return form
    fits = [(len(end), form) for form in formats for end in form.suffixes if name.endswith(end)]
    if fits:
        return max(fits, key=lambda fit: fit[0])[1]
    known = ", ".join(sorted(end for form in formats for end in form.suffixes))
    reasons = [f"is no directory with {form.marker}" for form in formats if form.marker]
    if known and not (reasons and artifact.path.is_dir()):
        reasons.insert(0, f"does not end in one of {known}")
    raise ModelLoadFailed(f"model '{artifact.name}': '{shown(artifact.path.name)}' {' and '.join(reasons)}")


def _check_file(artifact: Artifact, form: Format, path: Path) -> None:
    if not path.is_file():  # before opening it: opening a pipe would wait for a writer
        problem = "is no file" if path.exists() else "does not exist"
    else:
        try:
            path.open("rb").close()
            return
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
    raise ModelLoadFailed(f"model '{artifact.name}': '{shown(path.name)}' {problem}; expected a {form.name} file")
