"""Servers and models for the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tidegate.testing.process import Serving

Serve = Callable[..., Serving]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start a server over some paths, with some options; it listens on free ports of 127.0.0.1."""
    with ExitStack() as started:
        yield lambda *words: started.enter_context(Serving.start(*words))


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a model of the fake runtime; see tidegate.testing.runtime for what it can hold."""
    folder = tmp_path_factory.mktemp("fake")

    def write(name: str, content: Mapping[str, Any] | None = None) -> Path:
        path = folder / f"{name}.fake.json"
        path.write_text(json.dumps(content or {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}))
        return path

    return write
