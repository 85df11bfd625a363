"""Which backend answers a request: an immutable table, replaced as a whole when it changes.

Models of the repository are found by name and version, services also by namespace and revision (``services.py``). Where
both have a name, the service answers: somebody has written down that it shall.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidegate.gateway.addressee import PLAIN, Asked
from tidegate.gateway.route import DEFAULT, Route
from tidegate.gateway.services import Service, Services
from tidegate.protocol.errors import ModelNotFound, ModelNotReady, NotFound, RevisionNotFound, VersionNotFound, shown

__all__ = ["Route", "RouteTable"]


class RouteTable(msgspec.Struct, frozen=True):
    """``models`` are those of the repository: model name → version → route.

    ``default`` names the version that answers where the caller names none.
    """

    models: Mapping[str, Mapping[str, Route]] = {}
    default: Mapping[str, str] = {}
    unavailable: Mapping[str, str] = {}
    """Why a model that is known answers in no version, by its name."""
    services: Services = Services()

    def resolve(self, model: str, version: str = "", asked: Asked = PLAIN) -> Route:
        """The route of a request; version "" takes the model's default, or a revision by the traffic.

        Raises:
            ModelNotFound: no model of that name is served, or it is not the one of the host or the path.
            ModelNotReady: the model is known, and not loaded.
            VersionNotFound: the model is, but not in that version.
            RevisionNotFound: the model is, but not in that revision.
            NotFound: what is said of the addressee contradicts itself, or there is no such service.
        """
        if asked is not PLAIN or self.services.by_name:
            found = self.service(model, asked)
            if found is not None:
                return found[0].resolve(version, found[1], asked)
        versions = self.models.get(model)
        if not versions:
            reason = self.unavailable.get(model)
            raise ModelNotFound(model) if reason is None else ModelNotReady(model, reason)
        if asked.revision is not None:
            raise RevisionNotFound(model, asked.revision, "it is a model of the repository, and has none")
        route = versions.get(version or self.default[model])
        if route is None:
            raise VersionNotFound(model, version, ", ".join(sorted(versions)))
        return route

    def service(self, model: str, asked: Asked) -> tuple[Service, str] | None:
        """The service that a request is for, and the tag of its host; None where it is for no service.

        Raises:
            NotFound: as ``resolve``.
        """
        addressed = self.services.addressed(asked)
        if addressed is not None:
            name = addressed[0].name
            if name.name != model:
                raise NotFound(f"model '{shown(model)}' is not found: host or path are those of service {shown(name)}")
            return addressed
        service = self.services.by_name.get(DEFAULT, {}).get(model)
        return None if service is None else (service, "")

    def is_for_service(self, asked: Asked) -> bool:
        """Whether a request addresses a service by host or path, so that there are no other models for it."""
        return self.services.addressed(asked) is not None

    def services_of(self, asked: Asked) -> Mapping[str, Service]:
        """The services that can be asked for by their names where this was asked, by name."""
        addressed = self.services.addressed(asked)
        if addressed is not None:
            return {addressed[0].name.name: addressed[0]}
        plain = self.services.by_name.get(DEFAULT, {})
        return {name: plain[name] for name in sorted(plain)}

    def names(self, asked: Asked) -> list[str]:
        """The models that can be asked for where this was asked.

        Raises:
            NotFound: as ``resolve``.
        """
        services = self.services_of(asked)
        return sorted(services if self.is_for_service(asked) else {*self.models, *services})

    def several(self, model: str, asked: Asked) -> list[Route]:
        """The routes of a model, or of all ("") where this was asked: by name, and a model's by number.

        Raises:
            NotFound, ModelNotReady: as ``resolve``.
        """
        routes: Iterable[Route]
        if model:
            found = self.service(model, asked)
            versions = self.models.get(model, {}) if found is None else found[0].revisions
            routes = versions.values() or [self.resolve(model, "", asked)]  # which raises
        elif self.is_for_service(asked):
            routes = [route for service in self.services_of(asked).values() for route in service.revisions.values()]
        else:
            hidden = self.services.by_name.get(DEFAULT, {})
            routes = [route for route in self if route.revision is not None or route.model not in hidden]
        return sorted(routes, key=lambda route: (route.model, len(route.version), route.version))

    def versions_of(self, route: Route) -> tuple[str, ...]:
        """The versions that can be asked for of a route's model, by number."""
        if route.revision is None:
            found: Iterable[str] = self.models.get(route.model, ())
        else:
            service = self.services.by_name.get(route.revision.namespace, {}).get(route.revision.service)
            found = () if service is None else service.versions
        return tuple(sorted(found, key=lambda version: (len(version), version)))

    def __iter__(self) -> Iterator[Route]:
        """Every route, each once: the services' first."""
        for service in self.services:
            yield from service.revisions.values()
        for versions in self.models.values():
            yield from versions.values()

    @classmethod
    def of(
        cls, *routes: Route, unavailable: Mapping[str, str] | None = None, services: Iterable[Service] = ()
    ) -> RouteTable:
        """A table of these routes; of several versions of a model, the last one named is its default."""
        models: dict[str, dict[str, Route]] = {}
        for route in routes:
            models.setdefault(route.model, {})[route.version] = route
        default = {route.model: route.version for route in routes}
        return cls(models, default, unavailable or {}, Services.of(services))
