"""The Resolver of one machine: a reference to a model is a path on it, and what it means is a copy by its content.

What was resolved once stays: its copy is held until ``keep`` lets go of it, whatever becomes of the path. A model's own
``model.yaml`` is part of what it is, for a revision that is made of other settings answers otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from tidegate.control.formats import check_reader, with_version
from tidegate.control.location import path_of
from tidegate.control.reference import model_of
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.resources.actuator import Progress, Resolved
from tidegate.resources.document import Document
from tidegate.resources.parts import part
from tidegate.runtimes.catalogue import find, runtimes
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.trust import TrustPolicy, require_trust
from tidegate.storage.cache import ArtifactCache, Held
from tidegate.storage.copied import copied_source
from tidegate.storage.done import Done
from tidegate.storage.repository import ModelSource, scan

log = logging.getLogger(__name__)

_PREFIX = "sha256:"
_PREDICTOR = "spec.predictor"


class ResolverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where models may come from."""

    base: Path | None = None
    """What a relative path counts from; None refuses such paths. A directory that the server was given, never the one
    that it happens to run in."""
    trust: TrustPolicy = TrustPolicy()
    """Whose formats that can execute code are read. Nobody's: who may apply a manifest need not be one who may run
    programs here. Paths that were typed on the command line belong into it."""


class LocalResolver:
    """Implements the Resolver. ``clock`` tells seconds since 1970."""

    def __init__(
        self, cache: ArtifactCache, settings: ResolverSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._wanted: frozenset[str] = frozenset()
        self._lost: set[str] = set()

    def __repr__(self) -> str:
        return f"<LocalResolver keeps {len(self._held)} models>"

    async def resolve(self, namespace: str, template: Document, progress: Progress | None = None) -> Resolved:
        """See Resolver. Whoever breaks this off leaves the thread at work, and what it finds is kept all the same."""
        model = model_of(template, runtimes())
        heard = _Heard(progress)
        resolving = asyncio.ensure_future(asyncio.to_thread(self._resolve, model, Done(heard.tell)))
        resolving.add_done_callback(self._found)
        try:
            return (await asyncio.shield(resolving))[1]
        finally:
            heard.end()

    async def keep(self, digests: frozenset[str]) -> None:
        """See Resolver. What is not there any more cannot be kept; whoever wants to run it is told."""
        wanted = self._wanted = frozenset(digest.removeprefix(_PREFIX) for digest in digests if digest)
        for digest in self._held.keys() - wanted:
            self._cache.release(self._held.pop(digest))
        missing = wanted - self._held.keys()
        if not missing:
            return
        pinned = await asyncio.to_thread(lambda: {digest: self._cache.pin(digest) for digest in missing})
        for digest, held in pinned.items():
            if held is None:
                if digest not in self._lost:
                    log.warning("the model content sha256:%s cannot be kept: it is not in the model cache", digest)
            elif digest in self._wanted:  # nobody has asked for others meanwhile
                self._keep(held)
            else:
                self._cache.release(held)
        self._lost = {digest for digest, held in pinned.items() if held is None}

    def _found(self, resolving: asyncio.Future[tuple[Held, Resolved]]) -> None:
        if not resolving.cancelled() and resolving.exception() is None:
            self._keep(resolving.result()[0])

    def _keep(self, held: Held) -> None:
        if held.digest in self._held:
            self._cache.release(held)
        else:
            self._held[held.digest] = held

    def _resolve(self, model: Document, done: Done) -> tuple[Held, Resolved]:
        wanted = str(model.get("digest") or "").removeprefix(_PREFIX)
        path = path_of(str(model.get("storageUri") or ""), self._settings.base)
        held = self._cache.hold_digest(wanted, done) if wanted else None
        if held is None:
            return self._from_source(model, path, wanted, done)
        return held, self._resolved(model, held, path, "")

    def _from_source(self, model: Document, path: Path, wanted: str, done: Done) -> tuple[Held, Resolved]:
        path = Path(os.path.realpath(path))  # from here on it leads where it leads: no link is looked up a second time
        source = only_model(path, scan(path))
        self._check(model, source, source.path)  # before gigabytes are copied for nothing
        trusted = self._settings.trust.trusts(source.path)
        held = self._cache.hold(source.path, source.beside, trusted, source.config_path, done)
        if wanted and held.digest != wanted:
            self._cache.release(held)
            raise ModelLoadFailed(
                f"{_PREDICTOR}.model.digest is '{_PREFIX}{wanted}', but the content of '{shown(path, 300)}' is "
                f"'{_PREFIX}{held.digest}'"
            )
        return held, self._resolved(model, held, source.path, version_in(path, source))

    def _check(self, model: Document, source: ModelSource, place: Path) -> None:
        """Whether the manifest means such a model, and whether it may be read: the trust is in where it comes from."""
        form = str(part(model, "modelFormat").get("name", ""))
        check_reader(form, str(model.get("runtime") or ""), source.runtime, source.format, runtimes())
        described = next(each for each in find(source.runtime).formats if each.name == source.format)
        trusted = self._settings.trust.trusts(place)
        require_trust(Artifact(source.name, source.version, source.path, trusted=trusted), described)

    def _resolved(self, model: Document, held: Held, place: Path, version: str) -> Resolved:
        """What a copy is. Where it came from something else may lie by now.

        Raises:
            ModelLoadFailed: it is not what the manifest means; it is let go of.
        """
        try:
            source = copied_source(held)
            self._check(model, source, place)
        except BaseException:
            self._cache.release(held)
            raise
        return Resolved(
            uri=str(model["storageUri"]),
            digest=f"{_PREFIX}{held.digest}",
            version=version,
            runtime=with_version(source.runtime),
            format=source.format,
            at=self._clock(),
        )


class _Heard:
    """Who is told of progress that a thread makes: in his event loop, and no more once he does not wait for it."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()

    def tell(self, share: float) -> None:
        """Called in the thread."""
        if self._progress is not None:
            with suppress(RuntimeError):  # the loop is closed, and nobody is there who could hear it
                self._loop.call_soon_threadsafe(self._told, share)

    def end(self) -> None:
        self._progress = None

    def _told(self, share: float) -> None:
        if self._progress is not None:
            self._progress(share)


def only_model(path: Path, sources: tuple[ModelSource, ...]) -> ModelSource:
    """The model at a path, in the highest of the versions that its owner has chosen.

    Raises:
        ModelLoadFailed: there are several.
    """
    names = sorted({source.name for source in sources})
    if len(names) > 1:
        told = ", ".join(f"'{name}'" for name in names[:8]) + (", …" if len(names) > 8 else "")
        raise ModelLoadFailed(
            f"'{shown(path, 300)}' holds {len(names)} models, {told}; expected the path of one of them"
        )
    return max(sources, key=lambda source: int(source.version))


def version_in(path: Path, source: ModelSource) -> str:
    """The version folder that a model lies in, below the path that was named; "" where it lies in none."""
    below = source.path.relative_to(path).parts
    folders = below if source.path.is_dir() else below[:-1]
    return source.version if source.version in folders else ""
