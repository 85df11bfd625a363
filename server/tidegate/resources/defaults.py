"""What admission fills in, so that two ways to say the same are one afterwards. Doing it again changes nothing.

Defaults of single fields stay out of the document: the models know them, and a later version may know better ones.
"""

from __future__ import annotations

from typing import Any

from tidegate.resources.decode import decode, encode
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.metadata import Resource
from tidegate.resources.parts import FRAMEWORKS, Part, components, part
from tidegate.resources.rules_kserve import MODES, PREFIX

LONE_CONTAINER = "kserve-container"
"""What KServe calls the only container of a component."""
_V2_KEYS = ("triton", "onnx", "huggingface")
_V2_FORMATS = ("triton", "vLLM")
_V2_RUNTIMES = ("kserve-mlserver",)
_V1_RUNTIMES = ("kserve-torchserve",)


def apply_defaults(resource: Resource) -> Resource:
    """The resource as admission would store it: KServe's old keys, modes and unnamed containers in their one form."""
    if not isinstance(resource, InferenceService):
        return resource
    document = encode(resource)
    _rename_mode(document)
    formats: list[str] = []
    for _, component in components(document):
        rename_frameworks(component)
        if model := part(component, "model"):
            _fill_protocol(model)
            formats.append(model["modelFormat"]["name"])
        _name_container(component)
    if formats:
        document["metadata"].setdefault("annotations", {}).setdefault("modelFormat", formats[0])
    return decode(document, strict=True)


def _rename_mode(document: Part) -> None:
    annotations = part(document, "metadata", "annotations")
    key = f"{PREFIX}deploymentMode"
    if key in annotations:
        annotations[key] = MODES[annotations[key]]


def rename_frameworks(component: dict[str, Any]) -> None:
    """Put a component's old keys in the one form, in place."""
    for key in FRAMEWORKS:
        if key in component:
            told = component.pop(key)
            protocol = {"protocolVersion": "v2"} if key in _V2_KEYS else {}
            component["model"] = {"modelFormat": {"name": key}, **protocol, **told}


def _fill_protocol(model: Part) -> None:
    runtime = model.get("runtime")
    if runtime in _V1_RUNTIMES:
        model.setdefault("protocolVersion", "v1")
    elif runtime in _V2_RUNTIMES or model["modelFormat"]["name"] in _V2_FORMATS:
        model.setdefault("protocolVersion", "v2")


def _name_container(component: Part) -> None:
    match component.get("containers"):
        case [container] if not container.get("name"):
            container["name"] = LONE_CONTAINER
