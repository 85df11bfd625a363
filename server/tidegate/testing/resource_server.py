"""The real resource API over a store in memory, served over HTTP by a thread with an event loop of its own.

So that a test can use blocking clients and the command line against real sockets: ::

    with resource_server() as server:
        Resources(server.url).version()
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn

from tidegate.control.api.application import ResourceApi
from tidegate.resources.document import Document, key_of
from tidegate.resources.store import Severity, Store
from tidegate.testing.store import ManualClock, MemoryStore

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a test that waits is hanging; nothing is measured by it."""


class ResourceServer:
    """A running one. Its store is the test's to write to, as the control plane would."""

    def __init__(self, port: int, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self.store = store
        self._loop = loop

    def __repr__(self) -> str:
        return f"<ResourceServer {self.url}>"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def create(self, document: Document) -> Document:
        """Keep a resource, with its status if it has one."""
        stored = self.run(self.store.create(document))
        return self.set_status(document, document["status"]) if "status" in document else stored

    def set_status(self, document: Document, status: Document) -> Document:
        """Say how a resource is."""
        stored = self.run(self.store.get(key_of(document)))
        return self.run(self.store.replace_status({**stored, "status": status}))

    def tell(self, document: Document, reason: str, message: str, severity: Severity = Severity.NORMAL) -> None:
        """Tell people something about a resource."""
        uid = document["metadata"].get("uid", "")
        self.run(self.store.record(key_of(document), uid, severity, reason, message))


@contextmanager
def resource_server() -> Iterator[ResourceServer]:
    """Serve until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    api = ResourceApi(store, clock=clock)
    server = uvicorn.Server(uvicorn.Config(api, lifespan="off", log_config=None, access_log=False))
    ready = threading.Event()

    async def serve() -> None:
        await api.prepare()
        ready.set()  # connections wait in the listener's queue from here on
        await server.serve(sockets=[listener])

    def run() -> None:
        loop.run_until_complete(serve())

    thread = threading.Thread(target=run, name="resource server", daemon=True)
    thread.start()
    try:
        if not ready.wait(PATIENCE):
            raise TimeoutError("the resource server did not start")
        yield ResourceServer(listener.getsockname()[1], store, loop)
    finally:
        server.should_exit = True
        loop.call_soon_threadsafe(api.close)
        thread.join(PATIENCE)
        loop.close()
        listener.close()
