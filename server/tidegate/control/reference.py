"""Whether one machine could serve what a template asks for, before anything is looked for. Pure.

What no path could mend is told before a path is: who is told that his model is not there, and brings it, should not be
told afterwards that it would need a container.
"""

from __future__ import annotations

from collections.abc import Collection

from tidegate.control.formats import reader_of
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.resources.document import Document
from tidegate.resources.parts import part

_PREDICTOR = "spec.predictor"
_CONTAINER = ("image", "command")
"""Fields of a model that say that a container of its own serves it."""


def model_of(template: Document, installed: Collection[str]) -> Document:
    """The model of a template, which names a format that one of the installed runtimes reads, and a place.

    Raises:
        ModelLoadFailed: something in the template needs a container, or a storage that is not there; the field is
            named.
    """
    for component in ("transformer", "explainer"):
        if component in template:
            raise ModelLoadFailed(f"spec.{component} cannot run on this machine yet, expected a predictor alone")
    predictor = part(template, "predictor")
    if predictor.get("containers"):
        raise _needs_container("containers")
    model = part(predictor, "model")
    if not model:
        raise ModelLoadFailed(f"{_PREDICTOR}.model is missing, expected the model to serve")
    for field in _CONTAINER:
        if model.get(field):
            raise _needs_container(f"model.{field}")
    if (form := part(model, "modelFormat").get("name")) is not None:
        reader_of(str(form), installed)
    if model.get("storage"):
        raise ModelLoadFailed(
            f"{_PREDICTOR}.model.storage is in a remote storage, and those are not there yet; expected storageUri with "
            f"a path of this machine"
        )
    if not model.get("storageUri"):
        raise ModelLoadFailed(f"{_PREDICTOR}.model.storageUri is missing, expected a path of this machine")
    return model


def _needs_container(field: str) -> ModelLoadFailed:
    return ModelLoadFailed(f"{_PREDICTOR}.{field} needs a container, and none can run on this machine")
