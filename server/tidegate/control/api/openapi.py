"""OpenAPI v3 of what is served: kubectl reads its checks and explanations off it. Pure.

Patches are listed without Kubernetes' strategic one, which kubectl would send otherwise, and with ``fieldValidation``,
without which it refuses to apply.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache

import msgspec

from tidegate.control.api.content import PatchType
from tidegate.control.api.served import RESOURCES, Served, group_versions
from tidegate.resources.document import Document
from tidegate.resources.openapi import Schema, schema_of

OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Of the empty document at ``/openapi/v2``, which kubectl 1.27 and 1.28 ask for and are content with."""
_TEXT: Schema = {"type": "string"}
_METADATA: Schema = {"type": "object", "description": "Name and bookkeeping."}


def index() -> Document:
    """``/openapi/v3``: where the document of each group version lies, with its digest, so that it can be kept."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest(path)}"}
            for path in (_path(group, version) for group, version in group_versions())
        }
    }


def document(path: str) -> bytes | None:
    """The document of ``apis/GROUP/VERSION`` or ``api/VERSION``, in JSON; None where there is none."""
    return _documents().get(path, (None, ""))[0]


def digest(path: str) -> str:
    """Changes with the document, '' where there is none."""
    return _documents().get(path, (None, ""))[1]


@cache
def _documents() -> Mapping[str, tuple[bytes, str]]:
    """All of them with their digests, by path: what is kept for each path that is asked for would have no bound."""
    made = {_path(*each): _document(*each) for each in group_versions()}
    return {path: (text, hashlib.sha256(text).hexdigest()[:32].upper()) for path, text in made.items()}


def _document(group: str, version: str) -> bytes:
    found = [served for served in RESOURCES if (served.group, served.version) == (group, version)]
    paths: Document = {}
    for served in found:
        paths |= _paths(served, f"/{_path(group, version)}")
    schemas = {schema_name(served): _schema(served) for served in found}
    return msgspec.json.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "tidegate", "version": version},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def schema_name(served: Served) -> str:
    """``dev.tidegate.v1.ModelService``"""
    group = served.group or "core"
    return ".".join((*reversed(group.split(".")), served.version, served.kind))


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _schema(served: Served) -> Schema:
    if served.model is not None:
        schema = schema_of(served.model, whole=True)
    else:
        schema = {"type": "object", "description": f"{served.kind} of Kubernetes' core.", "properties": {}}
        schema["properties"] = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA}
    return {**schema, "x-kubernetes-group-version-kind": [_gvk(served)]}


def _gvk(served: Served) -> Document:
    return {"group": served.group, "version": served.version, "kind": served.kind}


def _paths(served: Served, prefix: str) -> Document:
    base = f"{prefix}/namespaces/{{namespace}}/{served.plural}" if served.namespaced else f"{prefix}/{served.plural}"
    shared = [_parameter("namespace")] if served.namespaced else []
    collection = {verb: _operation(served, verb) for verb in _verbs(served, {"list": "get", "create": "post"})}
    one = {
        verb: _operation(served, verb)
        for verb in _verbs(served, {"get": "get", "update": "put", "patch": "patch", "delete": "delete"})
    }
    return {
        base: {**collection, "parameters": shared},
        f"{base}/{{name}}": {**one, "parameters": [*shared, _parameter("name")]},
    }


def _verbs(served: Served, methods: dict[str, str]) -> list[str]:
    return [method for verb, method in methods.items() if verb in served.verbs]


def _operation(served: Served, method: str) -> Document:
    reference = {"$ref": f"#/components/schemas/{schema_name(served)}"}
    operation: Document = {
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-group-version-kind": _gvk(served),
    }
    if method in ("post", "put", "patch"):
        operation["parameters"] = [_query("dryRun"), _query("fieldManager"), _query("fieldValidation")]
        types = [*PatchType] if method == "patch" else ["application/json", "application/yaml"]
        schema = {"type": "object"} if method == "patch" else reference
        operation["requestBody"] = {"content": {str(kind): {"schema": schema} for kind in types}}
    if method == "patch":
        operation["parameters"].append({**_query("force"), "schema": {"type": "boolean"}})
    return operation


def _parameter(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _query(name: str) -> Document:
    return {"name": name, "in": "query", "schema": _TEXT}
