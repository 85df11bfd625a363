"""Custom models in Python: a folder with a model.py, or a single file NAME.model.py.

A model.py is a program, so it is loaded from a trusted source only. What it says of itself is in ``custom.py``; this
module puts the parts together: requirements, module, signature, and the model behind the port.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import ModelMetadata
from tidegate.runtimes.custom import Context
from tidegate.runtimes.device import read_device
from tidegate.runtimes.options import check_options
from tidegate.runtimes.python_call import Call, State
from tidegate.runtimes.python_model import Loop, PythonModel, StreamingPythonModel, evaluation, manner_of
from tidegate.runtimes.python_module import ModelModule
from tidegate.runtimes.python_signature import read_signature
from tidegate.runtimes.requirements import check_requirements, check_requirements_file
from tidegate.runtimes.runtime import Artifact, Format, Model
from tidegate.runtimes.sequences import OPTIONS, Sequences, read_sequences
from tidegate.runtimes.trust import admit

MARKER = "model.py"

FOLDER = Format("Python folder", (), executes_code=True, marker=MARKER)
FILE = Format("Python file", (".model.py",), executes_code=True)

PLATFORM = "python_model"


class PythonRuntime:
    """Loads what ``tidegate.runtimes.model`` decorates."""

    name = "python"
    package = "tidegate"
    formats = (FOLDER, FILE)

    def preload(self) -> None:
        """See ``Preloadable.preload``. What a model imports is its own: there is nothing but what is here already."""

    def load(self, artifact: Artifact) -> Model:
        """See ``Runtime.load``."""
        form = admit(artifact, self.formats)
        read_device(artifact)
        if form is FOLDER:
            check_requirements_file(artifact.name, artifact.path)
        file = artifact.path / MARKER if form is FOLDER else artifact.path
        with ExitStack() as undo:
            module = ModelModule(artifact.name, file, shared=form is FILE)
            undo.callback(module.close)
            loop = Loop()
            undo.callback(loop.close)
            return _prepared(artifact, module, loop, undo)


def _prepared(artifact: Artifact, module: ModelModule, loop: Loop, undo: ExitStack) -> PythonModel:
    """The loaded model, which takes over what ``undo`` has to end; its own ``close`` goes first."""
    declaration = module.declaration
    check_requirements(artifact.name, module.file, declaration.requirements)
    check_options(artifact, (*OPTIONS, *declaration.options))
    instance = module.call(module.target) if inspect.isclass(module.target) else None
    function = module.target if instance is None else _predict_of(artifact, module, instance)
    where = module.where(function)
    signature = read_signature(artifact, function, declaration, where)
    context = _context(artifact, module)
    call = Call(function, signature, context, where)
    if call.takes_state and not declaration.stateful:
        raise ModelLoadFailed(f"model '{artifact.name}': {where} takes a state; declare it with @model(stateful=True)")
    sequences: Sequences[State] | None = read_sequences(artifact) if call.takes_state else None
    manner = manner_of(function)
    metadata = ModelMetadata(
        name=artifact.name,
        platform=PLATFORM,
        inputs=signature.inputs,
        outputs=signature.outputs,
        versions=(artifact.version,),
        properties={"kind": manner.value, "python_version": platform.python_version()},
        batch_dimension=declaration.batches,
        max_batch_size=declaration.max_batch_size,
        decoupled=manner.streams,
        stateful=declaration.stateful,
    )
    if (load := getattr(instance, "load", None)) is not None:
        module.call(loop.call, load, context)
    if (close := getattr(instance, "close", None)) is not None:
        undo.callback(loop.call, close)
    kind = StreamingPythonModel if manner.streams else PythonModel
    return kind(metadata, call, evaluation(manner, call, loop), sequences, undo.pop_all().close)


def _predict_of(artifact: Artifact, module: ModelModule, instance: object) -> Callable[..., Any]:
    function = getattr(instance, "predict", None)
    if callable(function):
        return function  # type: ignore[no-any-return] # callable() narrows to what takes and gives objects
    raise ModelLoadFailed(
        f"model '{artifact.name}': class '{type(instance).__qualname__}' in '{module.file}' has no method predict"
    )


def _context(artifact: Artifact, module: ModelModule) -> Context:
    defaults = module.declaration.options
    return Context(
        path=module.folder,
        name=artifact.name,
        version=artifact.version,
        options={name: artifact.options.get(name, default) for name, default in defaults.items()},
        device=artifact.device,
        threads=artifact.threads,
    )


RUNTIME = PythonRuntime()
