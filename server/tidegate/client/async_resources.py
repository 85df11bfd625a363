"""The client of the resource API for asyncio: what is served, how, and what has become of it, as resources."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self

from tidegate.client.address import parse_address
from tidegate.client.answers import ServerUnreachable
from tidegate.client.attempts import Attempts, Chance
from tidegate.client.calls import Transport
from tidegate.client.continuing import Known, pause
from tidegate.client.framing import LINES
from tidegate.client.http_calls import HttpAnswer, HttpMessage
from tidegate.client.http_transport import HttpTransport
from tidegate.client.resource_calls import (
    EVERYTHING,
    MANAGER,
    PAGE,
    Document,
    Listing,
    LogLine,
    ResourceCalls,
    ResourceChange,
    Selection,
    Tried,
    Written,
    metadata_of,
    version_of,
)
from tidegate.client.resource_type import EVENTS, ResourceType
from tidegate.client.settings import DEFAULT_SETTINGS, LONGEST, ClientSettings
from tidegate.protocol.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ResourceConflict,
    ResourceExpired,
    Unavailable,
    shown,
)

SCALER = "tidegate-scale"
"""Who owns a number of replicas that was set by ``scale``."""
DEFAULT_SERVER = "http://127.0.0.1:8082"


class AsyncResources:
    """The resources of one server, ``http://`` or ``https://``. Use it as a context manager, or close it.

    Any number of tasks may share it, all in one event loop. A call takes at most the settings' ``timeout``, a watch and
    a log that is followed as long as they are read. ``kind`` is a ResourceType, which ``discover`` finds; a namespace
    '' is for kinds that have none, and for all namespaces where several resources are meant.

    Every call raises TidegateError: the reason of the server's Status with its sentence (ResourceNotFound,
    ResourceExists, ResourceConflict, Rejected with all causes, Forbidden, …); ServerUnreachable if it did not answer;
    DeadlineExceeded when the time is over. ``transport`` moves the messages in place of HTTP, for tests.

    Raises:
        InvalidRequest: the URL is no address of HTTP.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        settings: ClientSettings = DEFAULT_SETTINGS,
        *,
        chance: Chance = random.random,
        transport: Transport[HttpMessage, HttpAnswer] | None = None,
    ) -> None:
        address = parse_address(url)
        if address.grpc:
            raise InvalidRequest(f"'{shown(url)}' is no address of the resource API, expected http:// or https://")
        self._settings = settings
        self._calls = ResourceCalls(settings.all_headers)
        self._attempts = Attempts(transport or HttpTransport(address, settings, LINES), address, settings, chance)

    def __repr__(self) -> str:
        return f"<AsyncResources {self._attempts!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._attempts.close()

    async def version(self) -> Document:
        """What the server is: ``gitVersion`` and more, as Kubernetes has it."""
        return await self._attempts.perform(self._calls.version(), None)

    async def discover(self) -> tuple[ResourceType, ...]:
        """The kinds of resources that the server has."""
        core = await self._attempts.perform(self._calls.discover("/api"), None)
        return core + await self._attempts.perform(self._calls.discover("/apis"), None)

    async def get(self, kind: ResourceType, name: str, namespace: str = "", *, table: bool = False) -> Document:
        """The resource as it is now; with ``table`` as the Table of its row, which people read."""
        return await self._attempts.perform(self._calls.get(kind, name, namespace, table), None)

    async def page(
        self,
        kind: ResourceType,
        selection: Selection = EVERYTHING,
        *,
        limit: int = PAGE,
        more: str = "",
        table: bool = False,
    ) -> Listing:
        """At most ``limit`` resources, in the order of namespace and name; ``more`` is from the page before."""
        return await self._attempts.perform(self._calls.list(kind, selection, limit, more, table), None)

    async def list(self, kind: ResourceType, selection: Selection = EVERYTHING, *, table: bool = False) -> Listing:
        """All resources that are selected, fetched in pages that show one instant."""
        page = await self.page(kind, selection, table=table)
        items = list(page.items)
        while page.more:
            try:
                page = await self.page(kind, selection, more=page.more, table=table)
            except ResourceExpired:  # the instant is gone: all at once, as Kubernetes' clients do then
                return await self.page(kind, selection, limit=0, table=table)
            items += page.items
        return Listing(items, page.version)

    async def watch(
        self,
        kind: ResourceType,
        selection: Selection = EVERYTHING,
        *,
        since: str | Listing = "",
        table: bool = False,
    ) -> AsyncGenerator[ResourceChange, None]:
        """What changes, for ever, without gaps: first what is there as ADDED, or with ``since`` what came after it.

        A watch that ends is begun again where it was; one that comes too late for that lists again, and tells the
        difference to what is known: to a list that was given as ``since``, and what was told. A server may be away for
        the settings' ``timeout``; then the error is raised.
        """
        known, failures, away = Known(since), 0, 0.0
        began = bool(since)
        while True:
            try:
                if not known.version:
                    listing = await self.list(kind, selection, table=table)
                    began, failures, away = True, 0, 0.0
                    for change in known.listed(listing):
                        yield change
                exchange = self._calls.watch(kind, selection, known.version, table)
                async with aclosing(self._attempts.stream(exchange, LONGEST)) as events:
                    async for event in events:
                        failures, away = 0, 0.0
                        for change in known.changed(event):
                            yield change
            except ResourceExpired:
                known.expired()
            except (ServerUnreachable, Unavailable):
                if not began or away >= self._settings.timeout:
                    raise
            failures += 1
            seconds = pause(self._settings.retries, failures)
            away += seconds
            await asyncio.sleep(seconds)

    async def together(
        self, watched: Sequence[tuple[ResourceType, Selection, Listing]], *, tick: float
    ) -> AsyncGenerator[Sequence[tuple[ResourceType, ResourceChange]], None]:
        """What changes of several kinds after their lists, as it comes; and nothing every ``tick`` seconds in which
        nothing does, for whoever looks at the clock. Each is a watch as above, and raises as that."""
        coming: asyncio.Queue[tuple[ResourceType, ResourceChange]] = asyncio.Queue(PAGE)

        async def read(kind: ResourceType, selection: Selection, since: Listing) -> None:
            async with aclosing(self.watch(kind, selection, since=since)) as changes:
                async for change in changes:
                    await coming.put((kind, change))

        tasks = [asyncio.create_task(read(*each), name=f"watch {each[0].kind}") for each in watched]
        try:
            while True:
                for ended in (task for task in tasks if task.done()):
                    ended.result()  # which raises: a watch has no other end
                found = []
                with suppress(TimeoutError):
                    async with asyncio.timeout(tick):
                        found.append(await coming.get())
                while not coming.empty():
                    found.append(coming.get_nowait())
                yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(
        self,
        kind: ResourceType,
        name: str,
        namespace: str,
        met: Callable[[Document | None], bool],
        *,
        timeout: float,
    ) -> Document | None:
        """Watch a resource until it is as ``met`` wants it, and return it; None stands for one that is not there.

        DeadlineExceeded when ``timeout`` seconds are over. With 0 it is looked at once.
        """
        selection = Selection(namespace, fields=f"metadata.name={name}")
        listing = await self.list(kind, selection)
        document = next(iter(listing.items), None)
        if met(document):
            return document
        try:
            async with asyncio.timeout(timeout), aclosing(self.watch(kind, selection, since=listing)) as changes:
                async for change in changes:
                    document = None if change.type == "DELETED" else change.document
                    if met(document):
                        return document
        except TimeoutError:
            pass
        raise DeadlineExceeded(f"{kind.kind} '{shown(name)}' is not as wanted within {timeout:g} s")

    async def create(
        self, kind: ResourceType, document: Document, namespace: str = "", *, dry_run: bool = False
    ) -> Written:
        """Make a new resource. With ``dry_run``, here and below, the server checks and answers, and writes nothing."""
        return await self._attempts.perform(self._calls.create(kind, document, namespace, dry_run), None)

    async def replace(
        self,
        kind: ResourceType,
        document: Document,
        namespace: str = "",
        *,
        manager: str = MANAGER,
        dry_run: bool = False,
    ) -> Written:
        """Put a document in the place of what is stored; a resourceVersion in it must still be the stored one's.

        ``manager``, here and below, is who then owns the fields that this changes.
        """
        return await self._attempts.perform(self._calls.replace(kind, document, namespace, manager, dry_run), None)

    async def patch(
        self,
        kind: ResourceType,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        subresource: str = "",
        manager: str = MANAGER,
        dry_run: bool = False,
    ) -> Written:
        """Change some of a resource: by a JSON merge patch, or a JSON patch where it is a list."""
        return await self._attempts.perform(
            self._calls.patch(kind, name, patch, namespace, subresource, manager, dry_run), None
        )

    async def apply(
        self,
        kind: ResourceType,
        document: Document,
        namespace: str = "",
        *,
        force: bool = False,
        dry_run: bool = False,
    ) -> Written:
        """Have the fields of a document as they are in it, and let others' be: server-side apply.

        FieldConflict names the fields that others own and want otherwise; ``force`` takes them over.
        """
        return await self._attempts.perform(self._calls.apply(kind, document, namespace, force, dry_run), None)

    async def delete(
        self,
        kind: ResourceType,
        name: str,
        namespace: str = "",
        *,
        policy: str = "Background",
        uid: str = "",
        version: str = "",
        dry_run: bool = False,
    ) -> Document:
        """Let a resource go, and with it what it owns (``policy`` Orphan lets that be). Finalizers may take a while.

        ``uid`` and ``version`` must be the stored one's, where they are given.
        """
        call = self._calls.delete(kind, name, namespace, policy, uid, version, dry_run)
        return await self._attempts.perform(call, None)

    async def scale(
        self, kind: ResourceType, name: str, replicas: int, namespace: str = "", *, current: int | None = None
    ) -> Document:
        """Set the number of replicas; returns the Scale. ResourceConflict where there are not ``current`` now."""
        patch: Document = {"spec": {"replicas": replicas}}
        if current is not None:
            scale = await self._attempts.perform(self._calls.scale(kind, name, namespace), None)
            held = (scale.get("spec") or {}).get("replicas")
            if held != current:
                raise ResourceConflict(f"{kind.kind} '{shown(name)}'", "replicas", str(held), str(current))
            patch["metadata"] = {"resourceVersion": version_of(scale)}
        return (await self.patch(kind, name, patch, namespace, subresource="scale", manager=SCALER)).document

    async def events(self, namespace: str = "", *, kind: str = "", name: str = "") -> Sequence[Document]:
        """What was told about resources of a namespace, or about one of them; the latest last."""
        about = {"involvedObject.kind": kind, "involvedObject.name": name}
        if name:  # a server finds them sooner by the whole address
            about["involvedObject.namespace"] = namespace
        fields = ",".join(f"{field}={value}" for field, value in about.items() if value)
        listing = await self.list(EVENTS, Selection(namespace, fields=fields))
        return sorted(listing.items, key=lambda event: str(event.get("lastTimestamp") or ""))

    async def follow_events(
        self, namespace: str = "", *, kind: str = "", name: str = "", interval: float = 1.0
    ) -> AsyncGenerator[Document, None]:
        """The same, and then what is told from now on, for ever. Events are no resources that could be watched, so
        they are asked for every ``interval`` seconds; one that was told again comes again."""
        seen: dict[str, object] = {}
        while True:
            for event in await self.events(namespace, kind=kind, name=name):
                key, state = str(metadata_of(event).get("name")), (event.get("count"), event.get("lastTimestamp"))
                if seen.get(key) != state:
                    seen[key] = state
                    yield event
            await asyncio.sleep(interval)

    async def occurrences(
        self, namespace: str = "", *, since: str = "", tail: int | None = None, limit: int | None = None
    ) -> Sequence[Document]:
        """What happened to resources of a namespace, as CloudEvents, the latest last: all that is kept, the last
        ``tail``, or what came after the ``sequence`` of one of them. At most ``limit``, which is 500 unless it is said.

        ResourceExpired where not all that came after ``since`` is kept.
        """
        call = self._calls.occurrences(namespace, since, tail, limit, False)
        return [event async for event in self._attempts.stream(call, None)]

    async def follow_occurrences(
        self, namespace: str = "", *, since: str = "", tail: int | None = None
    ) -> AsyncGenerator[Document, None]:
        """The same, and then what happens, for ever, each once. A stream that ends is begun again where it was; what
        the server has forgotten by then is left out. It may be away for the settings' ``timeout``; then the error is
        raised. With ``tail`` 0 it begins with what happens next.
        """
        failures, away = 0, 0.0
        while part := await self.occurrences(namespace, since=since, tail=tail):
            for event in part:
                since = str(event.get("sequence", ""))
                yield event
        tail = 0 if tail == 0 and not since else None
        while True:
            call = self._calls.occurrences(namespace, since, tail, None, True)
            try:
                async with aclosing(self._attempts.stream(call, LONGEST)) as events:
                    async for event in events:
                        failures, away = 0, 0.0
                        since = str(event.get("sequence", since))
                        yield event
            except ResourceExpired:
                since = ""  # all that is kept by now is later than what was read
            except (ServerUnreachable, Unavailable):
                if away >= self._settings.timeout:
                    raise
            failures += 1
            seconds = pause(self._settings.retries, failures)
            away += seconds
            await asyncio.sleep(seconds)

    async def try_channels(self, name: str, namespace: str, channel: int | None = None) -> Sequence[Tried]:
        """Send a test message to the channels of a service, or to the one at a position, and tell what came of each. It
        takes as long as the slowest channel, at most a minute."""
        return await self._attempts.perform(self._calls.try_channels(name, namespace, channel), 60.0)

    def logs(
        self,
        name: str,
        namespace: str,
        *,
        revision: int | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> AsyncGenerator[LogLine, None]:
        """What the replicas of a service have written: all that is kept, or the last ``tail`` lines; then more."""
        call = self._calls.logs(name, namespace, revision, tail, follow)
        return self._attempts.stream(call, LONGEST if follow else None)
