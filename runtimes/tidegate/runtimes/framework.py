"""Importing a framework, late and with a message that says what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tidegate.protocol.errors import FrameworkMissing, shown
from tidegate.runtimes.runtime import Runtime


def import_framework(module: str, runtime: Runtime, package: str = "") -> Any:
    """The module, imported now. It is untyped on purpose: few frameworks ship types, and each is used in one place.

    ``package`` is what to install for it where that is not the runtime's own.

    Raises:
        FrameworkMissing: it is not installed, or its own imports fail.
    """
    try:
        return import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0])
        problem = "is not installed" if absent else f"cannot be imported: {shown(error, 200)}"
        raise FrameworkMissing(
            f"runtime '{runtime.name}' needs the package '{module}', which {problem}; "
            f"install it with: pip install '{package or runtime.package}'"
        ) from error
