"""Keras files: the model that they hold, traced once into a graph.

Keras rebuilds layers from their names and settings. A layer can hold Python code; ``safe_mode`` refuses the kinds of
that which Keras knows, and has been got around again and again, so a file needs a trusted source besides.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.protocol.errors import FrameworkMissing, ModelLoadFailed, shown
from tidegate.runtimes.framework import import_framework
from tidegate.runtimes.reason import plain_line
from tidegate.runtimes.runtime import Arrays, Artifact, Runtime
from tidegate.runtimes.tensorflow_model import Loaded
from tidegate.runtimes.tensorflow_signature import Slot

OLDEST = (3, 15)
"""Earlier ones run code under ``safe_mode``: CVE-2025-1550, -8747, -9905, -9906, CVE-2026-1462."""


def load_keras(artifact: Artifact, runtime: Runtime, tensorflow: Any, platform: str) -> Loaded:
    """Read the file and trace its model.

    Raises:
        ModelLoadFailed: Keras is too old, or the file is corrupt, holds code, or does not tell its inputs.
    """
    keras = _keras(artifact, runtime)
    try:
        saved_by = _saved_by(artifact, runtime)
        model = keras.models.load_model(artifact.path, compile=False, safe_mode=True)
    except FrameworkMissing:
        raise
    except Exception as error:  # Keras lets through what its layers, h5py and zipfile raise
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' is refused by Keras: "
            f"{shown(plain_line(str(error), artifact.path), 300)}"
        ) from error
    sequential = isinstance(model, keras.Sequential)
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        raise ModelLoadFailed(
            f"model '{artifact.name}': '{artifact.path.name}' does not tell its inputs; save a model that begins with "
            f"keras.Input, or export it as a SavedModel"
        )
    structure = _single(model.inputs) if sequential else model.input
    inputs = _slots(model.inputs, _names(keras, structure, [tensor.name for tensor in model.inputs]))
    produced = [tensor._keras_history.operation.name for tensor in model.outputs]
    outputs = _slots(model.outputs, _names(keras, None if sequential else model.output, produced))

    def flat(*tensors: Any) -> Any:
        return keras.tree.flatten(model(keras.tree.pack_sequence_as(structure, list(tensors)), training=False))

    specs = [tensorflow.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    graph = tensorflow.function(flat, autograph=False).get_concrete_function(*specs)

    def run(arrays: Arrays, names: Sequence[str]) -> Sequence[Any]:
        given = [tensorflow.constant(arrays[slot.name], spec.dtype) for slot, spec in zip(inputs, specs, strict=True)]
        answers = dict(zip((slot.name for slot in outputs), graph(*given), strict=True))
        return [answers[name].numpy() for name in names]

    properties = {"keras_version": str(keras.__version__), "saved_by_keras": saved_by}
    return Loaded(platform, inputs, outputs, run, lambda: None, properties)


def _keras(artifact: Artifact, runtime: Runtime) -> Any:
    keras = import_framework("keras", runtime)
    oldest = ".".join(map(str, OLDEST))
    if tuple(int(part) for part in keras.__version__.split(".")[:2]) < OLDEST:
        raise ModelLoadFailed(
            f"model '{artifact.name}': Keras {keras.__version__} is installed, expected at least {oldest}: earlier "
            f"ones can be made to run a file's code although they are told not to"
        )
    if keras.backend.backend() != "tensorflow":
        raise ModelLoadFailed(
            f"model '{artifact.name}': Keras computes with {keras.backend.backend()} in this process, expected "
            f"tensorflow"
        )
    return keras


def _saved_by(artifact: Artifact, runtime: Runtime) -> str:
    """The version of Keras that wrote the file; "" where an old one has not said."""
    if artifact.path.suffix.lower() == ".keras":
        with zipfile.ZipFile(artifact.path) as archive:
            return str(msgspec.json.decode(archive.read("metadata.json"))["keras_version"])
    with import_framework("h5py", runtime).File(artifact.path) as file:
        version = file.attrs.get("keras_version", "")
        return version.decode() if isinstance(version, bytes) else str(version)


def _single(tensors: Sequence[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _names(keras: Any, structure: Any, otherwise: Sequence[str]) -> list[str]:
    """The keys where the author made a dictionary, in Keras's order; else what ``otherwise`` says, made unique."""
    if isinstance(structure, dict):
        keys = keras.tree.flatten({key: key for key in structure})
        if len(keys) == len(otherwise):
            return [str(key) for key in keys]
    names: list[str] = []
    for name in otherwise:
        count = sum(1 for other in otherwise[: len(names)] if other == name)
        names.append(f"{name}_{count}" if count else name)
    return names


def _slots(tensors: Sequence[Any], names: Sequence[str]) -> tuple[Slot, ...]:
    return tuple(
        Slot(name, str(tensor.dtype), tuple(-1 if size is None else size for size in tensor.shape))
        for name, tensor in zip(names, tensors, strict=True)
    )
