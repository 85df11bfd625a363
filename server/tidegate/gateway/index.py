"""The services among the models of v2's repository index. Pure."""

from __future__ import annotations

from tidegate.gateway.services import Service
from tidegate.protocol.repository import IndexEntry, ModelState


def index_of(service: Service) -> list[IndexEntry]:
    """An entry for each model version that can be asked for; one without a version where none can."""
    name = service.name.name
    if not service.versions:
        return [IndexEntry(name, "", ModelState.UNAVAILABLE, service.reason)]
    return [
        IndexEntry(name, version, ModelState.READY if state.ready else ModelState.UNAVAILABLE, state.reason)
        for version, route in sorted(service.versions.items(), key=lambda entry: (len(entry[0]), entry[0]))
        for state in (route.backend.readiness,)
    ]
