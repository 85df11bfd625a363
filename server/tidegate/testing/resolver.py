"""A Resolver whose models are entries of a dict: the test says what a reference means, and how long it takes."""

from __future__ import annotations

import asyncio

from tidegate.control.reference import model_of
from tidegate.protocol.errors import ModelLoadFailed, TidegateError
from tidegate.resources.actuator import Progress, Resolved
from tidegate.resources.document import Document
from tidegate.runtimes.catalogue import runtimes


def digest(content: str) -> str:
    """A digest that stands for a content, readable in a failing test."""
    return f"sha256:{content.encode().hex():0<64.64}"


class FakeResolver:
    """Implements the Resolver, of a machine that has every storage."""

    def __init__(self, models: dict[str, str] | None = None, *, takes: float = 0.0) -> None:
        self.models: dict[str, str | TidegateError] = dict(models or {})
        """By reference: the content that is there, in a word, or why it cannot be had."""
        self.takes = takes
        """Seconds of the event loop's clock that it takes to find one."""
        self.calls: list[str] = []
        """References that were asked for, in their order."""
        self.kept: frozenset[str] = frozenset()
        """Digests of what is kept."""

    async def resolve(self, namespace: str, template: Document, progress: Progress | None = None) -> Resolved:
        model = model_of(template, runtimes())
        uri = str(model["storageUri"])
        self.calls.append(uri)
        for quarter in range(1, 5):
            await asyncio.sleep(self.takes / 4)
            if progress is not None:
                progress(quarter / 4)
        wanted = model.get("digest")
        if wanted in self.kept:
            return self._resolved(uri, wanted)
        found = self.models.get(uri)
        if found is None:
            raise ModelLoadFailed(f"'{uri}' is not there")
        if isinstance(found, TidegateError):
            raise found
        if wanted is not None and wanted != digest(found):
            raise ModelLoadFailed(f"'{uri}' has the digest {digest(found)}, expected {wanted}")
        self.kept |= {digest(found)}
        return self._resolved(uri, digest(found))

    async def keep(self, digests: frozenset[str]) -> None:
        await asyncio.sleep(0)
        self.kept = digests

    def _resolved(self, uri: str, digest: str) -> Resolved:
        return Resolved(uri, digest, runtime="fake/1", format="fake", at=1_800_000_000.0)
