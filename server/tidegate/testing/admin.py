"""An admin port for a test with clients that block: in a thread of its own, over a store in SQLite. ::

    with Administered.start(tmp_path) as admin:
        httpx.get(f"{admin.url}/version")

Beside it runs a stand-in for the reconciler, which says of each service that it is ready.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tidegate.app.admin import AdminServer, AdminSettings, admin_server
from tidegate.control.api.own import ChannelTrial
from tidegate.control.store.sqlite import SqliteStore
from tidegate.gateway.http.settings import HttpSettings
from tidegate.identity.authenticator import Authenticator
from tidegate.protocol.errors import ResourceConflict, ResourceNotFound
from tidegate.resources.document import Document, GroupKind, key_of
from tidegate.resources.kinds import SERVICES
from tidegate.resources.store import ChangeType, Severity, Store

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds after which what never comes is a failure."""


class Administered:
    """A running admin port. ``store`` is used through ``call``, which runs a coroutine in the port's loop."""

    def __init__(self) -> None:
        self.store: SqliteStore
        self.server: AdminServer
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._begun = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        authenticator: Authenticator | None = None,
        ready: bool = True,
        trial: Callable[[Store], ChannelTrial] | None = None,
        port: int = 0,
    ) -> Self:
        """Open it on the loopback, on a free port where none is named; without ``ready`` nobody writes a status.
        ``trial`` makes who tries channels."""
        admin = cls()
        admin._thread = threading.Thread(
            target=lambda: asyncio.run(admin._run(directory, authenticator, ready, trial, port)), name="admin"
        )
        admin._thread.start()
        if not admin._begun.wait(PATIENCE) or admin._failure is not None:
            raise RuntimeError("the admin port did not start") from admin._failure
        return admin

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    @property
    def url(self) -> str:
        scheme = "https" if self.server.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.server.port}"

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def create(self, document: Document) -> Document:
        """Keep a resource, with its status if it has one, as the control plane would."""
        stored = self.call(self.store.create(document))
        return self.set_status(document, document["status"]) if "status" in document else stored

    def set_status(self, document: Document, status: Document) -> Document:
        """Say how a resource is."""
        stored = self.call(self.store.get(key_of(document)))
        return self.call(self.store.replace_status({**stored, "status": status}))

    def tell(self, document: Document, reason: str, message: str, severity: Severity = Severity.NORMAL) -> None:
        """Tell people something about a resource."""
        uid = document["metadata"].get("uid", "")
        self.call(self.store.record(key_of(document), uid, severity, reason, message))

    async def _run(
        self,
        directory: Path,
        authenticator: Authenticator | None,
        ready: bool,
        trial: Callable[[Store], ChannelTrial] | None,
        port: int,
    ) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        settings = AdminSettings(http=HttpSettings(port=port))
        try:
            async with await SqliteStore.open(directory) as self.store:
                self.server = admin_server(
                    self.store,
                    settings,
                    directory,
                    version="1.2.3",
                    authenticator=authenticator,
                    trial=trial(self.store) if trial else None,
                )
                await self.server.start()
                standing_in = [asyncio.create_task(stand_in(self.store, kind)) for kind in SERVICES if ready]
                self._begun.set()
                try:
                    await self._end.wait()
                finally:
                    for task in standing_in:
                        task.cancel()
                    await asyncio.gather(*standing_in, return_exceptions=True)
                    await self.server.stop(1.0)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._begun.set()


async def stand_in(store: Store, kind: GroupKind, describe: Callable[[Document], Document] | None = None) -> None:
    """Say of each service of a kind that it is ready, for as long as this runs."""
    describe = describe or ready_status
    async with store.watch(kind) as changes:
        async for change in changes:
            document = change.document
            if change.type in (ChangeType.DELETED, ChangeType.BOOKMARK) or "deletionTimestamp" in document["metadata"]:
                continue
            if document.get("status", {}).get("observedGeneration") == document["metadata"]["generation"]:
                continue
            try:
                await store.replace_status({**document, "status": describe(document)})
            except (ResourceConflict, ResourceNotFound):
                continue  # its next change comes
            uid = document["metadata"]["uid"]
            await store.record(key_of(document), uid, Severity.NORMAL, "Ready", "it answers")


def ready_status(document: Document) -> Document:
    """The status of a service that answers, in KServe's form."""
    name, generation = document["metadata"]["name"], document["metadata"]["generation"]
    revision = f"{name}-{generation:05}"
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "observedGeneration": generation,
        "url": f"http://127.0.0.1:8080/v2/models/{name}",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time}],
        "components": {
            "predictor": {
                "latestReadyRevision": revision,
                "latestRolledoutRevision": revision,
                "traffic": [{"latestRevision": True, "percent": 100, "revisionName": revision}],
            }
        },
    }
