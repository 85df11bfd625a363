"""What an owner declares beside what the file tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.signature import declared

X = TensorSpec("x", Datatype.FP32, (-1, 4))
WIDE = TensorSpec("x", Datatype.FP64, (-1, 4))
Y = TensorSpec("y", Datatype.FP32, (-1,))


def test_a_declaration_holds() -> None:
    """It replaces what the file says of the same tensors, and stands in where it says nothing."""
    artifact = Artifact("m", "1", Path("m.pt"), inputs=(WIDE,))
    assert declared(artifact, "inputs") == (WIDE,)
    assert declared(artifact, "inputs", (X,)) == (WIDE,)
    assert declared(artifact, "outputs", (Y,)) == (Y,)


def test_what_nobody_tells_is_asked_for() -> None:
    """The message says why, and what to write where."""
    with pytest.raises(ModelLoadFailed) as caught:
        declared(Artifact("m", "1", Path("m.pt")), "inputs", reason="a TorchScript file names no datatypes")
    assert caught.value.message == (
        "model 'm': a TorchScript file names no datatypes; declare them in model.yaml beside the model, as in "
        "inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]"
    )
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': its file does not tell its outputs; declare"):
        declared(Artifact("m", "1", Path("m.pt")), "outputs")


def test_a_declaration_of_other_tensors_is_refused() -> None:
    """Both lists are shown."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': inputs declared are 'x', the file has 'y'$"):
        declared(Artifact("m", "1", Path("m.pt"), inputs=(X,)), "inputs", (Y,))
