"""PyTorch itself: imported late, recent enough to read weights as data, with its threads and its device set."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.device import read_device, refuse_cuda
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.runtime import Artifact, Runtime

OLDEST = (2, 10)
"""Before it, ``weights_only=True`` could be made to run code: CVE-2025-32434 (before 2.6), CVE-2026-24747."""


class Framework(msgspec.Struct, frozen=True):
    """The module ``torch``, and the device to compute on as it writes it: "cpu", "cuda:0"."""

    torch: Any
    device: str


def open_framework(artifact: Artifact, runtime: Runtime) -> Framework:
    """PyTorch for this artifact. Its threads are those of the whole process, which holds one model.

    Raises:
        FrameworkMissing: it is not installed.
        ModelLoadFailed: it is too old, or has no such device.
    """
    device = read_device(artifact)
    torch = import_framework("torch", runtime)
    check_version(artifact, str(torch.__version__))
    count = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    device = device.resolved(cuda=count > 0)
    if device.index >= count:
        reason = f"PyTorch {torch.__version__} sees {count} CUDA devices here"
        refuse_cuda(artifact, device, reason)
    if artifact.threads:
        torch.set_num_threads(artifact.threads)
    return Framework(torch, "cpu" if device.kind == "cpu" else f"cuda:{device.index}")


def check_version(artifact: Artifact, version: str) -> None:
    """Hold PyTorch's version against the oldest that may be used.

    Raises:
        ModelLoadFailed: it is older, or does not begin with two numbers.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        raise ModelLoadFailed(
            f"model '{artifact.name}': PyTorch {shown(version)} is installed, and before {OLDEST[0]}.{OLDEST[1]} a "
            f"file of weights could run code (CVE-2025-32434, CVE-2026-24747); install a newer one"
        )


def plain_reason(artifact: Artifact, error: BaseException) -> str:
    """An error of PyTorch on one line of bounded length, without this machine's folders."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return shown(text.replace(f"{artifact.path.parent}/", ""), 200)


def unreadable(artifact: Artifact, error: BaseException) -> ModelLoadFailed:
    """The error for a file that PyTorch does not read, with its reason."""
    return ModelLoadFailed(
        f"model '{artifact.name}': '{artifact.path.name}' cannot be read; it is corrupt, cut short or of another "
        f"kind ({plain_reason(artifact, error)})"
    )
