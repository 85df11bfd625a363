"""The file of contexts on disk: read, and written so that only its owner can read it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.cli.contexts import NO_CONTEXTS, Contexts
from tidegate.cli.failure import Failure
from tidegate.protocol.errors import shown

VARIABLE = "TIDEGATE_CONFIG"


def place() -> Path:
    """Where the file is: TIDEGATE_CONFIG, else tidegate/config.yaml in XDG_CONFIG_HOME or ~/.config."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "tidegate" / "config.yaml"


def read(path: Path) -> Contexts:
    """The contexts in a file; none where there is no file.

    Raises:
        Failure: it cannot be read, or holds something else.
    """
    from tidegate.storage.document import parse_document

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return NO_CONTEXTS
    except OSError as error:
        raise Failure(f"'{shown(path, 300)}' cannot be read: {error.strerror}") from error
    try:
        return msgspec.convert(parse_document(data) or {}, Contexts)
    except (ValueError, msgspec.ValidationError) as error:
        raise Failure(
            f"'{shown(path, 300)}': {error}", "`tidegate config set-context NAME --server URL` writes one"
        ) from (error)


def write(path: Path, contexts: Contexts) -> None:
    """Put the contexts in the place of the file's, all at once, readable by its owner alone.

    Raises:
        Failure: it cannot be written.
    """
    import yaml

    text = yaml.safe_dump(msgspec.to_builtins(contexts), sort_keys=False, allow_unicode=True)
    write_private(path, text)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is whole at every moment.

    Raises:
        Failure: it cannot be written.
    """
    path = path.resolve()  # through a link, to what it leads to
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise Failure(f"'{shown(path, 300)}' cannot be written: {error.strerror}") from error


def edit(change: Callable[[Contexts], Contexts]) -> Path:
    """Change the file, and return where it is.

    Raises:
        Failure: the change is none, or the file cannot be read or written.
    """
    path = place()
    try:
        contexts = change(read(path))
    except ValueError as error:
        raise Failure(str(error), "`tidegate config get-contexts` lists them") from error
    write(path, contexts)
    return path
