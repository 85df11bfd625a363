"""Where a model computes, as its owner wrote it: "auto", "cpu", "cuda" or "cuda:1"."""

from __future__ import annotations

import re

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.runtime import Artifact

_WRITTEN = re.compile(r"auto|cpu|cuda(?::([0-9]{1,3}))?")


class Device(msgspec.Struct, frozen=True):
    """``kind`` is "auto", "cpu" or "cuda"; ``index`` counts the devices of that kind."""

    kind: str
    index: int = 0

    def resolved(self, cuda: bool) -> Device:
        """What "auto" means where there is a CUDA device, or none; the others are what they are."""
        if self.kind != "auto":
            return self
        return Device("cuda" if cuda else "cpu")

    @property
    def written(self) -> str:
        """As its owner would write it, in full."""
        return f"cuda:{self.index}" if self.kind == "cuda" else self.kind


def read_device(artifact: Artifact) -> Device:
    """The artifact's device.

    Raises:
        ModelLoadFailed: it is none of the words.
    """
    match = _WRITTEN.fullmatch(artifact.device)
    if match is None:
        raise ModelLoadFailed(
            f"model '{artifact.name}': device is '{shown(artifact.device)}', expected auto, cpu, cuda or cuda:N"
        )
    return Device(artifact.device.partition(":")[0], int(match[1] or 0))


def refuse_cuda(artifact: Artifact, device: Device, reason: str) -> None:
    """For a framework that has no CUDA device now: "cuda" is an error, never the CPU in silence.

    Raises:
        ModelLoadFailed: the device is one of CUDA.
    """
    if device.kind == "cuda":
        raise ModelLoadFailed(f"model '{artifact.name}': device '{artifact.device}' cannot be used: {reason}")
