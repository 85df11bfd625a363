"""The client of the resource API against the real one, by both faces; and watches that are cut, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.client import (
    AsyncResources,
    ConnectionLost,
    Rejected,
    ResourceChange,
    Resources,
    ResourceType,
    Selection,
    ServerUnreachable,
)
from tidegate.client.http_calls import HttpAnswer, HttpMessage
from tidegate.client.resource_calls import Listing
from tidegate.control.notifications.trial import Tried
from tidegate.protocol.errors import (
    DeadlineExceeded,
    FieldConflict,
    Forbidden,
    InvalidRequest,
    ResourceConflict,
    ResourceExists,
    ResourceNotFound,
)
from tidegate.resources.document import Document
from tidegate.testing.admin import Administered
from tidegate.testing.clock import run_virtual
from tidegate.testing.stores import key, occurrence

SERVICES = ResourceType("tidegate.dev", "v1", "modelservices", "ModelService")
REVISIONS = ResourceType("tidegate.dev", "v1", "servingrevisions", "ServingRevision")
REVISION: dict[str, Any] = {
    "apiVersion": "tidegate.dev/v1",
    "kind": "ServingRevision",
    "metadata": {"name": "iris-00001", "namespace": "default"},
    "spec": {},
}
Spec = dict[str, Any]


def service(name: str = "iris", **predictor: Any) -> Document:
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "models:/iris"}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": name},
        "spec": {"predictor": {"model": model, **predictor}},
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Administered]:
    with Administered.start(tmp_path / "state", ready=False) as running:
        yield running


@pytest.fixture(params=["async", "blocking"])
def resources(request: pytest.FixtureRequest, server: Administered) -> Iterator[Any]:
    """The client, whose calls give what they give."""
    if request.param == "blocking":
        with Resources(server.url) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncResources(server.url)

        class Running:
            def __getattr__(self, name: str) -> Callable[..., Any]:
                call = getattr(asynchronous, name)
                return lambda *words, **named: runner.run(call(*words, **named))

        yield Running()
        runner.run(asynchronous.close())


def test_a_resource_lives(resources: Any) -> None:
    """Made, read, changed, applied, scaled, and let go."""
    made = resources.create(SERVICES, service(), "default")
    assert (made.created, made.document["metadata"]["generation"]) == (True, 1)
    held = resources.get(SERVICES, "iris", "default")
    assert held["spec"] == service()["spec"]
    patched = resources.patch(SERVICES, "iris", {"spec": {"predictor": {"minReplicas": 2}}}, "default")
    assert (patched.created, patched.document["spec"]["predictor"]["minReplicas"]) == (False, 2)
    operation = {"op": "remove", "path": "/spec/predictor/minReplicas"}
    patched = resources.patch(SERVICES, "iris", [operation], "default").document
    assert resources.replace(SERVICES, patched, "default").document == patched
    assert resources.scale(SERVICES, "iris", 3, "default")["spec"] == {"replicas": 3}
    assert resources.apply(SERVICES, service(maxReplicas=5), "default").document["spec"]["predictor"] == {
        **service()["spec"]["predictor"],
        "replicas": 3,
        "maxReplicas": 5,
    }
    assert resources.delete(SERVICES, "iris", "default")["status"] == "Success"
    with pytest.raises(ResourceNotFound):
        resources.get(SERVICES, "iris", "default")


def test_what_is_wrong_is_raised_as_what_it_is(resources: Any) -> None:
    """Not by its status alone: three things are 409."""
    resources.create(SERVICES, service(), "default")
    with pytest.raises(ResourceExists):
        resources.create(SERVICES, service(), "default")
    stale = service() | {"metadata": {"name": "iris", "resourceVersion": "1"}}
    with pytest.raises(ResourceConflict):
        resources.replace(SERVICES, stale, "default")
    with pytest.raises(ResourceConflict, match="the write is for '7'"):
        resources.scale(SERVICES, "iris", 3, "default", current=7)
    with pytest.raises(Rejected) as rejected:
        resources.create(SERVICES, service("other", minReplicas=-1, foo=1), "default")
    assert {cause.field for cause in rejected.value.causes} == {"spec.predictor.minReplicas", "spec.predictor.foo"}


def test_a_field_that_another_owns_is_a_conflict_until_it_is_forced(resources: Any) -> None:
    """And who owns it is told."""
    resources.apply(SERVICES, service(minReplicas=1), "default")
    resources.patch(SERVICES, "iris", {"spec": {"predictor": {"minReplicas": 2}}}, "default", manager="autoscaler")
    with pytest.raises(FieldConflict) as conflict:
        resources.apply(SERVICES, service(minReplicas=1), "default")
    ((field, owner),) = conflict.value.conflicts
    assert field.lstrip(".") == "spec.predictor.minReplicas"
    assert "autoscaler" in owner
    forced = resources.apply(SERVICES, service(minReplicas=1), "default", force=True)
    assert forced.document["spec"]["predictor"]["minReplicas"] == 1


def test_a_dry_run_writes_nothing(resources: Any) -> None:
    """And answers as if it had."""
    assert resources.apply(SERVICES, service(), "default", dry_run=True).document["spec"] == service()["spec"]
    assert resources.list(SERVICES).items == []


def test_a_list_is_fetched_in_pages(resources: Any) -> None:
    """All of them show one instant, and together are all."""
    for number in range(5):
        resources.create(SERVICES, service(f"m-{number}"), "default")
    page = resources.page(SERVICES, Selection("default"), limit=2)
    assert [each["metadata"]["name"] for each in page.items] == ["m-0", "m-1"]
    rest = resources.page(SERVICES, Selection("default"), limit=2, more=page.more)
    assert [each["metadata"]["name"] for each in rest.items] == ["m-2", "m-3"]
    assert len(resources.list(SERVICES).items) == 5
    rows = resources.list(SERVICES, table=True).items
    assert [row["rows"][0]["cells"][0] for row in rows] == [f"m-{number}" for number in range(5)]


def test_a_server_tells_what_it_has(resources: Any) -> None:
    """Its version and its kinds, the core's among them."""
    assert "tidegate" in resources.version()["gitVersion"]
    found = {(kind.group, kind.kind): kind for kind in resources.discover()}
    assert found["tidegate.dev", "ModelService"].short == ("msvc",)
    assert found["serving.kserve.io", "ClusterServingRuntime"].namespaced is False
    assert ("", "Event") in found


def test_events_are_told_in_their_order(server: Administered, resources: Any) -> None:
    """Those of one resource, or of all in a namespace."""
    iris, rose = (resources.create(SERVICES, service(name), "default").document for name in ("iris", "rose"))
    server.tell(iris, "Began", "it begins")
    server.tell(rose, "Began", "it begins, too")
    assert [each["message"] for each in resources.events("default", kind="ModelService", name="iris")] == ["it begins"]
    assert len(resources.events("default")) == 2


def tell(server: Administered, *names: str, **fields: Any) -> None:
    for name in names:
        server.call(server.store.tell(occurrence(name, **fields)))


def test_occurrences_are_cloud_events(server: Administered, resources: Any) -> None:
    """All that is kept, the last of them, or what came after one."""
    tell(server, *"abc")
    tell(server, "x", about=key(namespace="other"))
    told = resources.occurrences("default")
    assert [(each["id"], each["type"]) for each in told] == [(name, "dev.tidegate.rollout.succeeded") for name in "abc"]
    assert [each["id"] for each in resources.occurrences(tail=2)] == ["c", "x"]
    assert [each["id"] for each in resources.occurrences("default", since=told[0]["sequence"])] == ["b", "c"]
    assert [each["id"] for each in resources.occurrences("default", limit=1)] == ["a"]


def test_occurrences_are_followed(server: Administered) -> None:
    """What is kept, page by page, then what comes; after a tail of 0 only that."""
    tell(server, *map(str, range(501)))
    with Resources(server.url) as client, closing(client.follow_occurrences("default")) as following:
        assert [next(following)["id"] for _ in range(501)] == [str(number) for number in range(501)]
        tell(server, "x", about=key(namespace="other"))
        tell(server, "later")
        assert next(following)["id"] == "later"
    with Resources(server.url) as client, closing(client.follow_occurrences(tail=2)) as following:
        assert [next(following)["id"] for _ in range(2)] == ["x", "later"]


def test_a_stream_of_occurrences_goes_on_where_it_was(tmp_path: Path) -> None:
    """Over a restart of the server: nothing twice, nothing missing."""
    with Administered.start(tmp_path / "state", ready=False) as server:
        tell(server, "a")
        port = server.server.port
        client = Resources(server.url)
        following = client.follow_occurrences()
        assert next(following)["id"] == "a"
    with Administered.start(tmp_path / "state", ready=False, port=port) as server:
        tell(server, "b", "c")
        assert [next(following)["id"] for _ in range(2)] == ["b", "c"]
        following.close()
        client.close()


def test_a_trial_tells_of_each_channel(tmp_path: Path) -> None:
    """As the server found it."""

    class Tries:
        async def try_channels(self, namespace: str, service: str, channel: int | None = None) -> list[Tried]:
            return [Tried(channel or 0, f"{namespace}/{service}", "failed", "it answered 404")]

    with (
        Administered.start(tmp_path / "state", ready=False, trial=lambda store: Tries()) as server,
        Resources(server.url) as client,
    ):
        [tried] = client.try_channels("iris", "n", 2)
        assert (tried.channel, tried.name, tried.outcome, tried.message) == (2, "n/iris", "failed", "it answered 404")


def test_waiting_ends_when_it_is_so(server: Administered, resources: Any) -> None:
    """Also for something that is not there yet, and for something that is to go."""
    assert resources.wait(SERVICES, "iris", "default", lambda document: document is None, timeout=0) is None
    with pytest.raises(DeadlineExceeded, match="not as wanted within 0 s"):
        resources.wait(SERVICES, "iris", "default", lambda document: document is not None, timeout=0)
    seen: list[Document | None] = []

    def met(document: Document | None) -> bool:
        if document is None and not seen:
            asyncio.get_running_loop().call_soon(create)
        seen.append(document)
        return document is not None

    def create() -> None:
        # From another thread's view of it: the client waits while somebody else makes the resource.
        asyncio.get_running_loop().run_in_executor(None, server.create, service() | NAMED)

    assert resources.wait(SERVICES, "iris", "default", met, timeout=20)["metadata"]["name"] == "iris"
    assert seen[0] is None


NAMED = {"metadata": {"name": "iris", "namespace": "default"}}


def test_a_watch_tells_what_is_there_and_what_comes(server: Administered) -> None:
    """By the blocking face; closing it ends it."""
    server.create(service() | NAMED)
    with Resources(server.url) as client, closing(client.watch(SERVICES, Selection("default"))) as changes:
        assert next(changes).type == "ADDED"
        server.set_status(service() | NAMED, {"url": "there"})
        changed = next(changes)
        assert (changed.type, changed.document["status"]) == ("MODIFIED", {"url": "there"})


def test_nobody_there_is_told_at_once() -> None:
    """With the address."""
    with Resources("http://127.0.0.1:1") as client, pytest.raises(ServerUnreachable, match=r"^http://127\.0\.0\.1:1 "):
        client.version()


def test_only_http_has_resources() -> None:
    """The other schemes are of models."""
    with pytest.raises(InvalidRequest, match="expected http:// or https://"):
        Resources("grpc://127.0.0.1:8081")


class Script:
    """A transport that gives what a test wrote down: lists for whole answers, streams that end as they are told."""

    def __init__(self, *acts: Any) -> None:
        self.acts = list(acts)
        self.paths: list[str] = []

    async def exchange(self, message: HttpMessage, remaining: float, grace: float) -> HttpAnswer:
        self.paths.append(message.path)
        act = self.acts.pop(0)
        if isinstance(act, Exception):
            raise act
        return HttpAnswer(200, "OK", {}, msgspec.json.encode(act))

    async def stream(self, message: HttpMessage, remaining: float) -> AsyncGenerator[HttpAnswer, None]:
        self.paths.append(message.path)
        for act in self.acts.pop(0):
            if isinstance(act, Exception):
                raise act
            yield HttpAnswer(200, "OK", {}, msgspec.json.encode(act))

    async def close(self) -> None:
        pass


def listing(version: int, **held: int) -> Document:
    items = [{"metadata": {"name": name, "resourceVersion": str(each)}} for name, each in held.items()]
    return {"kind": "ModelServiceList", "metadata": {"resourceVersion": str(version)}, "items": items}


def event(kind: str, name: str, version: int) -> Document:
    return {
        "type": kind,
        "object": {"kind": "ModelService", "metadata": {"name": name, "resourceVersion": str(version)}},
    }


EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def watched(script: Script, count: int) -> tuple[list[tuple[str, str]], float]:
    """So many changes of a watch, and how long it took."""

    async def watch() -> tuple[list[tuple[str, str]], float]:
        client = AsyncResources("http://127.0.0.1:8082", chance=lambda: 0.0, transport=script)
        told: list[ResourceChange] = []
        async with aclosing(client.watch(SERVICES)) as changes:
            async for change in changes:
                told.append(change)
                if len(told) == count:
                    break
        return [(each.type, each.document["metadata"]["name"]) for each in told], asyncio.get_running_loop().time()

    return run_virtual(watch())


def test_a_watch_goes_on_where_it_ended() -> None:
    """From the last version that it has seen, a bookmark's too, however it ended."""
    script = Script(
        listing(5, a=3),
        [event("MODIFIED", "a", 6), event("BOOKMARK", "", 8)],
        [event("ADDED", "b", 9), ConnectionLost("it broke")],
        [event("DELETED", "b", 10)],
    )
    told, _ = watched(script, 4)
    assert told == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "b")]
    versions = [path.partition("resourceVersion=")[2] for path in script.paths[1:]]
    assert versions == ["5", "8", "9"]


def test_a_watch_that_comes_too_late_lists_again() -> None:
    """And tells the difference to what it has told."""
    script = Script(listing(5, a=3, b=4), [EXPIRED], listing(20, b=15, c=18), [])
    told, _ = watched(script, 5)
    assert told[2:] == [("MODIFIED", "b"), ("ADDED", "c"), ("DELETED", "a")]


def test_a_server_that_is_away_is_waited_for() -> None:
    """Ever longer between attempts, and not for ever."""
    gone = [ConnectionLost("gone")]
    script = Script(listing(5), *[gone] * 40, [event("ADDED", "a", 6)])
    told, seconds = watched(script, 1)
    assert told == [("ADDED", "a")]
    assert 10 < seconds < 60
    with pytest.raises(ConnectionLost):
        watched(Script(listing(5), *[gone] * 1000), 1)


def test_a_server_that_was_never_there_is_not_waited_for() -> None:
    """It is most likely the wrong address."""
    with pytest.raises(ServerUnreachable):
        watched(Script(*[ServerUnreachable("nobody")] * 3), 1)


def test_a_wait_sees_what_vanished_while_it_was_too_late() -> None:
    """By the list that it began with."""
    script = Script(listing(5, a=3), [EXPIRED], listing(20))

    async def wait() -> Document | None:
        client = AsyncResources("http://127.0.0.1:8082", chance=lambda: 0.0, transport=script)
        return await client.wait(SERVICES, "a", "default", lambda document: document is None, timeout=20)

    assert run_virtual(wait()) is None


def test_several_kinds_are_watched_together(server: Administered) -> None:
    """Each from its list on; nothing comes now and then where nothing happens."""
    server.create(service() | NAMED)
    with Resources(server.url) as client:
        kinds = [SERVICES, REVISIONS]
        watched = [(kind, Selection("default"), client.list(kind, Selection("default"))) for kind in kinds]
        with closing(client.together(watched, tick=0.01)) as coming:
            assert next(coming) == []
            server.set_status(service() | NAMED, {"replicas": 1})
            server.create(REVISION)
            seen: list[tuple[str, str, str]] = []
            while len(seen) < 2:
                seen += [(kind.kind, each.type, each.document["metadata"]["name"]) for kind, each in next(coming)]
    assert sorted(seen) == [("ModelService", "MODIFIED", "iris"), ("ServingRevision", "ADDED", "iris-00001")]


def test_one_watch_that_fails_ends_them_together() -> None:
    """With its own error, and nothing is left behind."""

    class Split(Script):
        async def stream(self, message: HttpMessage, remaining: float) -> AsyncGenerator[HttpAnswer, None]:
            if "servingrevisions" in message.path:
                raise Forbidden("only others may see revisions")
            await asyncio.Event().wait()
            yield HttpAnswer(200, "OK", {}, b"")

    async def watch() -> int:
        client = AsyncResources("http://127.0.0.1:8082", chance=lambda: 0.0, transport=Split())
        none = Listing([], "5")
        watched = [(kind, Selection("default"), none) for kind in (SERVICES, REVISIONS)]
        async with aclosing(client.together(watched, tick=1.0)) as coming:
            with pytest.raises(Forbidden, match="only others may see revisions"):
                async for _ in coming:
                    pass
        return len(asyncio.all_tasks())

    assert run_virtual(watch()) == 1
