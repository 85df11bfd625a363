"""Who may do what at the admin port: a table of roles. Pure."""

from __future__ import annotations

from tidegate.control.api.target import Target
from tidegate.identity.identity import Identity, Role, has_role
from tidegate.protocol.errors import Forbidden, shown

_READ = frozenset(("get", "list", "watch"))
_ADMINS = frozenset(("namespaces", "clusterservingruntimes"))
"""What everybody in the process shares."""


def needed_role(verb: str, resource: str) -> Role:
    """The least role that may: ``resource`` is a plural, with ``/status`` or ``/scale`` where it is of that alone.

    view reads; edit changes what is in a namespace; admin changes namespaces and what all of them share, too, and
    writes a status, which is otherwise the server's.
    """
    if verb in _READ:
        return Role.VIEW
    plural, _, part = resource.partition("/")
    return Role.ADMIN if plural in _ADMINS or part == "status" else Role.EDIT


def check_right(identity: Identity, verb: str, target: Target) -> None:
    """Raises:
    Forbidden: the caller has not the role.
    """
    check_role(identity, needed_role(verb, target.resource), verb, target.resource)


def check_role(identity: Identity, role: Role, verb: str, resource: str) -> None:
    """Raises:
    Forbidden: the caller has not the role that the verb takes.
    """
    if not has_role(identity, role):
        has = f"has the role {identity.role}" if identity.role else "has no role here"
        raise Forbidden(f"'{shown(identity.name)}' {has}, and cannot {verb} {resource}: that takes the role {role}")
