"""What callers ask about themselves: who they are, and whether they may. Pure."""

from __future__ import annotations

from typing import Any

from tidegate.control.api.content import JSON, PROTOBUF, YAML, decode_body
from tidegate.control.api.protobuf import byte_fields, unwrapped
from tidegate.control.api.rights import needed_role
from tidegate.identity.identity import Identity, has_role
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.document import Document
from tidegate.resources.parts import part

ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_RESOURCE, _PATH = 1, 2
_FIELDS = {2: "verb", 3: "group", 5: "resource", 6: "subresource"}
"""Of k8s.io/api/authorization/v1, ResourceAttributes."""


def who_am_i(identity: Identity) -> Document:
    """The SelfSubjectReview of a caller."""
    groups = [f"tidegate:{identity.role}"] if identity.role else []
    return {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "status": {"userInfo": {"username": identity.name, "groups": groups}},
    }


def may_i(identity: Identity, body: bytes, kind: str) -> Document:
    """The SelfSubjectAccessReview of a caller; kubectl asks in protobuf, others in JSON.

    Raises:
        InvalidRequest: the body asks nothing.
    """
    asked = _from_protobuf(body) if kind == PROTOBUF else _from_json(body, kind)
    verb, resource = asked.get("verb", ""), asked.get("resource", "")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    allowed = has_role(identity, needed_role(verb, resource))
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {"resourceAttributes": asked},
        "status": {"allowed": allowed, "reason": f"role {identity.role}" if identity.role else "no role"},
    }


def _from_json(body: bytes, kind: str) -> dict[str, str]:
    document = decode_body(body, kind, (JSON, *YAML))
    found: dict[str, Any] = part(document, "spec", "resourceAttributes") or part(
        document, "spec", "nonResourceAttributes"
    )
    if not found:
        raise InvalidRequest("spec is missing, expected resourceAttributes with verb and resource")
    return {name: found[name] for name in _FIELDS.values() if isinstance(found.get(name), str)}


def _from_protobuf(body: bytes) -> dict[str, str]:
    spec = byte_fields(byte_fields(unwrapped(body)).get(2, b""))
    if _RESOURCE in spec:
        fields = byte_fields(spec[_RESOURCE])
        return {name: fields[number].decode("utf-8", "replace") for number, name in _FIELDS.items() if number in fields}
    return {"verb": byte_fields(spec.get(_PATH, b"")).get(2, b"").decode("utf-8", "replace")}
