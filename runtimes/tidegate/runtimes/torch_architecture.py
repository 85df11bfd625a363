"""The architecture that weights fill: a callable that its owner names, and that makes a module when it is called.

``package.module:callable`` is imported; ``net.py:callable`` is the file of that name beside the weights.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.runtime import Artifact

_WRITTEN = re.compile(r"([A-Za-z_][\w.]*?)(\.py)?:([A-Za-z_]\w*)", re.ASCII)


def build_architecture(torch: Any, artifact: Artifact) -> Any:
    """The module, with whatever weights it begins with. Runs its owner's code: only for a trusted artifact.

    Raises:
        ModelLoadFailed: the option is missing or malformed, the callable is not there, or it does not make a module.
    """
    assert artifact.trusted, "the gate of trust comes first"
    written = artifact.options.get("architecture")
    if written is None:
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' holds weights alone; name what they fill in the option "
            f"'architecture': package.module:callable, or file.py:callable for a file beside the weights"
        )
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'architecture' is '{shown(written)}', expected package.module:callable "
            f"or file.py:callable"
        )
    try:
        source = _from_file(artifact.path.parent / f"{match[1]}.py") if match[2] else importlib.import_module(match[1])
        module = getattr(source, match[3])()
    except Exception as error:  # the owner's code, and it may raise anything
        reason = shown(f"{type(error).__name__}: {error}".replace(f"{artifact.path.parent}/", ""), 200)
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'architecture': '{shown(written)}' fails: {reason}"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'architecture': '{shown(written)}' makes {type(module).__name__}, "
            f"expected a torch.nn.Module"
        )
    return module


def _from_file(path: Path) -> ModuleType:
    """The file as a module of its own name, which no other module can have."""
    name = f"tidegate_architecture:{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and the like look their module up while it is being made
    spec.loader.exec_module(module)
    return module
