"""The ASGI application: from a request to whose it is, what it asks for, and the answer; every error is a Status."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tidegate.control.api.audit import Audit, NoAudit, Record
from tidegate.control.api.content import json_response, media_type, read_body, wants_table, warning_headers
from tidegate.control.api.door import Door, LocalDoor
from tidegate.control.api.logs import LogSource
from tidegate.control.api.namespaces import Namespaces
from tidegate.control.api.own import ChannelTrial, OwnPaths
from tidegate.control.api.pages import Pages
from tidegate.control.api.parameters import DRY, ListOptions, list_options
from tidegate.control.api.reading import Reader, query_of
from tidegate.control.api.reviews import ACCESS, SELF, may_i, who_am_i
from tidegate.control.api.rights import check_right
from tidegate.control.api.served import EVENT
from tidegate.control.api.settings import ApiSettings
from tidegate.control.api.status import failure, reason_of
from tidegate.control.api.target import Target, find_target, find_verb, methods_of
from tidegate.control.api.verbs import WriteVerbs, options_of
from tidegate.control.api.watching import Watches, stream
from tidegate.control.api.writing import Outcome, Writer
from tidegate.control.store.settings import StoreSettings
from tidegate.identity.identity import Identity
from tidegate.protocol.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    RequestCancelled,
    TidegateError,
    Unauthenticated,
    Unprocessable,
)
from tidegate.resources.document import Document
from tidegate.resources.selector import parse_selector
from tidegate.resources.store import Store

log = logging.getLogger(__name__)
_READS = ("get", "list")


class ResourceApi:
    """One API over one store. ``clock`` gives seconds since 1970, ``version`` is tidegate's own.
    ``bounds`` are the store's.

    ``prepare`` before the first request; ``close`` ends the watches, so that a listener which waits for its requests
    can end.
    """

    def __init__(
        self,
        store: Store,
        settings: ApiSettings | None = None,
        *,
        door: Door | None = None,
        audit: Audit | None = None,
        logs: LogSource | None = None,
        trial: ChannelTrial | None = None,
        bounds: StoreSettings | None = None,
        version: str = "0",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or ApiSettings()
        self._store = store
        self._door = door or LocalDoor()
        self._audit = audit or NoAudit()
        self._clock = clock
        self._namespaces = Namespaces(store)
        self._pages = Pages(version, self.settings.min_compress_bytes)
        self._reader = Reader(store, clock)
        self.writer = Writer(store, self._namespaces, self.settings, clock)
        """Who writes for it, for those in this process who write as its callers do."""
        self._writes = WriteVerbs(self.writer, self.settings, bounds or StoreSettings())
        self._watches = Watches(self.settings.max_watches)
        self._own = OwnPaths(store, self._watches, self._audit, clock, logs, trial)

    async def prepare(self) -> None:
        """See that what always exists does."""
        await self._namespaces.prepare()

    def close(self) -> None:
        """End all watches; there are none from now on."""
        self._watches.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answered = _Answered(send)
        try:
            response = await self._answer(request, answered)
        except TidegateError as error:
            response = self.refused(error)
        except Exception as error:
            log.error("unexpected error in the resource API", exc_info=error)
            response = self.refused(InternalError())
        if response is not None and not answered.begun:
            await response(scope, receive, answered)

    def refused(self, error: TidegateError, target: Target | None = None) -> Response:
        """The answer to an error."""
        details = target.details(of_kind=isinstance(error, Unprocessable)) if target else None
        document = failure(error, details)
        response = json_response(document, "", self.settings.min_compress_bytes, status=error.http_status)
        if isinstance(error, Unauthenticated):
            response.headers["www-authenticate"] = "Bearer"
        if isinstance(error, MethodNotAllowed):
            response.headers["allow"] = ", ".join(methods_of(target)) if target else "GET"
        if error.retry_after is not None:
            response.headers["retry-after"] = str(document["details"]["retryAfterSeconds"])
        return response

    async def _answer(self, request: Request, send: Send) -> Response | None:
        identity = await self._door.identify(request)
        page = self._pages.answer(request)
        if page is not None:
            return page
        path = request.scope["path"]
        if path in (ACCESS, SELF):
            return await self._review(request, identity, path)
        if await self._own.answer(request, identity, send):
            return None
        target = find_target(path)
        try:
            verb = find_verb(target, request.method)
            if verb in _READS:
                check_right(identity, verb, target)
                return await self._read(request, target, verb, send)
        except TidegateError as error:
            return self.refused(error, target)
        return await self._write(request, identity, target, verb)

    async def _review(self, request: Request, identity: Identity, path: str) -> Response:
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.method} is not allowed for '{path}', expected POST")
        body = await read_body(request, self.settings.max_body_bytes)
        kind = media_type(request.headers.get("content-type", ""))
        document = may_i(identity, body, kind) if path == ACCESS else who_am_i(identity)
        return self._json(request, document, 201)

    async def _read(self, request: Request, target: Target, verb: str, send: Send) -> Response | None:
        as_table = wants_table(request.headers.get("accept", ""))
        texts = dict(request.query_params)
        if target.served.group_kind == EVENT:
            return self._json(request, await self._events(target, verb, texts, as_table))
        options = list_options(texts)
        if options.watch:
            await self._watch(target, options, as_table, send)
            return None
        read = self._reader.get if verb == "get" else self._reader.list
        return self._json(request, await read(target, options, as_table=as_table))

    async def _events(self, target: Target, verb: str, texts: dict[str, str], as_table: bool) -> Document:
        if verb == "get":
            return await self._reader.event(target)
        fields = texts.pop("fieldSelector", "")
        options = list_options(texts)
        if options.watch:
            raise MethodNotAllowed("events cannot be watched, they can be listed")
        return await self._reader.events(target, fields, options, as_table=as_table)

    async def _watch(self, target: Target, options: ListOptions, as_table: bool, send: Send) -> None:
        query = query_of(target, options)
        if target.name:
            if options.selector.fields or options.selector.labels:
                raise InvalidRequest("a selector is no part of a watch of one resource: watch the collection")
            query = query_of(target, ListOptions(parse_selector(fields=f"metadata.name={target.name}")))
        await stream(self._store, self._watches, target.served, query, options, as_table, self._clock, send)

    async def _write(self, request: Request, identity: Identity, target: Target, verb: str) -> Response:
        outcome: Outcome | None = None
        refusal: TidegateError | None = None
        request.state.dry_run = request.query_params.get("dryRun") == DRY  # as a body may say, too
        try:
            check_right(identity, verb, target)
            outcome = await self._writes.table[verb](request, target)
        except TidegateError as error:
            refusal = error
        except Exception as error:
            log.error("unexpected error in the resource API", exc_info=error)
            refusal = InternalError()
        except asyncio.CancelledError:  # the store does not break off what it has begun, so that it may have been made
            gone = RequestCancelled("the caller went away")
            self._record(request, identity, _named(request, target, verb), verb, None, gone)
            raise
        target = _named(request, target, verb)
        self._record(request, identity, target, verb, outcome, refusal)
        if outcome is None:
            return self.refused(refusal or InternalError(), target)
        response = self._json(request, outcome.document, outcome.code)
        response.raw_headers += warning_headers(outcome.warnings)
        return response

    def _record(
        self,
        request: Request,
        identity: Identity,
        target: Target,
        verb: str,
        outcome: Outcome | None,
        refusal: TidegateError | None,
    ) -> None:
        if request.state.dry_run:
            return
        for part in (outcome.each if outcome else ()) or (outcome,):
            name = target.name
            if part is not None and not name and "metadata" in part.document:
                name = part.document["metadata"].get("name", "")  # it was made, or is one of several
            self._audit.write(
                Record(
                    time=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
                    identity=identity.key,
                    address=request.client.host if request.client else "",
                    verb=verb,
                    group=target.served.group,
                    resource=target.resource,
                    namespace=target.namespace,
                    name=name,
                    manager=_manager(request),
                    before=part.before if part else "",
                    after=part.after if part else "",
                    code=part.code if part else (refusal or InternalError()).http_status,
                    reason=reason_of(refusal) if refusal else "",
                )
            )

    def _json(self, request: Request, document: Document, status: int = 200) -> Response:
        encoding = request.headers.get("accept-encoding", "")
        return json_response(document, encoding, self.settings.min_compress_bytes, status=status)


class _Answered:
    """A send that remembers whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


def _named(request: Request, target: Target, verb: str) -> Target:
    """The target; of a creation with the name that its body has, as far as one was read."""
    name = getattr(request.state, "name", None) if verb == "create" else None
    return msgspec.structs.replace(target, name=name) if isinstance(name, str) else target


def _manager(request: Request) -> str:
    try:
        return options_of(request).manager
    except TidegateError:
        return ""
