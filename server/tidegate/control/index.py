"""The repository's index: every version of every model, its state, and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from tidegate.control.offer import Survey
from tidegate.protocol.repository import IndexEntry, ModelState
from tidegate.replicas.readiness import Readiness

Key = tuple[str, str]
"""A model and its version."""

NOT_LOADED = "it is not loaded"
UNLOADED = "it was unloaded"


class Standing(msgspec.Struct, frozen=True):
    """Where everything stands."""

    survey: Survey
    live: Mapping[Key, Readiness]
    """What is routed to."""
    loading: Collection[str] = ()
    """Models that are being loaded."""
    ending: Collection[Key] = ()
    """What is not routed to any more, and not gone yet."""
    failures: Mapping[Key, str] = {}
    """Why the last load of a version failed; of version "", why the model as a whole cannot be told."""
    unloaded: Collection[str] = ()
    """Models that were unloaded on request."""


def known(standing: Standing) -> set[Key]:
    """Every version that lies there or of which anything runs."""
    offered = {(model, version) for model, versions in standing.survey.offers.items() for version in versions}
    return offered | set(standing.live) | set(standing.ending)


def index(standing: Standing) -> tuple[IndexEntry, ...]:
    """By name and number."""
    keys = known(standing)
    problems = {*standing.survey.problems} - {model for model, _ in keys}
    keys |= {(model, "") for model in problems}
    return tuple(_entry(standing, *key) for key in sorted(keys, key=lambda key: (key[0], len(key[1]), key[1])))


def unavailable(standing: Standing) -> dict[str, str]:
    """Why models that are known are not routed to, by their names."""
    served = {model for model, _ in standing.live}
    known = standing.survey.models | {model for model, _ in standing.ending}
    return {
        model: _why_not(standing, model, max(standing.survey.offers.get(model, ("",)), key=lambda v: (len(v), v)))
        for model in known - served
    }


def _entry(standing: Standing, model: str, version: str) -> IndexEntry:
    readiness = standing.live.get((model, version))
    failure = standing.failures.get((model, version)) or standing.survey.problems.get(model, "")
    if readiness is not None and readiness.ready:
        newer = failure and f"what lies there now cannot be served: {failure}"
        return IndexEntry(model, version, ModelState.READY, newer or readiness.reason)
    if readiness is not None:
        state = ModelState.LOADING if model in standing.loading else ModelState.UNAVAILABLE
        return IndexEntry(model, version, state, readiness.reason)
    if model in standing.loading and model not in standing.unloaded:
        return IndexEntry(model, version, ModelState.LOADING, "it is being loaded")
    if (model, version) in standing.ending:
        return IndexEntry(model, version, ModelState.UNLOADING, "it is being unloaded")
    return IndexEntry(model, version, ModelState.UNAVAILABLE, _why_not(standing, model, version))


def _why_not(standing: Standing, model: str, version: str) -> str:
    if model in standing.unloaded:
        return UNLOADED
    if model in standing.loading:
        return "it is being loaded"
    return standing.failures.get((model, version)) or standing.survey.problems.get(model) or NOT_LOADED
