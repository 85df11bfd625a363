"""Schemas of the kinds in OpenAPI v3, structural as Kubernetes wants them in a CRD, and the CRDs themselves.

Structural means: every value has a type, nothing is referred to, and what is open says so. What only ``rules`` can
tell is not in a schema: an API server that has only the CRD takes more than tidegate does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from tidegate.resources.explain import default_of
from tidegate.resources.kinds import OURS, Kind
from tidegate.resources.section import Section, Shape, fields_of, shape_of

Schema = dict[str, Any]

_METADATA: Schema = {"type": "object"}
"""An API server knows it better than a CRD may."""
_STATUS: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_COLUMNS = [
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "URL", "type": "string", "jsonPath": ".status.url"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def schema_of(kind: Kind, *, whole: bool = False) -> Schema:
    """The schema of a kind; ``whole`` has what a CRD leaves out.

    That is metadata, which an API server knows by itself, and defaults, which it would write into what people applied.
    """
    schema = _section(kind.model, whole)
    if not whole:
        schema["properties"] |= {"metadata": dict(_METADATA)}
    schema["properties"]["status"] = {"description": _STATUS_TEXT, **_STATUS}
    schema["description"] = _text(kind.model.__doc__)
    return schema


def definition_of(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind of ours."""
    names: dict[str, Any] = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "categories": ["all"],
    }
    if kind.short:
        names["shortNames"] = list(kind.short)
    version: dict[str, Any] = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema_of(kind)},
        "subresources": _subresources(kind),
    }
    if kind.group == OURS:
        version["additionalPrinterColumns"] = _COLUMNS
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


_STATUS_TEXT = "What is: written by the server, whatever stands in a manifest."


def _subresources(kind: Kind) -> Mapping[str, Any]:
    if kind.name != "ModelService":
        return {"status": {}}
    paths = {"specReplicasPath": ".spec.predictor.replicas", "statusReplicasPath": ".status.replicas"}
    return {"status": {}, "scale": paths}


def _section(section: type[Section], whole: bool) -> Schema:
    fields = fields_of(section)
    schema: Schema = {
        "type": "object",
        "properties": {name: _field(info, whole) for name, info in fields.items()},
    }
    if required := [name for name, info in fields.items() if info.is_required()]:
        schema["required"] = required
    return schema


def _field(info: FieldInfo, whole: bool) -> Schema:
    default = default_of(info)
    text = _text(info.description) + (f" Default: {default}." if default else "")
    schema = {"description": text, **_shape(shape_of(info), whole)}
    if whole and default:
        schema["default"] = info.default
    return schema


def _shape(shape: Shape, whole: bool) -> Schema:
    if shape.section:
        return _section(shape.section, whole)
    if shape.item:
        return {"type": "array", "items": _shape(shape.item, whole)}
    if shape.value:
        return {"type": "object", "additionalProperties": _shape(shape.value, whole)}
    return dict(shape.schema)


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
