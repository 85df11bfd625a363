"""The resource API in the test's own loop, without a socket: over a store in memory, asked by httpx and watched. ::

async with Api.open() as api:
    reply = await api.ask("POST", SERVICES, service())
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Self
from urllib.parse import quote

import httpx
from starlette.types import Message, Scope

from tidegate.control.api.application import ResourceApi
from tidegate.control.api.audit import Record
from tidegate.control.api.content import PatchType
from tidegate.control.api.door import Door
from tidegate.control.api.logs import LogSource
from tidegate.control.api.own import ChannelTrial
from tidegate.control.api.settings import ApiSettings
from tidegate.control.store.settings import StoreSettings
from tidegate.identity.identity import LOCAL, Identity
from tidegate.resources.document import Document
from tidegate.testing.clock import run_virtual
from tidegate.testing.store import ManualClock, MemoryStore

P = ParamSpec("P")
SERVICES = "/apis/tidegate.dev/v1/namespaces/default/modelservices"
INFERENCE_SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE, JSON_PATCH, APPLY = PatchType.MERGE, PatchType.JSON, PatchType.APPLY
PATIENCE = 60.0


class Records:
    """An audit log that a test reads."""

    def __init__(self) -> None:
        self.written: list[Record] = []

    def write(self, record: Record) -> None:
        self.written.append(record)


class OpenDoor:
    """Everybody is one identity, which a test sets."""

    def __init__(self, identity: Identity = LOCAL) -> None:
        self.identity = identity

    async def identify(self, request: object) -> Identity:
        return self.identity


class Api:
    """``door`` lets everybody in as an admin, unless it is another one."""

    def __init__(self, store: MemoryStore, clock: ManualClock, app: ResourceApi, audit: Records) -> None:
        self.store = store
        self.clock = clock
        self.app = app
        self.audit = audit
        transport = httpx.ASGITransport(app=app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost:8082")

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        door: Door | None = None,
        settings: ApiSettings | None = None,
        logs: LogSource | None = None,
        trial: ChannelTrial | None = None,
        **store: Any,
    ) -> AsyncIterator[Self]:
        """``store`` are settings of the store."""
        clock, audit = ManualClock(), Records()
        bounds = StoreSettings(**store)
        memory = MemoryStore(bounds, clock=clock)
        app = ResourceApi(
            memory,
            settings,
            door=door or OpenDoor(),
            audit=audit,
            logs=logs,
            trial=trial,
            bounds=bounds,
            version="1.2.3",
            clock=clock,
        )
        await app.prepare()
        api = cls(memory, clock, app, audit)
        try:
            yield api
        finally:
            app.close()
            await memory.close()
            await api._client.aclose()

    async def ask(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", **headers: str
    ) -> httpx.Response:
        """One request; ``headers`` have underscores for hyphens. A body of bytes or text goes as it is, one that is an
        iterator of bytes without its length.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content: bytes | str | AsyncIterator[bytes] | None = None
        if body is not None:
            content = body if isinstance(body, bytes | str | AsyncIterator) else json.dumps(body)
            sent.setdefault("content-type", kind)
        return await self._client.request(method, path, content=content, headers=sent)

    async def made(self, document: Document, path: str = SERVICES) -> Document:
        """A resource that is created, as it is answered."""
        reply = await self.ask("POST", path, document)
        assert reply.status_code == 201, reply.text
        return _object(reply)

    async def got(self, path: str, **headers: str) -> Document:
        """What is read at a path."""
        reply = await self.ask("GET", path, **headers)
        assert reply.status_code == 200, reply.text
        return _object(reply)

    @asynccontextmanager
    async def watching(self, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Watched]:
        """A watch while it runs. It is given up at the end, as by a client that goes away."""
        watched = Watched()
        name, _, query = path.partition("?")
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": name,
            "raw_path": quote(name).encode(),
            "query_string": query.encode(),
            "headers": [(key.encode(), value.encode()) for key, value in (headers or {}).items()],
            "server": ("localhost", 8082),
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "state": {},
        }
        task = asyncio.create_task(self.app(scope, watched.receive, watched.send))
        task.add_done_callback(watched.ended)
        try:
            yield watched
        finally:
            task.cancel()
            await asyncio.wait({task})


class Watched:
    """What arrives of one watch."""

    def __init__(self) -> None:
        self.status = 0
        self.open = asyncio.Event()
        self.slow = asyncio.Event()
        """Cleared, nothing more is taken."""
        self.slow.set()
        self._events: asyncio.Queue[Document | None] = asyncio.Queue()
        self._buffer = b""

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self._buffer += message.get("body", b"")
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._events.put_nowait(json.loads(line))
        self.open.set()
        await self.slow.wait()

    def ended(self, task: asyncio.Task[None]) -> None:
        self.open.set()
        if self._buffer:
            self._events.put_nowait(json.loads(self._buffer))
        self._events.put_nowait(None)

    async def next(self) -> Document | None:
        """The next event, or the body of a refusal; None at the end."""
        return await asyncio.wait_for(self._events.get(), PATIENCE)

    async def events(self, count: int) -> list[tuple[str, str]]:
        """The next events: the type of each, and the name of what it is about."""
        found = []
        for _ in range(count):
            event = await self.next()
            assert event is not None, "the watch has ended"
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
        return found


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine, in a loop in which waiting takes no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(test(*args, **kwargs))

    return run


def _object(reply: httpx.Response) -> Document:
    document: Document = reply.json()
    return document


def model_service(name: str = "iris", *, metadata: Document | None = None, **predictor: object) -> Document:
    """A ModelService that admission takes."""
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"predictor": {"model": {"storageUri": "/models/iris", "modelFormat": {"name": "onnx"}}, **predictor}},
    }


def inference_service(name: str = "iris", **predictor: object) -> Document:
    """An InferenceService that admission takes, with an old key unless it is told another model."""
    told = predictor or {"sklearn": {"storageUri": "s3://bucket/iris"}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": told},
    }
