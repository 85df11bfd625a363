"""The log's two forms."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tidegate.app.logs import LogSettings, configure


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_is_one_object_per_line(root: logging.Logger) -> None:
    """Line breaks and tracebacks stay inside the object."""
    stream = io.StringIO()
    configure(LogSettings("info", "json"), stream)
    logger = logging.getLogger("tidegate.test")
    logger.info("a %s\nb", "ü")
    try:
        raise ValueError("the cause")
    except ValueError:
        logger.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert {key: first[key] for key in ("level", "logger", "message")} == {
        "level": "info", "logger": "tidegate.test", "message": "a ü\nb",
    }  # fmt: skip
    assert first["time"].endswith("+00:00")
    assert "exception" not in first
    assert second["exception"].endswith("ValueError: the cause")


def test_plain_is_one_readable_line(root: logging.Logger) -> None:
    """Time, level, logger, message; what is below the level is not written."""
    stream = io.StringIO()
    configure(LogSettings("warning", "plain"), stream)
    logging.getLogger("tidegate.test").info("not this")
    logging.getLogger("tidegate.test").warning("but this")
    assert stream.getvalue().split(" ", 1)[1] == "WARNING tidegate.test: but this\n"


def test_configuring_again_replaces(root: logging.Logger) -> None:
    """No line is written twice."""
    configure(LogSettings(), io.StringIO())
    stream = io.StringIO()
    configure(LogSettings(), stream)
    logging.getLogger("tidegate.test").warning("once")
    assert stream.getvalue().count("once") == 1
