"""The stores against a dict: whatever is done in whatever order, both hold the same, and who watches can rebuild it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tidegate.protocol.errors import ResourceConflict, ResourceExists, ResourceExpired, ResourceNotFound
from tidegate.resources.document import Document
from tidegate.resources.selector import parse_selector
from tidegate.resources.store import ALL, Cascade, Change, ChangeType, MergePatch, Page, Query, Store
from tidegate.testing.stores import KIND, NAMES, Setup, key, owned_by, service

T = TypeVar("T")
SELECTED = Query(selector=parse_selector("in=yes"))
BOUNDS = {"max_changes": 14, "watch_queue": 5, "watch_batch": 2, "bookmark_every": 3}
"""So small that watches and pages do expire."""
names = st.sampled_from("abcd")


class Replica:
    """What one watcher believes is stored. It lists, watches from there, and lists again when it is told to."""

    def __init__(self, store: Store, query: Query) -> None:
        self._query = query
        self.believed: dict[str, Document] = {}
        self._version = ""
        self.follow(store)

    def follow(self, store: Store) -> None:
        self._store = store
        self._watch: AbstractAsyncContextManager[AsyncIterator[Change]] | None = None

    async def read_until(self, version: str) -> None:
        """Read up to a change that every watcher sees."""
        while self._version != version:
            try:
                await self._read()
            except ResourceExpired:
                await self.leave()
                self._version = ""

    async def leave(self) -> None:
        if self._watch is not None:
            await self._watch.__aexit__(None, None, None)
            self._watch = None

    async def _read(self) -> None:
        if not self._version:
            page = await self._store.list(KIND, self._query)
            self.believed = {item["metadata"]["name"]: item for item in page.items}
            self._version = page.version
            return
        if self._watch is None:
            self._watch = self._store.watch(KIND, self._query, since=self._version, bookmarks=True)
            self._changes = await self._watch.__aenter__()
        change = await anext(self._changes)
        assert int(change.version) > int(self._version)
        self._version = change.version
        name = change.document["metadata"].get("name")
        match change.type:
            case ChangeType.ADDED:
                assert name not in self.believed
                self.believed[name] = change.document
            case ChangeType.MODIFIED:
                assert name in self.believed
                self.believed[name] = change.document
            case ChangeType.DELETED:
                del self.believed[name]


class StoreModel(RuleBasedStateMachine):
    """The oracle: documents by name, and the rules of a resource's life in a few lines."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.setup = Setup(self.kind, self.directory)
        self.held: dict[str, Document] = {}
        self.newest = 1
        self.replicas: list[Replica] = []
        self.pages: list[tuple[list[Document], Query, Page]] = []
        self.open()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def open(self) -> None:
        self.context = self.setup.open(**BOUNDS)
        self.store = self.run(self.context.__aenter__())

    def teardown(self) -> None:
        for replica in self.replicas:
            self.run(replica.leave())
        self.run(self.context.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.directory)

    def keep(self, answer: Document, before: Document | None) -> None:
        """What was written is what the rules say, with a version above all others."""
        version = int(answer["metadata"]["resourceVersion"])
        if before is not None and answer == before:
            return
        assert version > self.newest
        self.newest = version
        self.held[answer["metadata"]["name"]] = answer

    @rule(name=names, labelled=st.booleans(), finalizer=st.booleans(), owner=st.none() | names)
    def create(self, name: str, labelled: bool, finalizer: bool, owner: str | None) -> None:
        owners = owned_by(self.held[owner]) if owner in self.held else []
        sent = service(name, labels={"in": "yes"} if labelled else {}, ownerReferences=owners)
        sent["metadata"]["finalizers"] = ["a/b"] if finalizer else []
        if name in self.held:
            with pytest.raises(ResourceExists):
                self.run(self.store.create(sent))
        else:
            answer = self.run(self.store.create(sent))
            assert (answer["spec"], answer["metadata"]["generation"]) == (sent["spec"], 1)
            self.keep(answer, None)

    @rule(name=names, n=st.integers(0, 2))
    def change_spec(self, name: str, n: int) -> None:
        if (before := self.held.get(name)) is None:
            with pytest.raises(ResourceNotFound):
                self.run(self.store.patch(key(name), MergePatch({"spec": {"n": n}})))
            return
        answer = self.run(self.store.patch(key(name), MergePatch({"spec": {"n": n}})))
        changed = before["spec"].get("n") != n
        assert answer["spec"]["n"] == n
        assert answer["metadata"]["generation"] == before["metadata"]["generation"] + changed
        assert answer.get("status") == before.get("status")
        self.keep(answer, before)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), n=st.integers(0, 2))
    def change_status(self, data: st.DataObject, n: int) -> None:
        before = data.draw(st.sampled_from(list(self.held.values())))
        answer = self.run(self.store.replace_status(before | {"status": {"n": n}, "spec": {}}))
        assert (answer["status"], answer["spec"]) == ({"n": n}, before["spec"])
        self.keep(answer, before)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), labelled=st.booleans())
    def relabel(self, data: st.DataObject, labelled: bool) -> None:
        before = data.draw(st.sampled_from(list(self.held.values())))
        metadata = before["metadata"] | {"labels": {"in": "yes" if labelled else "no"}}
        answer = self.run(self.store.replace(before | {"metadata": metadata}))
        assert answer["metadata"]["labels"] == metadata["labels"]
        self.keep(answer, before)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def write_for_the_past(self, data: st.DataObject) -> None:
        before = data.draw(st.sampled_from(list(self.held.values())))
        past = str(int(before["metadata"]["resourceVersion"]) - 1)
        metadata = before["metadata"] | {"resourceVersion": past}
        with pytest.raises(ResourceConflict):
            self.run(self.store.replace(before | {"metadata": metadata, "spec": {"lost": True}}))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def finalize(self, data: st.DataObject) -> None:
        before = data.draw(st.sampled_from(list(self.held.values())))
        answer = self.run(
            self.store.patch(key(before["metadata"]["name"]), MergePatch({"metadata": {"finalizers": []}}))
        )
        self.keep(answer, before)
        if "deletionTimestamp" in before["metadata"]:
            self.gone(answer)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), cascade=st.sampled_from(Cascade))
    def delete(self, data: st.DataObject, cascade: Cascade) -> None:
        before = data.draw(st.sampled_from(list(self.held.values())))
        answer = self.run(self.store.delete(key(before["metadata"]["name"]), cascade=cascade))
        if cascade is Cascade.ORPHAN:
            for child in self.children(before):
                self.expect(child, {"ownerReferences": None})
        if before["metadata"]["finalizers"]:
            assert "deletionTimestamp" in answer["metadata"]
            self.keep(answer, before)
        else:
            self.newest = max(self.newest, int(answer["metadata"]["resourceVersion"]))
            self.gone(before)

    def children(self, owner: Document) -> list[Document]:
        uid = owner["metadata"]["uid"]
        found = [
            one for one in self.held.values() if uid in [o["uid"] for o in one["metadata"].get("ownerReferences", [])]
        ]
        return sorted(found, key=lambda one: one["metadata"]["name"])

    def gone(self, owner: Document) -> None:
        del self.held[owner["metadata"]["name"]]
        for child in self.children(owner):
            if child["metadata"]["name"] not in self.held or "deletionTimestamp" in child["metadata"]:
                continue
            if child["metadata"]["finalizers"]:
                self.expect(child, {"deletionTimestamp": "2027-01-15T08:00:00Z"})
            else:
                self.gone(child)

    def expect(self, child: Document, change: Document) -> None:
        """What a cascade makes of a child; its version is the store's to choose, above what it was."""
        name = child["metadata"]["name"]
        stored = self.run(self.store.get(key(name)))
        metadata = child["metadata"] | change | {"resourceVersion": stored["metadata"]["resourceVersion"]}
        expected = child | {"metadata": {k: v for k, v in metadata.items() if v is not None}}
        assert stored == expected
        self.held[name] = stored

    @rule(name=names, selected=st.booleans())
    def watch(self, name: str, selected: bool) -> None:
        if len(self.replicas) < 4:
            self.replicas.append(Replica(self.store, SELECTED if selected else ALL))

    @rule()
    def compare_replicas(self) -> None:
        """Each watcher reads to the end, and believes what a list shows."""
        mark = self.held.get("mark")
        if mark is None:
            mark = self.run(self.store.create(service("mark", labels={"in": "yes"}, finalizers=[], spec={"n": 9})))
        else:
            n = mark["spec"].get("n", 0) + 1
            metadata = mark["metadata"] | {"labels": {"in": "yes"}}
            mark = self.run(self.store.replace(mark | {"spec": {"n": n}, "metadata": metadata}))
        self.keep(mark, None)
        for replica in self.replicas:
            self.run(replica.read_until(mark["metadata"]["resourceVersion"]))
            page = self.run(self.store.list(KIND, replica._query))
            assert replica.believed == {item["metadata"]["name"]: item for item in page.items}

    @rule(selected=st.booleans(), limit=st.integers(1, 2))
    def begin_pages(self, selected: bool, limit: int) -> None:
        query = SELECTED if selected else ALL
        whole = self.run(self.store.list(KIND, query)).items
        first = self.run(self.store.list(KIND, query, limit=limit))
        assert first.items == whole[:limit]
        self.pages.append((whole[limit:], query, first))

    @precondition(lambda self: self.pages)
    @rule()
    def end_pages(self) -> None:
        """The pages show the instant of the first one, or are expired."""
        rest, query, page = self.pages.pop(0)
        items: list[Document] = []
        try:
            while page.more is not None:
                page = self.run(self.store.list(KIND, query, limit=2, more=page.more))
                items += page.items
        except ResourceExpired:
            newest = int(self.run(self.store.list(KIND)).version)
            assert newest - int(page.version) >= BOUNDS["max_changes"]
        else:
            assert items == rest

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def open_again(self) -> None:
        """After a restart everything is as it was, and watchers go on from what they have read."""
        for replica in self.replicas:
            self.run(replica.leave())
        self.run(self.context.__aexit__(None, None, None))
        self.open()
        for replica in self.replicas:
            replica.follow(self.store)

    @invariant()
    def the_store_holds_what_the_dict_holds(self) -> None:
        items = self.run(self.store.list(KIND)).items
        assert items == sorted(self.held.values(), key=lambda item: item["metadata"]["name"])
        self.newest = max(self.newest, int(self.run(self.store.list(KIND)).version))


@pytest.mark.parametrize("kind", NAMES)
def test_a_store_is_a_dict_with_a_memory(kind: str) -> None:
    """Any sequence of writes, watches, pages and restarts agrees with the oracle."""
    machine = type(kind, (StoreModel,), {"kind": kind})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
