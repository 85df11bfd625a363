"""What lies below ``/tidegate/v1`` at the admin port, and is no resource of Kubernetes: logs, occurrences, trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.types import Send

from tidegate.control.api.audit import Audit, Record
from tidegate.control.api.cloud_events import find_occurrences, send_occurrences
from tidegate.control.api.content import json_response
from tidegate.control.api.logs import LogSource, find_log, send_log
from tidegate.control.api.rights import check_role
from tidegate.control.api.status import reason_of
from tidegate.control.api.watching import Watches
from tidegate.control.notifications.trial import Tried
from tidegate.identity.identity import Identity, Role
from tidegate.protocol.errors import InvalidRequest, MethodNotAllowed, TidegateError, shown
from tidegate.resources.store import Store

PREFIX = "/tidegate/v1/"


class ChannelTrial(Protocol):
    """Who can try the channels of a service (``control.notifications.trial``)."""

    async def try_channels(self, namespace: str, service: str, channel: int | None = None) -> list[Tried]: ...


class TrialQuery(msgspec.Struct, frozen=True):
    """All channels of a service, or the one at a position."""

    namespace: str
    service: str
    channel: int | None = None


def find_trial(path: str, query: Mapping[str, str]) -> TrialQuery | None:
    """The trial that a path asks for, None where it asks for none.

    Raises:
        InvalidRequest: a parameter is not what it should be.
    """
    match path.split("/"):
        case ["", "tidegate", "v1", "namespaces", namespace, "services", service, "notify", "test"]:
            text = query.get("channel", "")
            if text and not (text.isascii() and text.isdigit() and len(text) <= 4):
                raise InvalidRequest(f"the parameter 'channel' is '{shown(text)}', expected a whole number from 0")
            return TrialQuery(namespace, service, int(text) if text else None)
    return None


class OwnPaths:
    """What a listener has beside Kubernetes' paths; ``logs`` and ``trial`` where there is somebody for them."""

    def __init__(
        self,
        store: Store,
        watches: Watches,
        audit: Audit,
        clock: Callable[[], float],
        logs: LogSource | None,
        trial: ChannelTrial | None,
    ) -> None:
        self._store = store
        self._watches = watches
        self._audit = audit
        self._clock = clock
        self._logs = logs
        self._trial = trial

    async def answer(self, request: Request, identity: Identity, send: Send) -> bool:
        """Answer a request for one of them, and tell whether it was one.

        Raises:
            TidegateError: it cannot be answered; nothing was sent.
        """
        path, query = request.scope["path"], request.query_params
        if not path.startswith(PREFIX):
            return False
        if self._logs is not None and (log := find_log(path, query)) is not None:
            check_role(identity, Role.VIEW, request.method, "logs")
            await send_log(self._logs, self._watches, log, send)
            return True
        if (wanted := find_occurrences(path, query, request.headers.get("last-event-id", ""))) is not None:
            _check_method(request, "GET")
            check_role(identity, Role.VIEW, "list", "cloudevents")
            await send_occurrences(self._store, self._watches, wanted, send)
            return True
        if self._trial is not None and (trial := find_trial(path, query)) is not None:
            _check_method(request, "POST")
            tried = await self._try(self._trial, request, identity, trial)
            response = json_response({"channels": msgspec.to_builtins(tried)}, "", 1)
            await response(request.scope, request.receive, send)
            return True
        return False

    async def _try(
        self, trial: ChannelTrial, request: Request, identity: Identity, query: TrialQuery
    ) -> Sequence[Tried]:
        try:
            check_role(identity, Role.EDIT, "create", "modelservices/notify")
            tried = await trial.try_channels(query.namespace, query.service, query.channel)
        except TidegateError as error:
            self._record(request, identity, query, error.http_status, reason_of(error))
            raise
        self._record(request, identity, query, 200, "")
        return tried

    def _record(self, request: Request, identity: Identity, query: TrialQuery, code: int, reason: str) -> None:
        self._audit.write(
            Record(
                time=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
                identity=identity.key,
                address=request.client.host if request.client else "",
                verb="create",
                group="tidegate.dev",
                resource="modelservices/notify",
                namespace=query.namespace,
                name=query.service,
                code=code,
                reason=reason,
            )
        )


def _check_method(request: Request, method: str) -> None:
    if request.method != method:
        raise MethodNotAllowed(
            f"{shown(request.method)} is not allowed for '{request.scope['path']}', expected {method}"
        )
