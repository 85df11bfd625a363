"""What the replicas of a service have written, as a line of JSON each: those that are kept, then those that come.

It is no resource of Kubernetes: there, logs belong to pods, and kubectl asks the pod's machine for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Protocol

import msgspec
from starlette.types import Send

from tidegate.control.api.watching import Watches
from tidegate.protocol.errors import InvalidRequest, NotFound, shown
from tidegate.replicas.log import Follower, LogLine
from tidegate.resources.actuator import RevisionId

MOST = 1_000_000
"""Of a number in the query."""


class LogSource(Protocol):
    """Who runs revisions on this machine."""

    def revisions(self, namespace: str, service: str) -> Sequence[RevisionId]:
        """Those of a service that run, by number."""
        ...

    def logs(self, revision: RevisionId) -> tuple[LogLine, ...]:
        """The last lines of a revision, by time."""
        ...

    def follow(self, revision: RevisionId) -> Follower | None:
        """The lines from now on, until the revision is gone; None where it does not run. To be closed."""
        ...


class LogQuery(msgspec.Struct, frozen=True):
    """Whose log is asked for: of all revisions that run, unless ``revision`` names one; the last ``tail`` lines."""

    namespace: str
    service: str
    revision: int | None = None
    tail: int | None = None
    follow: bool = False


class Written(msgspec.Struct, frozen=True):
    """A line of the answer. ``time`` is seconds since 1970."""

    time: float
    revision: int
    replica: int
    line: str


def find_log(path: str, query: Mapping[str, str]) -> LogQuery | None:
    """The log that a path names, None where it names none.

    Raises:
        InvalidRequest: a parameter is not what it should be.
    """
    match path.split("/"):
        case ["", "tidegate", "v1", "namespaces", namespace, "services", service, "logs"]:
            follow = query.get("follow", "")
            if follow not in ("", "true", "false"):
                raise InvalidRequest(f"the parameter 'follow' is '{shown(follow)}', expected true or false")
            return LogQuery(namespace, service, _count(query, "revision"), _count(query, "tail"), follow == "true")
    return None


def _count(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and int(text) <= MOST):
        raise InvalidRequest(f"the parameter '{name}' is '{shown(text)}', expected a whole number up to {MOST}")
    return int(text)


async def send_log(source: LogSource, watches: Watches, query: LogQuery, send: Send) -> None:
    """Answer with a log. Following it ends with the revisions, with the server, or with whoever reads it.

    Raises:
        NotFound: none of the revisions runs that it would be of. Nothing was sent.
    """
    revisions = [
        revision
        for revision in source.revisions(query.namespace, query.service)
        if query.revision in (None, revision.number)
    ]
    if not revisions:
        which = "no revision" if query.revision is None else f"no revision {query.revision}"
        raise NotFound(f"{which} of service '{shown(f'{query.namespace}/{query.service}')}' runs, and has a log")
    with suppress(TimeoutError), ExitStack() as followed:
        async with asyncio.timeout(None) as timeout:
            with watches.counted(timeout):
                # In one turn of the loop: no line is missed between those that are kept and those that come.
                kept = sorted((_written(r, line) for r in revisions for line in source.logs(r)), key=lambda w: w.time)
                followers = {r: follower for r in revisions if query.follow and (follower := source.follow(r))}
                for follower in followers.values():
                    followed.enter_context(closing(follower))
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                for line in kept[len(kept) - min(len(kept), MOST if query.tail is None else query.tail) :]:
                    await _send(send, line)
                async for line in _merged(followers):
                    await _send(send, line)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _merged(followers: Mapping[RevisionId, Follower]) -> AsyncIterator[Written]:
    """What any of them is told, as it comes."""
    waiting = {asyncio.ensure_future(anext(follower)): revision for revision, follower in followers.items()}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                revision = waiting.pop(task)
                with suppress(StopAsyncIteration):
                    line = task.result()
                    waiting[asyncio.ensure_future(anext(followers[revision]))] = revision
                    yield _written(revision, line)
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)


def _written(revision: RevisionId, line: LogLine) -> Written:
    return Written(line.at, revision.number, line.replica, line.text)


async def _send(send: Send, line: Written) -> None:
    await send({"type": "http.response.body", "body": msgspec.json.encode(line) + b"\n", "more_body": True})


_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-cache, private")]
