"""ServingRevision (tidegate.dev/v1): one state of a service that was, is, or will be served. The server writes them.

A revision is never changed: what it was made of is what going back to it brings back.
"""

from __future__ import annotations

from typing import Any, Literal

from tidegate.resources.metadata import Resource
from tidegate.resources.scalars import Count, Positive, Timestamp
from tidegate.resources.section import Section


class ServiceReference(Section):
    """The service of a revision, in the same namespace."""

    kind: Literal["ModelService", "InferenceService"]
    """Its kind."""
    name: str
    """Its name."""


class ResolvedModel(Section):
    """What the reference to the model meant when the revision was made."""

    uri: str = ""
    """The reference, as the service had it."""
    digest: str = ""
    """sha256:… of the model's content; empty where containers bring it."""
    version: str = ""
    """The model's version in its directory or registry; empty where it has none."""
    runtime: str = ""
    """Who reads it, with the version of its framework."""
    format: str = ""
    """The format that was found."""
    time: Timestamp | None = None
    """When it was found out."""


class ServingRevisionSpec(Section):
    """What the revision is made of."""

    service: ServiceReference
    """Whose revision it is."""
    number: Positive
    """Which of that service; numbers are never used again."""
    track: str = ""
    """The canary that it is of, by the name of its predictor; empty for the service itself."""
    generation: Count
    """The service's generation that it was made for."""
    template: dict[str, Any]
    """Those fields of the service's spec that form a revision, in the schema of a ModelService."""
    source: dict[str, Any] = {}
    """The same in the schema of an InferenceService, where the service is one."""
    resolved: ResolvedModel
    """What the reference to the model meant."""
    hash: str
    """Of all that forms it: the same content is the same revision."""


class ServingRevision(Resource):
    """One state of a service, with the model's content."""

    api_version: Literal["tidegate.dev/v1"]
    """Group and version of the kind: tidegate.dev/v1."""
    kind: Literal["ServingRevision"]
    """The kind: ServingRevision."""
    spec: ServingRevisionSpec
    """What it is made of."""
