"""What a TensorFlow model tells of its tensors, and what its owner declares over it.

A shape may be known in part, or not even by its number of axes. What the file leaves open its owner may declare; what
the file tells can be narrowed, but not contradicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.signature import declared

DATATYPES = {
    "bool": Datatype.BOOL,
    "uint8": Datatype.UINT8,
    "uint16": Datatype.UINT16,
    "uint32": Datatype.UINT32,
    "uint64": Datatype.UINT64,
    "int8": Datatype.INT8,
    "int16": Datatype.INT16,
    "int32": Datatype.INT32,
    "int64": Datatype.INT64,
    "float16": Datatype.FP16,
    "bfloat16": Datatype.BF16,
    "float32": Datatype.FP32,
    "float64": Datatype.FP64,
    "string": Datatype.BYTES,
}
"""TensorFlow's names (``tf.DType.name``) that have a counterpart in the protocol."""

_DEFAULT = "serving_default"
_INTERNAL = "__saved_model_"
"""Begins what TensorFlow itself keeps among the signatures: ``__saved_model_init_op``."""


class Slot(msgspec.Struct, frozen=True):
    """A tensor that goes in or comes out: its name to callers, and where the framework has it."""

    name: str
    kind: str
    """TensorFlow's name of its type; or what it is, where it is no plain tensor."""
    shape: tuple[int, ...] | None
    """-1 is any size; None: not even the number of axes is known."""
    place: str = ""
    """The tensor's name in the graph, of a SavedModel."""

    @property
    def datatype(self) -> Datatype | None:
        """None where the protocol has no counterpart."""
        return DATATYPES.get(self.kind)

    @property
    def open_rows(self) -> bool:
        """Whether axis 0 may count rows."""
        return self.shape is None or self.shape[:1] == (-1,)


def choose_signature(artifact: Artifact, names: Sequence[str]) -> str:
    """The signature to serve: the one that the option names, else serving_default, else the only one.

    Raises:
        ModelLoadFailed: there is none, none of that name, or several to choose from.
    """
    names = sorted(name for name in names if not name.startswith(_INTERNAL))
    listed = ", ".join(f"'{shown(name)}'" for name in names)
    wanted = artifact.options.get("signature")
    if not names:
        raise ModelLoadFailed(
            f"model '{artifact.name}' has no signature, so nothing says what goes in and what comes out; save it with "
            f"signatures=…"
        )
    if wanted is not None and wanted not in names:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option 'signature' is '{shown(wanted)}'; the model has {listed}"
        )
    if wanted is None and _DEFAULT not in names and len(names) > 1:
        raise ModelLoadFailed(
            f"model '{artifact.name}' has several signatures, none of them '{_DEFAULT}'; name one with the option "
            f"'signature': {listed}"
        )
    return wanted or (_DEFAULT if _DEFAULT in names else names[0])


def read_slots(infos: Mapping[str, Any], kind: Callable[[int], str]) -> tuple[Slot, ...]:
    """One side of a SignatureDef, sorted by name: a protobuf map has no order of its own.

    ``kind`` gives TensorFlow's name of a type by its number.
    """
    return tuple(_slot(name, info, kind) for name, info in sorted(infos.items()))


def _slot(name: str, info: Any, kind: Callable[[int], str]) -> Slot:
    encoding = info.WhichOneof("encoding")
    if encoding != "name":
        return Slot(name, {"coo_sparse": "a sparse tensor"}.get(encoding, "a composite tensor"), None)
    shape = None if info.tensor_shape.unknown_rank else tuple(int(axis.size) for axis in info.tensor_shape.dim)
    return Slot(name, kind(info.dtype), shape, info.name)


def input_specs(artifact: Artifact, slots: tuple[Slot, ...]) -> tuple[TensorSpec, ...]:
    """The inputs' specifications.

    Raises:
        ModelLoadFailed: one cannot be given, its rank is unknown and not declared, or a declaration contradicts it.
    """
    for slot in slots:
        if slot.datatype is None:
            raise ModelLoadFailed(
                f"model '{artifact.name}': input '{shown(slot.name)}' is {shown(slot.kind)}, which cannot be given; "
                f"expected one of {', '.join(DATATYPES)}"
            )
    return _specs(artifact, "inputs", slots) if slots else ()


def output_specs(artifact: Artifact, slots: tuple[Slot, ...], ranks: Mapping[str, int]) -> tuple[TensorSpec, ...]:
    """The outputs' specifications; ``ranks`` are those that a trial has shown.

    Raises:
        ModelLoadFailed: a rank is known from nowhere, or a declaration contradicts what is known.
    """
    known = tuple(
        msgspec.structs.replace(slot, shape=(-1,) * ranks[slot.name])
        if slot.shape is None and slot.name in ranks
        else slot
        for slot in slots
    )
    return _specs(artifact, "outputs", known)


def _specs(artifact: Artifact, side: str, slots: tuple[Slot, ...]) -> tuple[TensorSpec, ...]:
    known = tuple(
        TensorSpec(slot.name, slot.datatype, slot.shape)
        for slot in slots
        if slot.datatype is not None and slot.shape is not None
    )
    if len(known) < len(slots):
        vague = next(slot.name for slot in slots if slot.shape is None)
        reason = f"its file does not tell the number of axes of '{shown(vague)}'"
        given = declared(artifact, side, (), reason)
    else:
        given = declared(artifact, side, known)
    by_name = {slot.name: slot for slot in slots}
    for spec in given:
        _check_declared(artifact, side, spec, by_name)
    if len(given) != len(slots):
        raise ModelLoadFailed(
            f"model '{artifact.name}': {side} declared are {len(given)}, the model has {len(slots)}: "
            f"{', '.join(shown(slot.name) for slot in slots)}"
        )
    return given


def _check_declared(artifact: Artifact, side: str, spec: TensorSpec, slots: Mapping[str, Slot]) -> None:
    where = f"model '{artifact.name}': {side} declare '{shown(spec.name)}'"
    slot = slots.get(spec.name)
    if slot is None:
        raise ModelLoadFailed(f"{where}, the model has {', '.join(shown(name) for name in slots)}")
    if spec.datatype is not slot.datatype:
        raise ModelLoadFailed(f"{where} as {spec.datatype.value}, in the model it is {slot.datatype}")
    if slot.shape is not None and not _narrower(spec.shape, slot.shape):
        raise ModelLoadFailed(f"{where} with shape {list(spec.shape)}, in the model it is {list(slot.shape)}")


def _narrower(given: tuple[int, ...], known: tuple[int, ...]) -> bool:
    return len(given) == len(known) and all(old in (-1, new) for new, old in zip(given, known, strict=True))
