"""What a path and a method ask for. Pure."""

from __future__ import annotations

import msgspec

from tidegate.control.api.served import Served, Subresource, find_served
from tidegate.protocol.errors import MethodNotAllowed, NotFound, shown
from tidegate.resources.document import Document

_OF_ONE = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OF_ALL = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_IN_ONE_PLACE = frozenset(("create", "deletecollection"))
"""Verbs that want one namespace, where there are namespaces."""


class Target(msgspec.Struct, frozen=True):
    """A collection, one resource, or a part of one. ``namespace`` is '' for all of them, and for what is in none."""

    served: Served
    namespace: str = ""
    name: str = ""
    subresource: Subresource | None = None

    def details(self, *, of_kind: bool = False) -> Document:
        """What a Status says of it: by its plural, or by its kind where it says that a manifest is wrong."""
        kind = self.served.kind if of_kind else self.served.plural
        told = {"name": self.name, "group": self.served.group, "kind": kind}
        return {name: value for name, value in told.items() if value}

    @property
    def resource(self) -> str:
        """``modelservices/status``, as rights and the audit log name it."""
        return self.served.plural + (f"/{self.subresource.name}" if self.subresource else "")


def find_target(path: str) -> Target:
    """The target of a path below ``/api`` or ``/apis``.

    Raises:
        NotFound: nothing that is served lies there.
    """
    group, version, rest = "", "", list[str]()
    match [part for part in path.split("/") if part]:
        case ["apis", group, version, *rest]:
            pass
        case ["api", version, *rest]:
            group = ""
    match rest:
        case ["namespaces", namespace, plural, *below] if served := find_served(group, version, plural):
            found = _below(served, namespace, below) if served.namespaced else None
        case [plural, *below] if served := find_served(group, version, plural):
            # Only collections of what is in namespaces may be asked for in all of them at once.
            found = _below(served, "", below) if not (served.namespaced and below) else None
        case _:
            found = None
    if found is None:
        raise NotFound(f"there is no '{shown(path, 160)}' here")
    return found


def find_verb(target: Target, method: str) -> str:
    """The verb of a method, in Kubernetes' words; ``list`` for watches, too.

    Raises:
        MethodNotAllowed: the target has no such verb.
    """
    served = target.served
    verb = (_OF_ONE if target.name else _OF_ALL).get(method)
    placeless = verb in _IN_ONE_PLACE and served.namespaced and not target.namespace
    if verb is not None and method in methods_of(target):
        return verb
    reason = f": {served.unwritable}" if served.unwritable and method not in ("GET", "HEAD") else ""
    if placeless:
        reason = reason or ": name a namespace in the path"
    raise MethodNotAllowed(f"{shown(method)} is not allowed for {target.resource}{reason}")


def methods_of(target: Target) -> list[str]:
    """The methods that a target knows."""
    verbs = set(target.subresource.verbs if target.subresource else target.served.verbs)
    if target.served.namespaced and not target.namespace:
        verbs -= _IN_ONE_PLACE
    return [method for method, verb in (_OF_ONE if target.name else _OF_ALL).items() if verb in verbs]


def _below(served: Served, namespace: str, below: list[str]) -> Target | None:
    match below:
        case []:
            return Target(served, namespace)
        case [name]:
            return Target(served, namespace, name)
        case [name, part] if subresource := served.subresource(part):
            return Target(served, namespace, name, subresource)
    return None
