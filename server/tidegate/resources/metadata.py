"""What every resource has: its kind, its name and bookkeeping, its status."""

from __future__ import annotations

from typing import Any

from tidegate.resources.document import DEFAULT_NAMESPACE
from tidegate.resources.scalars import Count, Label, LabelKey, LabelValue, Quoted, Subdomain, Timestamp
from tidegate.resources.section import Section


class OwnerReference(Section):
    """A resource that this one belongs to."""

    api_version: str
    """Group and version of the owner."""
    kind: str
    """Kind of the owner."""
    name: Subdomain
    """Name of the owner, in the same namespace."""
    uid: str
    """The owner's uid, so that another one of that name does not count."""
    controller: bool = False
    """Whether the owner manages this resource."""
    block_owner_deletion: bool = False
    """Whether the owner is deleted only after this resource."""


class Metadata(Section):
    """Name and bookkeeping. What the server writes may be sent back to it; it is not taken from there."""

    name: Subdomain
    """How it is addressed; unique in its namespace among resources of its kind."""
    namespace: Label = DEFAULT_NAMESPACE
    """Which namespace it lies in."""
    labels: dict[LabelKey, LabelValue] = {}
    """What it can be selected by."""
    annotations: dict[LabelKey, Quoted] = {}
    """Notes for people and tools; KServe keeps settings in them, too."""
    finalizers: list[str] = []
    """Who has to agree before it is gone."""
    owner_references: list[OwnerReference] = []
    """Resources that it belongs to: it is deleted with the last of them."""
    generation: Count | None = None
    """Counts the changes of spec; the server writes it."""
    resource_version: str | None = None
    """Changes with every write; the server writes it, and refuses an update that names an older one."""
    uid: str | None = None
    """Tells it from an earlier one of the same name; the server writes it."""
    creation_timestamp: Timestamp | None = None
    """When it was made; the server writes it."""
    deletion_timestamp: Timestamp | None = None
    """When its deletion was asked for; the server writes it."""
    deletion_grace_period_seconds: Count | None = None
    """Seconds that it was given to end; the server writes it."""
    managed_fields: list[Any] = []
    """Who wrote which field, where several share a resource; the server writes it."""


class Resource(Section):
    """The base of all kinds; each narrows ``apiVersion``, ``kind`` and ``spec``."""

    api_version: str
    """Group and version of the kind."""
    kind: str
    """What it is."""
    metadata: Metadata
    """Name and bookkeeping."""
    spec: Section
    """What is wanted."""
    status: dict[str, Any] = {}
    """What is: written by the server, whatever stands in a manifest."""

    retired = {"predictor": "it belongs to spec", "transformer": "it belongs to spec", "rollout": "it belongs to spec"}
