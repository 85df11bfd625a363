"""The signature of a model whose file tells only a part of it: what its owner declares holds, and is asked for."""

from __future__ import annotations

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact

_EXAMPLE = "[{name: x, datatype: FP32, shape: [-1, 4]}]"


def declared(
    artifact: Artifact, side: str, known: tuple[TensorSpec, ...] = (), reason: str = ""
) -> tuple[TensorSpec, ...]:
    """The specs of ``side`` ("inputs" or "outputs"): those declared, else those that the file is ``known`` to tell.

    ``reason`` says why the file cannot tell them, for the sentence that asks for a declaration.

    Raises:
        ModelLoadFailed: neither is there; or both, and they do not name the same tensors.
    """
    given: tuple[TensorSpec, ...] = getattr(artifact, side)
    if not given and not known:
        raise ModelLoadFailed(
            f"model '{artifact.name}': {reason or 'its file does not tell its ' + side}; declare them in model.yaml "
            f"beside the model, as in {side}: {_EXAMPLE}"
        )
    if given and known and {spec.name for spec in given} != {spec.name for spec in known}:
        raise ModelLoadFailed(
            f"model '{artifact.name}': {side} declared are {_names(given)}, the file has {_names(known)}"
        )
    return given or known


def _names(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"'{spec.name}'" for spec in specs)
