"""What a request is answered by: one version of a model, or one revision of a service."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.gateway.backend import Backend
from tidegate.gateway.observed import Observed
from tidegate.gateway.shadow import Shadow
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.resources.actuator import RevisionId
from tidegate.resources.document import DEFAULT_NAMESPACE
from tidegate.telemetry.outcomes import Outcomes

DEFAULT = DEFAULT_NAMESPACE
"""The namespace whose services are asked by their names alone."""


class Route(msgspec.Struct, frozen=True):
    """One served version of a model. ``model`` and ``version`` are what it is measured by, together of it alone."""

    model: str
    """Its name; of a service ``label`` of it."""
    version: str
    """The model's version; of a service the revision's number."""
    backend: Backend
    outcomes: Outcomes = msgspec.field(default_factory=Outcomes)
    """How its requests ended so far."""
    observed: Observed | None = None
    """Where its requests are counted for a rollout, None while nobody judges it."""
    shadow: Shadow | None = None
    """What gets copies of its requests. The traffic assigns by a route that has it; who names a revision finds it by
    one that has none."""
    revision: RevisionId | None = None
    """Of which service it is, None for a model of the repository."""
    told_version: str = ""
    """The model version of a revision, as callers name it."""
    configure: Callable[[], ModelConfiguration] | None = None
    """How a revision is run; a model of the repository is asked for there."""

    @classmethod
    def of_revision(
        cls,
        revision: RevisionId,
        model_version: str,
        backend: Backend,
        configure: Callable[[], ModelConfiguration] | None = None,
    ) -> Route:
        """The route of a service's revision; one whose model has no version of its own is called by its number."""
        number = str(revision.number)
        return cls(
            label(revision.namespace, revision.service),
            number,
            backend,
            revision=revision,
            told_version=model_version or number,
            configure=configure,
        )

    @property
    def name(self) -> str:
        """The model's name for those who ask it."""
        return self.model if self.revision is None else self.revision.service

    @property
    def model_version(self) -> str:
        """The model's version for those who ask it."""
        return self.told_version or self.version


def label(namespace: str, service: str) -> str:
    """A service's name among all models: alone in the namespace default, as NAMESPACE/NAME in any other."""
    return service if namespace == DEFAULT else f"{namespace}/{service}"
