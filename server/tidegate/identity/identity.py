"""Who was recognised: a name, how it was proven, and what he may do. What the rest of the server sees of a caller."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tidegate.identity.quota import UNLIMITED, Quota
from tidegate.identity.scope import Scope, Verb, parse_scope


class Proof(StrEnum):
    """How somebody showed who he is."""

    CERTIFICATE = "certificate"
    """A client certificate of a trusted authority."""
    TOKEN = "token"
    """A JSON Web Token of a trusted issuer."""
    KEY = "key"
    """An API key."""
    PLACE = "place"
    """None: he is on this machine, and that is enough where nothing is asked for."""


class Role(StrEnum):
    """What somebody may do at the admin port; each includes the one before."""

    VIEW = "view"
    """Read everything but secrets."""
    EDIT = "edit"
    """Change resources, too."""
    ADMIN = "admin"
    """Everything."""


_ORDER = tuple(Role)


class Identity(msgspec.Struct, frozen=True):
    """One caller."""

    name: str
    """Unique among those of the same proof."""
    proof: Proof
    scopes: tuple[Scope, ...] = ()
    """His rights on the data ports."""
    role: Role | None = None
    """His rights on the admin port; None for none."""
    tenant: str = ""
    """Whom his requests count for in the queue; "" for nobody."""
    proxy: bool = False
    """Whether he speaks for others, so that each of his requests names its tenant itself."""
    quota: Quota = UNLIMITED

    @property
    def key(self) -> str:
        """What tells him from all others."""
        return f"{self.proof}:{self.name}"


LOCAL = Identity("local", Proof.PLACE, (parse_scope("admin:*"),), Role.ADMIN)
"""Whoever reaches a server that asks nobody who he is."""


def may(identity: Identity, verb: Verb, namespace: str, service: str) -> bool:
    """Whether somebody may do this with this service."""
    return any(scope.covers(verb, namespace, service) for scope in identity.scopes)


def has_role(identity: Identity, role: Role) -> bool:
    """Whether somebody has this role at the admin port, or one that includes it."""
    return identity.role is not None and _ORDER.index(identity.role) >= _ORDER.index(role)
