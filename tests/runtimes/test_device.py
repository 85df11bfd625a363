"""The words for where a model computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.device import Device, read_device, refuse_cuda
from tidegate.runtimes.runtime import Artifact


def artifact(device: str) -> Artifact:
    return Artifact("m", "1", Path("m.pt"), device=device)


@pytest.mark.parametrize(
    ("written", "device"),
    [
        pytest.param("auto", Device("auto"), id="auto"),
        pytest.param("cpu", Device("cpu"), id="cpu"),
        pytest.param("cuda", Device("cuda", 0), id="first GPU"),
        pytest.param("cuda:3", Device("cuda", 3), id="fourth GPU"),
    ],
)
def test_a_device_is_read(written: str, device: Device) -> None:
    """The framework's own word for it is made from kind and index."""
    assert read_device(artifact(written)) == device


@pytest.mark.parametrize("written", ["gpu", "cuda:", "cuda:-1", "CPU", "", "cpu:0"])
def test_another_word_is_refused(written: str) -> None:
    """The message says what was written and what could be."""
    with pytest.raises(ModelLoadFailed) as caught:
        read_device(artifact(written))
    assert caught.value.message == f"model 'm': device is '{written}', expected auto, cpu, cuda or cuda:N"


def test_auto_takes_what_there_is() -> None:
    """An explicit device is never replaced by another."""
    assert read_device(artifact("auto")).resolved(cuda=True) == Device("cuda")
    assert read_device(artifact("auto")).resolved(cuda=False) == Device("cpu")
    assert read_device(artifact("cuda:1")).resolved(cuda=False) == Device("cuda", 1)


def test_a_device_that_is_not_there_is_an_error() -> None:
    """Computing on the CPU instead would be a surprise of another kind."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': device 'cuda:1' cannot be used: this build has no CUDA$"):
        refuse_cuda(artifact("cuda:1"), read_device(artifact("cuda:1")), "this build has no CUDA")
    refuse_cuda(artifact("cpu"), Device("cpu"), "this build has no CUDA")
