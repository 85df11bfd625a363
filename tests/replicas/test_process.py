"""One worker process: what a start that fails leaves, and how an end is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from tidegate.replicas.process import WorkerProcess, exit_text
from tidegate.replicas.settings import ReplicaSettings
from tidegate.testing.storm import descriptors_left


@pytest.mark.e2e
def test_a_start_without_descriptors_leaves_nothing(tmp_path: Path) -> None:
    """Whichever of them is the one that is missing: no descriptor, directory or process stays."""

    async def main() -> int:
        for left in range(20):
            process = WorkerProcess(ReplicaSettings(directory=str(tmp_path)), threads=0)
            before = os.listdir("/dev/fd")
            try:
                with descriptors_left(left):
                    process.start()
            except OSError:
                assert os.listdir("/dev/fd") == before
                assert os.listdir(tmp_path) == []
                assert psutil.Process().children() == []
            else:
                await process.end()
                assert os.listdir(tmp_path) == []
                return left
        raise AssertionError("20 descriptors are not enough for a worker")

    assert asyncio.run(main()) >= 4  # a directory, a lifeline of two ends, and a pidfd


@pytest.mark.parametrize(
    ("code", "text"),
    [
        pytest.param(3, "its worker exited with status 3", id="status"),
        pytest.param(-11, "its worker was killed by SIGSEGV", id="signal"),
        pytest.param(-63, "its worker was killed by signal 63", id="signal without a name"),
    ],
)
def test_an_end_in_words(code: int, text: str) -> None:
    """Signals by name."""
    assert exit_text(code) == text
