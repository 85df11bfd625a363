"""Services as requests find them, by namespace and name or by host: each with its revisions, and who gets which. Pure.

Everything here is made anew, as a whole, when the traffic of a service changes. A request that has found its route
keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidegate.gateway.addressee import Asked, ServiceName
from tidegate.gateway.route import Route, label
from tidegate.gateway.shadow import Shadow
from tidegate.gateway.split import PARTS, Split, part_of, salted
from tidegate.protocol.errors import ModelNotReady, NotFound, RevisionNotFound, ServiceNotFound, VersionNotFound, shown
from tidegate.resources.traffic import Traffic


class Service(msgspec.Struct, frozen=True):
    """A service whose revisions can be asked."""

    name: ServiceName
    revisions: Mapping[int, Route]
    """Those that run, by number, in order."""
    versions: Mapping[str, Route]
    """The newest of them with a model version."""
    tags: Mapping[str, Route]
    split: Split | None
    """None where none is to answer who asks for no revision in particular, and ``reason`` says why."""
    reason: str
    salt: bytes
    sticky: bytes
    """The header that keeps a caller with one revision, b"" for none."""
    assigned: Mapping[int, Route]
    """By number, the routes of those that the split assigns to. Where there is a shadow, they lead to it, too."""
    only: Route | None = None
    """The one revision of the split, where it has no more."""

    @classmethod
    def of(cls, traffic: Traffic, routes: Mapping[int, Route], shadow: Shadow | None = None) -> Service:
        """A service as its traffic has it. ``routes`` are its revisions' by number; one that lacks there gets none of
        it, and the others have its share in proportion. ``shadow`` gets copies of what is assigned to others."""
        running = {number: routes[number] for number in sorted(traffic.running) if number in routes}
        shares = [share for share in traffic.shares if share.percent and share.revision in running]
        assigned = {share.revision: _copied(running[share.revision], traffic, shadow) for share in shares}
        return cls(
            name=ServiceName(traffic.namespace, traffic.service),
            revisions=running,
            versions={route.model_version: route for route in running.values()},
            tags={tag: running[number] for tag, number in traffic.tags.items() if number in running},
            split=Split.of(shares) if shares else None,
            reason=traffic.reason or "none of its revisions runs",
            salt=salted(traffic.salt),
            sticky=traffic.sticky.lower().encode(),
            assigned=assigned,
            only=assigned[shares[0].revision] if len(shares) == 1 else None,
        )

    @property
    def label(self) -> str:
        """Its name among all models."""
        return label(self.name.namespace, self.name.name)

    def resolve(self, version: str, tag: str, asked: Asked) -> Route:
        """The route of a request; ``version`` and ``tag`` are "" where it names none.

        Raises:
            RevisionNotFound: the revision that it names does not run, or is none.
            VersionNotFound: none that runs has that model version.
            NotFound: it names two.
            ModelNotReady: it names none, and none answers.
        """
        if version or tag or asked.revision is not None:
            return self._named(version, tag, asked.revision)
        if self.only is not None:
            return self.only
        split = self.split
        if split is None:
            raise ModelNotReady(self.label, self.reason)
        key = asked.key(self.sticky)
        return self.assigned[split.at(part_of(self.salt, key) if key else int(asked.chance * PARTS))]

    def another(self, route: Route) -> Route | None:
        """The first other revision of the split that is ready, the stable one before others; None without one."""
        others = (other for other in self.assigned.values() if other.revision != route.revision)
        return next((other for other in others if other.backend.readiness.ready), None)

    def _named(self, version: str, tag: str, number: str | None) -> Route:
        """The one that all that names one agrees on."""
        route = self._by_version(tag or version) if number is None else self._by_number(number)
        for other in (tag, version):
            if other and not self._is(route, other):
                raise NotFound(f"revision {route.version} of model '{self.label}' is not '{shown(other)}'; ask for one")
        return route

    def _is(self, route: Route, version: str) -> bool:
        tagged = self.tags.get(version)
        return route.model_version == version if tagged is None else route is tagged

    def _by_number(self, sent: str) -> Route:
        # Twenty digits are more than any has, and int() takes longer than linear time.
        number = int(sent) if sent.isascii() and sent.isdigit() and len(sent) <= 20 else 0
        route = self.revisions.get(number)
        if route is None:
            running = ", ".join(map(str, self.revisions))
            raise RevisionNotFound(self.label, sent, f"it runs {running}" if running else self.reason)
        return route

    def _by_version(self, version: str) -> Route:
        route = self.tags.get(version) or self.versions.get(version)
        if route is not None:
            return route
        if not self.revisions:
            raise ModelNotReady(self.label, self.reason)
        raise VersionNotFound(self.label, version, ", ".join((*self.versions, *self.tags)))


class Host(msgspec.Struct, frozen=True):
    """What a host's first label stands for: a service, or with ``tag`` a revision of it.

    Names may have hyphens, so that it can stand for several. Then it is none's.
    """

    services: tuple[Service, ...]
    tag: str = ""


class Services(msgspec.Struct, frozen=True):
    """All of them."""

    by_name: Mapping[str, Mapping[str, Service]] = {}
    """Namespace → name → service."""
    by_host: Mapping[str, Host] = {}

    def __iter__(self) -> Iterator[Service]:
        return (service for services in self.by_name.values() for service in services.values())

    @classmethod
    def of(cls, services: Iterable[Service]) -> Services:
        by_name: dict[str, dict[str, Service]] = {}
        for service in services:
            by_name.setdefault(service.name.namespace, {})[service.name.name] = service
        by_host: dict[str, Host] = {}
        for service in cls(by_name):  # what names a service goes before what names one of its revisions
            _put(by_host, f"{service.name.name}-{service.name.namespace}", service, "")
        for service in cls(by_name):
            for tag in service.tags:
                _put(by_host, f"{tag}-{service.name.name}-{service.name.namespace}", service, tag)
        return cls(by_name, by_host)

    def find(self, name: ServiceName) -> Service:
        """The service of a name.

        Raises:
            ServiceNotFound: there is none.
        """
        service = self.by_name.get(name.namespace, {}).get(name.name)
        if service is None:
            raise ServiceNotFound(str(name))
        return service

    def addressed(self, asked: Asked) -> tuple[Service, str] | None:
        """The service that a request addresses by path or host, and a tag; None where it does neither.

        Raises:
            ServiceNotFound: there is none with the path's name.
            NotFound: the host can be that of several, or path and host disagree.
        """
        host = self.by_host.get(asked.host) if asked.host else None
        if asked.service is not None:
            service = self.find(asked.service)
            if host is None:
                return service, ""
            if not any(service is other for other in host.services):
                raise NotFound(f"host '{shown(asked.host)}' is not that of service {service.name}")
            return service, host.tag
        if host is None:
            return None
        if len(host.services) > 1:
            names = " and ".join(sorted(f"/serving/{service.name}" for service in host.services))
            raise NotFound(f"host '{shown(asked.host)}' can be that of several services; ask under {names}")
        return host.services[0], host.tag


def _copied(route: Route, traffic: Traffic, shadow: Shadow | None) -> Route:
    """The route that the split assigns by: counts are the same, and copies go to the shadow, but not its own."""
    if shadow is None or route.version == str(traffic.shadow):
        return route
    return msgspec.structs.replace(route, shadow=shadow)


def _put(hosts: dict[str, Host], host: str, service: Service, tag: str) -> None:
    before = hosts.get(host)
    if before is None:
        hosts[host] = Host((service,), tag)
    elif before.tag == tag:
        hosts[host] = Host((*before.services, service), tag)
