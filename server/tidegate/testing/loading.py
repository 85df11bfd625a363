"""A model in this process, asked as the server asks it: for the tests of a custom model. ::

    with load_model("greeter") as model:
        assert model.predict({"name": ["Ada"]})["greeting"].tolist() == [b"Hello, Ada!"]

A request is held against the signature, and an answer against it too, with the words that a caller would read. Python
caches modules, so one model at a time is loaded from a folder with helpers beside its model.py.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidTensor, Unsupported, shown
from tidegate.protocol.messages import InferRequest, ModelMetadata, RequestedOutput, TensorSpec
from tidegate.protocol.tensors import NO_PARAMETERS, Parameters, Tensor
from tidegate.protocol.validation import check_request
from tidegate.runtimes.catalogue import installed
from tidegate.runtimes.execution import collect, execute
from tidegate.runtimes.runtime import Artifact, Model, StreamingModel

Arrays = dict[str, npt.NDArray[Any]]


def load_model(
    path: str | Path, *, name: str = "", runtime: str = "", device: str = "auto", **options: str
) -> LoadedModel:
    """Load a model file, or a folder that is one model. It is trusted, as a path typed on the command line is.

    Args:
        path: what ``tidegate serve`` takes.
        name: what the model is called; else as its file or folder.
        runtime: who reads it; else found out from its name.
        device: "auto", "cpu", "cuda" or "cuda:N".
        options: options of the runtime or of the model.

    Raises:
        ModelLoadFailed: as ``tidegate serve`` would tell it.
    """
    path = Path(path).absolute()
    catalogue = installed()
    found = catalogue.marked([entry.name for entry in path.iterdir()]) if path.is_dir() else None
    reader = catalogue.find(runtime) if runtime else (found or catalogue.detect(path))[0]
    called = name or path.name.partition(".")[0]
    return LoadedModel(reader.load(Artifact(called, "1", path, trusted=True, device=device, options=options)))


class LoadedModel:
    """The model; a context manager that closes it. ``metadata`` is its signature."""

    def __init__(self, model: Model | StreamingModel) -> None:
        self._model = model
        self.metadata: ModelMetadata = model.metadata

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def predict(
        self, inputs: Mapping[str, Any], *, outputs: Sequence[str] = (), parameters: Parameters = NO_PARAMETERS
    ) -> Arrays:
        """One request's answer: its outputs by name. Text comes as ``bytes``, as callers get it.

        Raises:
            TidegateError: as a caller would read it: the request does not fit, or the model failed.
        """
        tensors = self._request(inputs, outputs, parameters)
        return {tensor.name: tensor.numpy() for tensor in execute(self._model, tensors, outputs, parameters)}

    def stream(
        self, inputs: Mapping[str, Any], *, outputs: Sequence[str] = (), parameters: Parameters = NO_PARAMETERS
    ) -> Generator[Arrays, None, None]:
        """One request's responses, as they are made; closing the iterator ends the model's work.

        Raises:
            Exception: as with ``predict``, but what the model itself raises is passed on as it is.
        """
        model = self._model
        if not self.metadata.decoupled or not hasattr(model, "stream"):
            raise Unsupported(f"model '{self.metadata.name}' answers a request once; ask it by predict")
        arrays = {tensor.name: tensor.numpy() for tensor in self._request(inputs, outputs, parameters)}
        for response in model.stream(arrays, outputs, parameters):
            tensors = collect(self.metadata, response, outputs, None)
            yield {tensor.name: tensor.numpy() for tensor in tensors}

    def close(self) -> None:
        """Give back what the model holds."""
        self._model.close()

    def _request(self, inputs: Mapping[str, Any], outputs: Sequence[str], parameters: Parameters) -> tuple[Tensor, ...]:
        specs = {spec.name: spec for spec in self.metadata.inputs}
        tensors = tuple([_tensor(name, value, specs.get(name)) for name, value in inputs.items()])
        wanted = tuple([RequestedOutput(name) for name in outputs])
        request = InferRequest(self.metadata.name, tensors, parameters=parameters, outputs=wanted)
        check_request(request, self.metadata)
        return tensors


def _tensor(name: str, value: Any, spec: TensorSpec | None) -> Tensor:
    """Arrays are what they are; lists and numbers become what the signature says."""
    kind = spec.datatype if spec is not None else None
    if kind is Datatype.BYTES:
        return Tensor.from_numpy(name, np.asarray(value, dtype=object), kind)
    dtype = None if isinstance(value, np.ndarray) or kind is None or kind is Datatype.BF16 else kind.stored
    try:
        array = np.asarray(value, dtype=dtype)
        own = kind if kind is Datatype.BF16 else None
        return Tensor.from_numpy(name, array, own)
    except (TypeError, ValueError) as error:
        raise InvalidTensor(name, f"cannot be made from what was given: {shown(error, 200)}") from error
