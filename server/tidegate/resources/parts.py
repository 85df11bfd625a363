"""Parts of a service's document that several rules look at, whatever is missing in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidegate.resources.faults import Path

Part = dict[str, Any]

FRAMEWORKS = (
    "sklearn", "xgboost", "lightgbm", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "paddle",
)  # fmt: skip
"""KServe's old keys, each a model of its own."""


def at(document: Any, *path: str | int) -> Any:
    """What stands at a path; None where there is nothing."""
    for step in path:
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and step < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return document


def part(document: Any, *path: str | int) -> Part:
    """The mapping at a path; an empty one where there is none."""
    found = at(document, *path)
    return found if isinstance(found, dict) else {}


def parts(document: Any, *path: str | int) -> Iterator[tuple[int, Part]]:
    """The mappings of the list at a path, with their positions."""
    found = at(document, *path)
    for index, each in enumerate(found if isinstance(found, list) else ()):
        if isinstance(each, dict):
            yield index, each


def annotations_of(document: Part) -> dict[str, str]:
    return part(document, "metadata", "annotations")


def components(document: Part) -> Iterator[tuple[Path, Part]]:
    """Predictor, transformer, explainer and the predictors of canaries, as far as they are there."""
    for name in ("predictor", "transformer", "explainer"):
        if isinstance(found := at(document, "spec", name), dict):
            yield ("spec", name), found
    for index, canary in parts(document, "spec", "canary"):
        if isinstance(found := canary.get("predictor"), dict):
            yield ("spec", "canary", index, "predictor"), found


def predictors(document: Part) -> Iterator[tuple[Path, Part]]:
    for path, component in components(document):
        if path[-1] == "predictor":
            yield path, component


def models(document: Part) -> Iterator[tuple[Path, Part]]:
    """Models, under ``model`` or an old key."""
    for path, component in components(document):
        for key in ("model", *FRAMEWORKS):
            if isinstance(found := component.get(key), dict):
                yield (*path, key), found


def containers(document: Part) -> Iterator[tuple[Path, Part]]:
    """All containers: those of components, init containers included, and those of models."""
    yield from models(document)
    for path, component in components(document):
        for key in ("containers", "initContainers"):
            for index, container in parts(component, key):
                yield (*path, key, index), container


def variables(path: Path, container: Part) -> Iterator[tuple[Path, str, object]]:
    """Place, name and value of a container's variables."""
    for index, variable in parts(container, "env"):
        if isinstance(name := variable.get("name"), str):
            yield (*path, "env", index), name, variable.get("value")


def is_collocated(predictor: Part) -> bool:
    """Whether the predictor's containers have a transformer beside the model among them."""
    return any(each.get("name") == "transformer-container" for _, each in parts(predictor, "containers"))
