"""What is served: one table of resources, with their verbs and subresources, from which everything else is made."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidegate.control.api.columns import COLUMNS, Column
from tidegate.resources.document import GroupKind
from tidegate.resources.kinds import KINDS, Kind

READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")
NAMESPACE = GroupKind("", "Namespace")
EVENT = GroupKind("", "Event")


class Subresource(msgspec.Struct, frozen=True):
    """A part of a resource that is read and written by itself; ``kind`` is what it is in ``group``/``version``."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...] = ("get", "update", "patch")


class Served(msgspec.Struct, frozen=True):
    """One resource in one version. ``model`` is the kind that its manifests are held against; None for the core's."""

    group: str
    version: str
    kind: str
    plural: str
    short: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()
    model: Kind | None = None
    unwritable: str = ""
    """Why nobody may write it, where nobody may."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> GroupKind:
        return GroupKind(self.group, self.kind)

    @property
    def name(self) -> str:
        """``inferenceservices.serving.kserve.io``"""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def subresource(self, name: str) -> Subresource | None:
        return next((each for each in self.subresources if each.name == name), None)


_WRITTEN_BY_US = {
    "ServingRevision": "the server writes revisions, and what they are made of never changes; change their service",
    "ServingRollout": "the server writes rollouts; `tidegate rollout` asks something of them",
    "ServingJob": "the server writes jobs; change what they are about",
}


def _served(kind: Kind) -> Served:
    unwritable = _WRITTEN_BY_US.get(kind.name, "")
    parts = []
    if kind.name in ("ModelService", "InferenceService"):
        parts.append(Subresource("status", kind.group, kind.version, kind.name))
    if kind.name == "ModelService":
        parts.append(Subresource("scale", "autoscaling", "v1", "Scale"))
    return Served(
        kind.group,
        kind.version,
        kind.name,
        kind.plural,
        kind.aliases,
        kind.namespaced,
        READ if unwritable else READ + WRITE,
        ("all",),
        tuple(parts),
        COLUMNS[kind.name],
        kind,
        unwritable,
    )


RESOURCES: tuple[Served, ...] = (
    *map(_served, KINDS),
    Served("", "v1", "Namespace", "namespaces", ("ns",), False, READ + WRITE[:-1], columns=COLUMNS["Namespace"]),
    Served(
        "",
        "v1",
        "Event",
        "events",
        ("ev",),
        True,
        ("get", "list"),
        columns=COLUMNS["Event"],
        unwritable="the server writes events",
    ),
)


def group_versions(resources: Iterable[Served] = RESOURCES) -> list[tuple[str, str]]:
    """Groups with their versions, each once, in the table's order."""
    return list(dict.fromkeys((served.group, served.version) for served in resources))


def find_served(group: str, version: str, plural: str) -> Served | None:
    for served in RESOURCES:
        if (served.group, served.version, served.plural) == (group, version, plural):
            return served
    return None


def served_of(kind: GroupKind) -> Served:
    """The row of a kind that is served.

    Raises:
        LookupError: it is not.
    """
    return next(served for served in RESOURCES if served.group_kind == kind)
