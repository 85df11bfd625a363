"""The Resolver of one machine: a reference to a model is a path on it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tidegate.resources.actuator import Resolved
from tidegate.resources.document import Document
from tidegate.runtimes.trust import TrustPolicy
from tidegate.storage.cache import ArtifactCache


class ResolverSettings(msgspec.Struct, frozen=True, kw_only=True):
    base: Path | None = None
    """What a relative path in storageUri counts from; None refuses them."""
    trust: TrustPolicy = TrustPolicy()


class LocalResolver:
    """Implements the Resolver."""

    def __init__(self, cache: ArtifactCache, settings: ResolverSettings) -> None: ...

    async def resolve(self, namespace: str, template: Document) -> Resolved: ...

    async def keep(self, digests: frozenset[str]) -> None: ...
