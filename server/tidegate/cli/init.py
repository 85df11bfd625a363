"""``tidegate init``: the files of a custom model, from templates that are tested as they stand."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.protocol.errors import shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What ``tidegate serve`` takes as it is; in any other name it would put dashes, and the README would be wrong."""

Kind = Literal["function", "class", "generator", "sequence"]

_FILES = ("model.py", "test_model.py", "requirements.txt", "README.md")
_QUESTIONS = {
    "function": "tidegate infer {name} --input x=5.1,3.5,1.4,0.2",
    "class": "tidegate infer {name} --input x=Ada",
    "generator": "tidegate infer {name} --input x=text",
    "sequence": """curl http://127.0.0.1:8080/v2/models/{name}/infer -d '{{"parameters": {{"sequence_id": 1, \
"sequence_start": true}}, "inputs": [{{"name": "x", "datatype": "FP32", "shape": [1], "data": [2]}}]}}'""",
}
"""How each kind is asked on the command line. A sequence needs parameters, which only curl can give."""


def init(directory: Annotated[Path, Parameter(show_env_var=False)], /, *, kind: Kind = "function") -> None:
    """Write a custom model in Python, with its test.

    Parameters
    ----------
    directory
        Where to: a new folder, or one in which none of the files is. The model is called as the folder.
    kind
        function answers a batch of rows, class loads something once, generator answers with a stream, sequence keeps a
        state between requests.
    """
    folder = directory.absolute()
    content = rendered(kind, folder.name, shlex.quote(str(directory)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if there := [name for name in content if (folder / name).exists()]:
            raise Failure(
                f"'{shown(directory, 300)}' already has {', '.join(there)}", "give a new folder; nothing was written"
            )
        for name, text in content.items():
            with (folder / name).open("x", encoding="utf-8") as file:  # never over one that came in between
                file.write(text)
    except OSError as error:
        raise Failure(f"'{shown(error.filename or directory, 300)}' cannot be written: {error.strerror}") from error
    print(content["README.md"].split("\n\n", 2)[2], end="")


def rendered(kind: str, name: str, path: str) -> dict[str, str]:
    """The files' contents by name, for a model of this name in this folder."""
    if not _NAME.fullmatch(name):
        raise Failure(
            f"'{shown(name)}' is no name of a model, and a model is called as its folder",
            "expected up to 128 letters, digits, '.', '_' and '-', the first a letter or digit",
            Exit.USAGE,
        )
    templates = files("tidegate.cli") / "templates"
    content = {file: (templates / kind / f"{file}.txt").read_text("utf-8") for file in _FILES[:2]}
    content |= {file: (templates / file).read_text("utf-8") for file in _FILES[2:]}
    ask = _QUESTIONS[kind].format(name=name)
    content["README.md"] = content["README.md"].format(name=name, path=path, ask=ask)
    return content
