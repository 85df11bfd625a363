"""Servers for the tests of the whole, which must leave nothing behind however they end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tidegate.testing.process import Serving


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Where a server's temporary files go: nothing may be left of them, nor in shared memory."""
    named = shared_memory()
    path = tmp_path / "tmp"
    path.mkdir()
    yield path
    assert os.listdir(path) == []
    assert shared_memory() <= named


def shared_memory() -> set[str]:
    """What has a name, on a system that shows it."""
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


@pytest.fixture
def start(tmp_path: Path, temporary: Path) -> Callable[..., Serving]:
    """Starts a server with these words, and the fake model ``m`` of this specification."""

    def start(*words: str, until: str = "ready", **spec: Any) -> Serving:
        model = tmp_path / "m.fake.json"
        model.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}], **spec}))
        server = Serving.start(model, *words, env={**os.environ, "TMPDIR": str(temporary)})
        server.until(until)
        return server

    return start


@pytest.fixture
def serving(start: Callable[..., Serving]) -> Callable[..., AbstractContextManager[Serving]]:
    """As ``start``, for a server that a test uses and that then has to end well."""

    @contextmanager
    def serving(*words: str, **spec: Any) -> Iterator[Serving]:
        with start(*words, **spec) as server:
            yield server
            if server.process.poll() is None:
                assert server.stop() == 0

    return serving
