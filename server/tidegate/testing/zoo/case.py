"""A model of the zoo: how it is made, what it is asked, and what its framework itself would answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import yaml

from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact, Runtime

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One format of one runtime. ``id`` names it in test reports.

    ``write`` makes the model in an empty folder and returns its path, a file or a directory named ``iris`` with
    whatever suffix; what else it writes there belongs to the model. ``sample`` makes at least eight rows of input by
    tensor name; ``expected`` are the framework's own answers to them, in the order of the signature, equal to the
    runtime's up to ``tolerance`` (absolute, relative).
    """

    id: str
    runtime: Runtime
    format: str
    write: Callable[[Path], Path]
    sample: Callable[[], Arrays]
    expected: Callable[[Path, Arrays], Arrays]
    framework: str
    """The module without which the runtime cannot read it; "" where that is Python itself."""
    tolerance: float = 0.0
    options: Mapping[str, str] | None = None
    inputs: tuple[TensorSpec, ...] = ()
    """What its owner declares, where the format needs it; so with ``outputs``."""
    outputs: tuple[TensorSpec, ...] = ()
    body: str = ""
    """Of a directory: the file in it without which nothing can be read, to be damaged."""
    damage_is_noticed: bool = True
    """False for a format in which any bytes are a model (source code)."""
    age: Callable[[Path], None] | None = None
    """Make the artifact one of a version that the framework must not be trusted to read; None where there is none."""
    aged: str = ""
    """What the refusal of that one says."""
    hostile: Callable[[Path, Path], Path] | None = None
    """Write a file of this format into a folder that creates the second path when it is loaded or first run."""
    unguarded: Callable[[Path], None] | None = None
    """Where the runtime refuses that one from a trusted source, too, because its framework has a guard of its own that
    is left on: read it with that guard off, which shows that it is hostile."""

    @property
    def executes_code(self) -> bool:
        """Whether the runtime says that reading this format can run its author's code."""
        return next(form.executes_code for form in self.runtime.formats if form.name == self.format)

    def lay_down(self, folder: Path) -> Path:
        """Write the model into a new folder, as its owner would serve it: with what he says of it in ``model.yaml``.

        Returns the model's path, which is the folder where a model of several files is its only one.
        """
        folder.mkdir()
        made = self.write(folder)
        if made.is_dir():
            aside = made.rename(folder.with_name(f"{folder.name}.made"))
            folder.rmdir()
            made = aside.rename(folder)
        said: dict[str, object] = {"options": dict(self.options or {})}
        for side, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            said[side] = [{"name": s.name, "datatype": s.datatype.value, "shape": list(s.shape)} for s in specs]
        (folder / "model.yaml").write_text(yaml.safe_dump({name: value for name, value in said.items() if value}))
        return made

    def artifact(self, path: Path, *, trusted: bool = True) -> Artifact:
        """The model at ``path`` as version 3 of "iris", as its owner declares it."""
        return Artifact(
            name="iris",
            version="3",
            path=path,
            trusted=trusted,
            options=self.options or {},
            inputs=self.inputs,
            outputs=self.outputs,
        )
