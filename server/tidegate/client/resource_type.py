"""Which resources a server has, and the paths that they are at: Kubernetes' API groups and discovery. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from tidegate.protocol.errors import InvalidResponse


class ResourceType(msgspec.Struct, frozen=True):
    """One kind of resource in one version. The core group is ''."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    """Words that mean several kinds: ``all``."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """The kind and its group, as kubectl names what it has written: ``modelservice.tidegate.dev``."""
        return f"{self.kind.lower()}.{self.group}" if self.group else self.kind.lower()

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Of one resource, or without a name of all; without a namespace of all namespaces."""
        steps = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            steps += ["namespaces", namespace]
        steps += [self.plural, name, subresource]
        return "".join(f"/{quote(step, safe='')}" for step in steps if step)


EVENTS = ResourceType("", "v1", "events", "Event", short=("ev",))
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False, short=("ns",))


def read_discovery(document: Any) -> Iterator[ResourceType]:
    """The types of an aggregated discovery document (APIGroupDiscoveryList), in its order.

    Raises:
        InvalidResponse: it is none.
    """
    try:
        for group in document["items"]:
            found: dict[str, ResourceType] = {}
            for version in group["versions"]:
                for resource in version["resources"]:
                    # Of a kind in several versions the first is the one that the server prefers.
                    found.setdefault(resource["resource"], _type(group, version, resource))
            yield from found.values()
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InvalidResponse("it is no list of API groups, expected Kubernetes' APIGroupDiscoveryList") from error


def _type(group: Any, version: Any, resource: Any) -> ResourceType:
    return ResourceType(
        group.get("metadata", {}).get("name") or "",
        version["version"],
        resource["resource"],
        resource["responseKind"]["kind"],
        resource.get("scope") != "Cluster",
        tuple(resource.get("shortNames") or ()),
        tuple(resource.get("categories") or ()),
    )
