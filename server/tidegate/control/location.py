"""From a reference to a model, or to what belongs to it, as manifests have them, to a path of this machine. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tidegate.protocol.errors import ModelLoadFailed, shown

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FIELD = "spec.predictor.model.storageUri"


def path_of(uri: str, base: Path | None, field: str = _FIELD) -> Path:
    """The absolute path that a reference names, links and all; a relative one counts from ``base``.

    ``field`` is where it stands.

    Raises:
        ModelLoadFailed: it names another machine's storage, or no path that could be meant.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        text = uri
    elif scheme[1].lower() == "file":
        text = _local(uri, field)
    else:
        raise _refused(
            field,
            uri,
            f"is in a remote storage ({shown(scheme[1].lower(), 32)}:), and those are not there yet; expected a path "
            f"of this machine, as /models/iris or file:///models/iris",
        )
    path = Path(text)
    if "\x00" in text or not text:
        raise _refused(field, uri, "is no path, expected one, as /models/iris")
    if ".." in path.parts:
        raise _refused(field, uri, "has '..' in it, expected a path that says where it leads")
    if path.is_absolute():
        return path
    if base is None:
        raise _refused(field, uri, "is a relative path, and nothing says from where; expected an absolute one")
    return base.absolute() / path


def _local(uri: str, field: str) -> str:
    """The path of a file URI (RFC 8089)."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _refused(field, uri, "is no URI, expected file:///PATH") from None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise _refused(field, uri, "is no file of this machine, expected file:///PATH")
    return unquote(parts.path)


def _refused(field: str, uri: str, problem: str) -> ModelLoadFailed:
    return ModelLoadFailed(f"{field} '{shown(uri, 300)}' {problem}")
