"""Every store that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.testing.stores import NAMES, Setup


@pytest.fixture(params=NAMES)
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setup:
    return Setup(request.param, tmp_path)
