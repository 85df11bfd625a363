"""Who tries out a revision of this machine before it answers anybody, and asks a user's own checks about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx

from tidegate.analysis.golden import Stored, difference, parse
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.app.golden import GoldenSettings, Unreadable, documents
from tidegate.app.own_checks import Inquiry, Sign, ask
from tidegate.control.location import path_of
from tidegate.gateway.backend import Backend
from tidegate.gateway.fault import is_refusal
from tidegate.gateway.owned import owned
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import DeadlineExceeded, InternalError, InvalidRequest, ModelLoadFailed, TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.protocol.validation import check_request
from tidegate.resources.actuator import RevisionId, Workload
from tidegate.resources.rollout import Check, Golden
from tidegate.runtimes.trust import TrustPolicy

log = logging.getLogger(__name__)

GOLDEN = "golden"

DEFAULT_GOLDEN = GoldenSettings()


class LocalExaminer:
    """Implements the Examiner.

    ``backend`` and ``workload`` are the actuator's; ``trust`` is the resolver's; ``outgoing`` says where checks may
    lie. Without ``sign`` a check with a secret is not asked; ``transport`` is for tests.
    """

    def __init__(
        self,
        backend: Callable[[RevisionId], Backend | None],
        workload: Callable[[RevisionId], Workload | None],
        trust: TrustPolicy,
        outgoing: OutgoingSettings,
        settings: GoldenSettings = DEFAULT_GOLDEN,
        *,
        sign: Sign | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._backend = backend
        self._workload = workload
        self._trust = trust
        self._settings = settings
        self._ask = partial(ask, settings=outgoing, sign=sign, transport=transport)

    async def ask(self, check: Check, stable: RevisionId, canary: RevisionId, phase: str) -> Verdict:
        """See Examiner."""
        return await self._ask(Inquiry(check, stable, canary, phase))

    async def golden(self, revision: RevisionId, golden: Golden) -> Verdict:
        """See Examiner. The requests are sent one after the other, up to the first that is not answered as stored."""
        backend, workload = self._backend(revision), self._workload(revision)
        signature = None if backend is None else backend.metadata
        if backend is None or workload is None or signature is None:
            return _no_data(f"{revision} does not answer")
        if signature.decoupled or signature.stateful:
            return _no_data("a model whose answers are streams, or follow from what came before, has no stored ones")
        try:
            stored = await asyncio.to_thread(self._read, golden.uri, workload, signature)
        except Unreadable as error:
            return _no_data(str(error))
        except InvalidRequest as error:
            return _no_data(error.message)
        tolerance = (0.0, 0.0) if golden.tolerance is None else (golden.tolerance.rtol, golden.tolerance.atol)
        for count, each in enumerate(stored, 1):
            verdict = await self._held_against(backend, signature, each, tolerance, count)
            if verdict is not None:
                return verdict
        told = "1 stored request is" if len(stored) == 1 else f"all {len(stored)} stored requests are"
        return Verdict(GOLDEN, Outcome.PASS, f"golden: {told} answered as expected", {"requests": len(stored)})

    def _read(self, uri: str, workload: Workload, signature: ModelMetadata) -> list[Stored]:
        found = documents(uri, _path(workload), self._trust, self._settings)
        return [parse(text, place, signature) for place, text in found]

    async def _held_against(
        self, backend: Backend, signature: ModelMetadata, stored: Stored, tolerance: tuple[float, float], count: int
    ) -> Verdict | None:
        """The verdict that one request ends with, None where it is answered as stored."""
        try:
            check_request(stored.request, signature)
            deadline = asyncio.get_running_loop().time() + self._settings.timeout
            got = owned(await backend.infer(stored.request, deadline))
            problem = await asyncio.to_thread(difference, stored, got, *tolerance)
        except TidegateError as error:
            if is_refusal(error) and not isinstance(error, DeadlineExceeded):
                return _no_data(error.message)
            problem = error.message
        except Exception:
            log.exception("unexpected error while a stored request was answered")
            problem = InternalError().message
        return _failed(stored, problem, count) if problem else None


def _path(workload: Workload) -> Path | None:
    """Where a revision's model came from; None where that is no path of this machine."""
    try:
        return path_of(workload.resolved.uri, None)
    except ModelLoadFailed:
        return None


def _failed(stored: Stored, problem: str, count: int) -> Verdict:
    return Verdict(GOLDEN, Outcome.FAIL, f"golden {stored.name}: {problem}", {"requests": count})


def _no_data(problem: str) -> Verdict:
    return Verdict(GOLDEN, Outcome.NO_DATA, f"golden: {problem}")
