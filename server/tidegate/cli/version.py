"""``tidegate version``."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed
from typing import Annotated, Literal

from cyclopts import Parameter

SHOWN = ("grpclib", "h2", "httptools", "msgspec", "numpy", "protobuf", "starlette", "uvicorn", "uvloop")
"""The packages whose version decides how the server behaves on the wire."""


def version(*, output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text") -> None:
    """Show the version of tidegate and of what it stands on.

    Parameters
    ----------
    output
        How to write it.
    """
    versions = {"tidegate": installed("tidegate"), "python": platform.python_version()}
    versions |= {package: installed(package) for package in SHOWN}
    if output == "json":
        import json

        print(json.dumps(versions | {"platform": platform.platform()}, indent=2))
    else:
        print(f"tidegate {versions.pop('tidegate')}")
        print(", ".join(f"{name} {number}" for name, number in versions.items()))
