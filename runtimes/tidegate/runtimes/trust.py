"""The one gate in front of every file: is it there, which format is it, and may that format be read from this source.

A pickle is a program: reading one runs what its author wrote, with all rights of the process. Scanners miss hostile
ones, so nothing is decided by looking at the content: the source is trusted, or the file is not opened.
"""

from __future__ import annotations

from tidegate.protocol.errors import ModelLoadFailed, UntrustedModel, shown
from tidegate.runtimes.runtime import Artifact, Format


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
        f"there; it is loaded only from a trusted source: a path typed on the command line, or one that the server's "
        f"trust policy names"
    )


def admit(artifact: Artifact, formats: tuple[Format, ...]) -> Format:
    """The format of an artifact that may be read: what a runtime over single files calls first of all.

    Raises:
        ModelLoadFailed: its suffix belongs to none of ``formats``, or there is no such file.
        UntrustedModel: see ``require_trust``.
    """
    name = artifact.path.name.lower()
    fits = [(len(end), form) for form in formats for end in form.suffixes if name.endswith(end)]
    if not fits:
        known = ", ".join(sorted(end for form in formats for end in form.suffixes))
        raise ModelLoadFailed(f"model '{artifact.name}': '{shown(artifact.path.name)}' does not end in one of {known}")
    form = max(fits, key=lambda fit: fit[0])[1]
    require_trust(artifact, form)
    _check_file(artifact, form)
    return form


def _check_file(artifact: Artifact, form: Format) -> None:
    path = artifact.path
    if not path.is_file():  # before opening it: opening a pipe would wait for a writer
        problem = "is no file" if path.exists() else "does not exist"
    else:
        try:
            path.open("rb").close()
            return
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
    raise ModelLoadFailed(f"model '{artifact.name}': '{shown(path.name)}' {problem}; expected a {form.name} file")
