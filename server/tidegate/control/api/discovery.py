"""What clients ask first: which groups, versions and resources there are; aggregated, and in the older form. Pure.

Each form is asked for by its media type, and read as empty when it comes under another one.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.control.api.served import RESOURCES, Served, group_versions
from tidegate.resources.document import Document

KUBERNETES = ("1", "32")
"""The minor version whose API this is like. kubectl warns where its own is more than one away."""

_UNTOLD = ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
"""Of how it was built, which typed clients want to be there."""


def version(ours: str) -> Document:
    """``/version``; ``ours`` is tidegate's own version."""
    major, minor = KUBERNETES
    told = {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0+tidegate.{ours}"}
    return told | dict.fromkeys(_UNTOLD, "")


def aggregated_type(api: str) -> str:
    """The media type of aggregated discovery in a version of its API, with the parameters that it is told by."""
    return f"application/json;g=apidiscovery.k8s.io;v={api};as=APIGroupDiscoveryList"


def aggregated(api: str, *, core: bool) -> Document:
    """All groups with all their resources: those of ``/api`` or those of ``/apis``."""
    items: list[Document] = []
    for group in dict.fromkeys(served.group for served in RESOURCES):
        if bool(group) is core:
            continue
        versions = [
            {"version": found, "resources": [_aggregated(each) for each in _of(group, found)], "freshness": "Current"}
            for other, found in group_versions()
            if other == group
        ]
        items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api}",
        "metadata": {},
        "items": items,
    }


def core_versions() -> Document:
    """``/api`` in the older form."""
    versions = [version for group, version in group_versions() if not group]
    return {"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []}


def groups() -> Document:
    """``/apis`` in the older form."""
    names = dict.fromkeys(group for group, _ in group_versions() if group)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in names]}


def group(name: str) -> Document | None:
    """``/apis/GROUP``; None where there is no such group."""
    known = any(found == name for found, _ in group_versions())
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)} if known and name else None


def resources(name: str, version: str) -> Document | None:
    """``/apis/GROUP/VERSION`` or ``/api/VERSION``; None where there is none."""
    found = _of(name, version)
    if not found:
        return None
    rows = [row for served in found for row in _rows(served)]
    api_version = found[0].api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": rows}


def _of(group: str, version: str) -> list[Served]:
    return [served for served in RESOURCES if (served.group, served.version) == (group, version)]


def _group(name: str) -> Document:
    found = [version for group, version in group_versions() if group == name]
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in found]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _aggregated(served: Served) -> Document:
    return {
        "resource": served.plural,
        "responseKind": {"group": served.group, "version": served.version, "kind": served.kind},
        "scope": "Namespaced" if served.namespaced else "Cluster",
        "singularResource": served.kind.lower(),
        "verbs": sorted(served.verbs),
        "shortNames": list(served.short),
        "categories": list(served.categories),
        "subresources": [
            {
                "subresource": part.name,
                "responseKind": {"group": part.group, "version": part.version, "kind": part.kind},
                "verbs": sorted(part.verbs),
            }
            for part in served.subresources
        ],
    }


def _rows(served: Served) -> Iterable[Document]:
    yield {
        "name": served.plural,
        "singularName": served.kind.lower(),
        "namespaced": served.namespaced,
        "kind": served.kind,
        "verbs": sorted(served.verbs),
        "shortNames": list(served.short),
        "categories": list(served.categories),
    }
    for part in served.subresources:
        yield {
            "name": f"{served.plural}/{part.name}",
            "singularName": "",
            "namespaced": served.namespaced,
            "group": part.group,
            "version": part.version,
            "kind": part.kind,
            "verbs": sorted(part.verbs),
        }
