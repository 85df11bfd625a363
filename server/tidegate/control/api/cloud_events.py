"""The log of occurrences as an answer: a CloudEvent in JSON on each line, those that are kept, then those that come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, suppress

import msgspec
from starlette.types import Send

from tidegate.control.api.status import failure
from tidegate.control.api.watching import Watches
from tidegate.control.cloud_events import sequenced
from tidegate.protocol.errors import InvalidRequest, ShuttingDown, TidegateError, shown
from tidegate.resources.store import Store, Telling

MOST = 10_000
"""Of ``limit``."""
PART = 500
"""Occurrences that are read at a time, and so the most of ``tail``."""


class OccurrenceQuery(msgspec.Struct, frozen=True):
    """Which: of a namespace, or of all with None; after a position, or the last ``tail``, or all that are kept."""

    namespace: str | None
    since: int = 0
    tail: int | None = None
    limit: int = PART
    follow: bool = False


def find_occurrences(path: str, query: Mapping[str, str], last: str = "") -> OccurrenceQuery | None:
    """What a path asks for, None where that is something else. ``last`` is the header Last-Event-ID.

    Raises:
        InvalidRequest: a parameter is not what it should be.
    """
    match path.split("/"):
        case ["", "tidegate", "v1", "cloudevents"]:
            namespace = None
        case ["", "tidegate", "v1", "namespaces", str(namespace), "cloudevents"]:
            pass
        case _:
            return None
    follow = query.get("follow", "")
    if follow not in ("", "true", "false"):
        raise InvalidRequest(f"the parameter 'follow' is '{shown(follow)}', expected true or false")
    since = query.get("since", "") or last
    if since and "tail" in query:
        raise InvalidRequest("'since' and 'tail' are given, expected one of them")
    position = _count("since", since, 10**18) if since else 0
    tail = _count("tail", query["tail"], PART) if "tail" in query else None
    limit = _count("limit", query["limit"], MOST) if query.get("limit") else PART
    if limit == 0:
        raise InvalidRequest(f"the parameter 'limit' is '0', expected a whole number from 1 to {MOST}")
    return OccurrenceQuery(namespace, position, tail, limit, follow == "true")


async def send_occurrences(store: Store, watches: Watches, query: OccurrenceQuery, send: Send) -> None:
    """Answer with them. Whoever follows so slowly that the log forgets what he has not read gets a Status at the end.

    Raises:
        TidegateError: before anything was sent.
    """
    begun = False
    try:
        with suppress(TimeoutError), ExitStack() as counted:
            async with asyncio.timeout(None) as timeout:
                if query.follow:
                    counted.enter_context(watches.counted(timeout))
                telling = await _first(store, query)
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                begun = True
                await _send(send, telling)
                left = 0 if query.tail is not None or query.follow else query.limit - len(telling.items)
                while left > 0 and telling.items:
                    part = min(PART, left)
                    telling = await store.occurrences(since=telling.position, limit=part, namespace=query.namespace)
                    left -= len(telling.items)
                    await _send(send, telling)
                while query.follow:
                    await store.told_after(telling.position)
                    telling = await store.occurrences(since=telling.position, limit=PART, namespace=query.namespace)
                    if telling.items:
                        await _send(send, telling)
    except ShuttingDown:
        if not begun:
            raise
    except TidegateError as error:
        if not begun:
            raise
        line = msgspec.json.encode(failure(error)) + b"\n"
        await send({"type": "http.response.body", "body": line, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first(store: Store, query: OccurrenceQuery) -> Telling:
    if query.tail is None:
        limit = PART if query.follow else min(PART, query.limit)
        return await store.occurrences(since=query.since, limit=limit, namespace=query.namespace)
    telling = await store.occurrences(since=None, limit=max(query.tail, 1), namespace=query.namespace)
    return telling if query.tail else Telling([], telling.position)


async def _send(send: Send, telling: Telling) -> None:
    lines = b"".join(msgspec.json.encode(sequenced(told)) + b"\n" for told in telling.items)
    await send({"type": "http.response.body", "body": lines, "more_body": True})


def _count(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= most):
        raise InvalidRequest(f"the parameter '{name}' is '{shown(text)}', expected a whole number up to {most}")
    return int(text)


_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-cache, private")]
