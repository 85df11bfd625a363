"""What a custom model in Python says of itself: the ``model`` decorator, and the context that it may ask for. ::

    from typing import Annotated

    import numpy as np
    from tidegate.runtimes import model

    @model(max_batch_size=64)
    def predict(x: Annotated[np.ndarray, "FP32", -1, 4]) -> Annotated[np.ndarray, "FP32", -1]:
        return x.sum(axis=1)

The decorator only notes down: the function stays what it was, to be called and tested as any other. What is noted is
read when the model is loaded (``python.py``). A user's test imports this module, so it stands on the standard library
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

Tensors = Mapping[str, Sequence[Any]]
"""Tensors by name, each a datatype and its sizes, -1 for any: ``{"x": ("FP32", -1, 4)}``."""

_MARK = "__tidegate_model__"

Target = TypeVar("Target", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a model's author says of it; see ``model``."""

    inputs: Tensors = field(default_factory=dict)
    outputs: Tensors = field(default_factory=dict)
    max_batch_size: int = 0
    batch_dimension: bool | None = None
    stateful: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()

    @property
    def batches(self) -> bool:
        """Whether axis 0 counts independent rows. Nobody's word is a no: mixing what may not be mixed goes unseen."""
        return self.max_batch_size > 0 if self.batch_dimension is None else self.batch_dimension


@dataclass(frozen=True, kw_only=True)
class Context:
    """How a model is loaded, for whoever takes an argument ``context``."""

    path: Path
    """The folder that model.py lies in."""
    name: str
    """The model's name, as callers address it."""
    version: str
    options: Mapping[str, str]
    """The options that the model declares, each as it was set or else with its default."""
    device: str
    """"auto", "cpu", "cuda" or "cuda:N". A model that cannot compute there raises in ``load``."""
    threads: int
    """Threads that its computations may take; 0 leaves it the model's choice."""


@overload
def model(target: Target, /) -> Target: ...


@overload
def model(
    *,
    inputs: Tensors = ...,
    outputs: Tensors = ...,
    max_batch_size: int = ...,
    batch_dimension: bool | None = ...,
    stateful: bool = ...,
    options: Mapping[str, str] = ...,
    requirements: Sequence[str] = ...,
) -> Callable[[Target], Target]: ...


def model(
    target: Target | None = None,
    /,
    *,
    inputs: Tensors | None = None,
    outputs: Tensors | None = None,
    max_batch_size: int = 0,
    batch_dimension: bool | None = None,
    stateful: bool = False,
    options: Mapping[str, str] | None = None,
    requirements: Sequence[str] = (),
) -> Any:
    """Declare the one function or class of a model.py that is the model.

    Args:
        inputs: tensors by name, as in ``{"x": ("FP32", -1, 4)}``; without it the arguments' annotations are read.
        outputs: the same for what is returned. A single output that is annotated is called "output".
        max_batch_size: most rows in one call. Giving it says that axis 0 counts independent rows.
        batch_dimension: whether it does, where there is no most. Requests are then batched.
        stateful: requests of one sequence share a state: see ``sequences.py``.
        options: what ``--option NAME=VALUE`` may set, with its defaults.
        requirements: what must be installed, beside what requirements.txt lists: ``["numpy>=2"]``.

    Raises:
        TypeError: it decorates neither a function nor a class.
        ValueError: what is said of batches contradicts itself.
    """
    for name, default in (options or {}).items():
        if not isinstance(default, str):
            raise TypeError(f"option '{name}' has the default {default!r}, expected text: options are set as text")
    if max_batch_size < 0 or (max_batch_size and batch_dimension is False):
        raise ValueError(
            f"max_batch_size is {max_batch_size}, expected 0 where batch_dimension is False, and never less"
        )
    if stateful and (max_batch_size or batch_dimension):
        raise ValueError("a stateful model takes one request at a time, so it has no batch dimension")
    declaration = Declaration(
        inputs=inputs or {},
        outputs=outputs or {},
        max_batch_size=max_batch_size,
        batch_dimension=batch_dimension,
        stateful=stateful,
        options=options or {},
        requirements=tuple(requirements),
    )

    def declare(target: Target) -> Target:
        if not callable(target) or not hasattr(target, "__qualname__"):
            raise TypeError(f"@model decorates a function or a class, not {type(target).__name__}")
        setattr(target, _MARK, declaration)
        return target

    return declare if target is None else declare(target)


def declaration_of(candidate: object) -> Declaration | None:
    """What was declared of this very object; None for anything else, a class derived from a model included."""
    held = getattr(candidate, "__dict__", {})
    return held.get(_MARK) if isinstance(held, Mapping) else None
