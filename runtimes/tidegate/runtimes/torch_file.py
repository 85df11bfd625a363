"""What a PyTorch file holds, told from the names of the archive's members: nothing in it is read or executed.

The suffixes do not tell: TorchScript and weights are both written as ``.pt``. Each writer's archive has one folder,
named after the file, and in it::

    TorchScript          constants.pkl, code/…, data.pkl, data/…
    exported program     archive_format, models/model.json, data/weights/…
    torch.save           data.pkl, data/…, version
"""

from __future__ import annotations

import zipfile
from enum import StrEnum
from pathlib import Path

_ARCHIVE = b"PK\x03\x04"
_PICKLE = b"\x80"
"""How a pickle begins: what torch.save wrote before 1.6, and still does where it is told to."""


class Content(StrEnum):
    """The kinds of PyTorch files, by their formats' names."""

    TORCHSCRIPT = "torchscript"
    EXPORTED = "exported"
    WEIGHTS = "state_dict"
    UNKNOWN = "unknown"


def read_content(path: Path) -> Content:
    """What the file holds; ``UNKNOWN`` where no writer of PyTorch's has such an archive, or it is cut short."""
    with path.open("rb") as file:
        start = file.read(len(_ARCHIVE))
    if start != _ARCHIVE:
        return Content.WEIGHTS if start.startswith(_PICKLE) else Content.UNKNOWN
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, UnicodeError, NotImplementedError):
        return Content.UNKNOWN
    if "models/model.json" in members:
        return Content.EXPORTED
    if "constants.pkl" in members:
        return Content.TORCHSCRIPT
    return Content.WEIGHTS if "data.pkl" in members else Content.UNKNOWN
