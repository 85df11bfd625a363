"""Which backend answers for a model's name and version: an immutable table, replaced as a whole when it changes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.gateway.backend import Backend
from tidegate.protocol.errors import ModelNotFound, ModelNotReady, VersionNotFound
from tidegate.telemetry.outcomes import Outcomes


class Route(msgspec.Struct, frozen=True):
    """One served version of a model."""

    model: str
    version: str
    backend: Backend
    outcomes: Outcomes = msgspec.field(default_factory=Outcomes)
    """How its requests ended so far."""


class RouteTable(msgspec.Struct, frozen=True):
    """Model name → version → route. ``default`` names the version that answers where the caller names none."""

    models: Mapping[str, Mapping[str, Route]] = {}
    default: Mapping[str, str] = {}
    unavailable: Mapping[str, str] = {}
    """Why a model that is known answers in no version, by its name."""

    def resolve(self, model: str, version: str = "") -> Route:
        """The route of a model; version "" takes its default.

        Raises:
            ModelNotFound: no model of that name is served.
            ModelNotReady: the model is known, and not loaded.
            VersionNotFound: the model is, but not in that version.
        """
        versions = self.models.get(model)
        if not versions:
            reason = self.unavailable.get(model)
            raise ModelNotFound(model) if reason is None else ModelNotReady(model, reason)
        route = versions.get(version or self.default[model])
        if route is None:
            raise VersionNotFound(model, version, ", ".join(sorted(versions)))
        return route

    @classmethod
    def of(cls, *routes: Route, unavailable: Mapping[str, str] | None = None) -> RouteTable:
        """A table of these routes; of several versions of a model, the last one named is its default."""
        models: dict[str, dict[str, Route]] = {}
        for route in routes:
            models.setdefault(route.model, {})[route.version] = route
        return cls(models, {route.model: route.version for route in routes}, unavailable or {})
