"""Importing a framework late."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.protocol.errors import FrameworkMissing
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.onnx import RUNTIME


def test_a_module_comes_back() -> None:
    """What is installed is imported and returned."""
    assert import_framework("json.decoder", RUNTIME).JSONDecodeError is not None


@pytest.mark.parametrize("module", ["no_such_framework", "no_such_framework.part"])
def test_what_is_not_installed_is_named(module: str) -> None:
    """The message says which package is absent and how to get it."""
    with pytest.raises(FrameworkMissing) as caught:
        import_framework(module, RUNTIME)
    assert caught.value.message == (
        f"runtime 'onnx' needs the package '{module}', which is not installed; "
        f"install it with: pip install 'tidegate[onnx]'"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("import no_such_dependency", "No module named 'no_such_dependency'", id="dependency"),
        pytest.param("raise ImportError('wrong libc')", "wrong libc", id="library"),
    ],
)
def test_what_is_broken_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str) -> None:
    """A framework that is installed but does not import is not called absent."""
    (tmp_path / "broken_framework.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FrameworkMissing) as caught:
        import_framework("broken_framework", RUNTIME)
    assert caught.value.message == (
        f"runtime 'onnx' needs the package 'broken_framework', which cannot be imported: {reason}; "
        f"install it with: pip install 'tidegate[onnx]'"
    )
