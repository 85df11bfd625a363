"""Which backend answers for a model's name and version: an immutable table, replaced as a whole when it changes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.gateway.backend import Backend
from tidegate.protocol.errors import ModelNotFound, VersionNotFound


class Route(msgspec.Struct, frozen=True):
    """One served version of a model."""

    model: str
    version: str
    backend: Backend


class RouteTable(msgspec.Struct, frozen=True):
    """Model name → version → route. ``default`` names the version that answers where the caller names none."""

    models: Mapping[str, Mapping[str, Route]] = {}
    default: Mapping[str, str] = {}

    def resolve(self, model: str, version: str = "") -> Route:
        """The route of a model; version "" takes its default.

        Raises:
            ModelNotFound: no model of that name is served.
            VersionNotFound: the model is, but not in that version.
        """
        versions = self.models.get(model)
        if not versions:
            raise ModelNotFound(model)
        route = versions.get(version or self.default[model])
        if route is None:
            raise VersionNotFound(model, version, ", ".join(sorted(versions)))
        return route

    @classmethod
    def of(cls, *routes: Route) -> RouteTable:
        """A table of these routes; of several versions of a model, the last one named is its default."""
        models: dict[str, dict[str, Route]] = {}
        for route in routes:
            models.setdefault(route.model, {})[route.version] = route
        return cls(models, {route.model: route.version for route in routes})
