"""What every store promises of deletion: finalizers, preconditions, and what becomes of what a resource owned."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.protocol.errors import InvalidResource, ResourceConflict, ResourceNotFound
from tidegate.resources.document import Document
from tidegate.resources.store import Cascade, MergePatch, Preconditions, Store
from tidegate.testing.stores import KIND, Setup, in_loop, key, owned_by, service


async def names(store: Store) -> list[str]:
    return [item["metadata"]["name"] for item in (await store.list(KIND)).items]


@in_loop
async def test_what_has_no_finalizer_goes_at_once(setup: Setup) -> None:
    """The answer is the resource as it was at last, with the version of its deletion."""
    async with setup.open() as store:
        created = await store.create(service())
        deleted = await store.delete(key())
        assert deleted["metadata"].pop("resourceVersion") == "3"
        del created["metadata"]["resourceVersion"]
        assert deleted == created
        with pytest.raises(ResourceNotFound):
            await store.get(key())


@in_loop
async def test_finalizers_hold_a_resource(setup: Setup) -> None:
    """It is marked with the time and stays until the last of them is removed, and is gone with that write."""
    async with setup.open() as store:
        await store.create(service(finalizers=["a/one", "a/two"]))
        marked = await store.delete(key())
        assert marked["metadata"]["deletionTimestamp"] == "2027-01-15T08:00:00Z"
        assert marked["metadata"]["generation"] == 1
        await store.patch(key(), MergePatch({"metadata": {"finalizers": ["a/two"]}}))
        assert await names(store) == ["iris"]
        last = await store.patch(key(), MergePatch({"metadata": {"finalizers": None}}))
        assert last["metadata"]["resourceVersion"] == "5"
        assert await names(store) == []


@in_loop
async def test_to_delete_once_more_changes_nothing(setup: Setup) -> None:
    """The time of the first deletion stays, and nothing is written."""
    async with setup.open() as store:
        await store.create(service(finalizers=["a/one"]))
        marked = await store.delete(key())
        setup.clock.now += 60
        assert await store.delete(key()) == marked


@in_loop
async def test_what_is_being_deleted_gets_no_new_finalizer(setup: Setup) -> None:
    """Its removal would never come; removing one, and every other change, is still possible."""
    async with setup.open() as store:
        await store.create(service(finalizers=["a/one"]))
        await store.delete(key())
        with pytest.raises(InvalidResource) as caught:
            await store.patch(key(), MergePatch({"metadata": {"finalizers": ["a/one", "a/two"]}}))
        assert caught.value.message == (
            "metadata.finalizers has the new 'a/two', which a resource that is being deleted cannot get"
        )
        assert (await store.patch(key(), MergePatch({"spec": {"x": 1}})))["metadata"]["generation"] == 2


@in_loop
async def test_a_status_does_not_undo_a_deletion(setup: Setup) -> None:
    """A controller that writes what it saw before keeps the mark."""
    async with setup.open() as store:
        read = await store.create(service(finalizers=["a/one"]))
        await store.delete(key())
        del read["metadata"]["resourceVersion"]
        answer = await store.replace_status(read | {"status": {"x": 1}})
        assert "deletionTimestamp" in answer["metadata"]
        answer = await store.replace(read)
        assert "deletionTimestamp" in answer["metadata"]


@pytest.mark.parametrize(
    ("preconditions", "message"),
    [
        pytest.param(Preconditions(uid="x"), "has uid 'uid-1', but the write is for 'x'", id="uid"),
        pytest.param(Preconditions(version="9"), "has resourceVersion '2', but the write is for '9'", id="version"),
    ],
)
@in_loop
async def test_a_precondition_that_does_not_hold_is_a_conflict(
    setup: Setup, preconditions: Preconditions, message: str
) -> None:
    """What somebody else has changed or made anew meanwhile is not deleted."""
    async with setup.open() as store:
        await store.create(service())
        with pytest.raises(ResourceConflict, match=message):
            await store.delete(key(), preconditions=preconditions)
        assert await names(store) == ["iris"]
        await store.delete(key(), preconditions=Preconditions(uid="uid-1", version="2"))
        assert await names(store) == []


async def family(store: Store, **grandchild: Any) -> Document:
    """iris owns child, which owns grandchild; shared has another owner beside."""
    owner = await store.create(service())
    other = await store.create(service("other"))
    child = await store.create(service("child", ownerReferences=owned_by(owner)))
    await store.create(service("grandchild", ownerReferences=owned_by(child), **grandchild))
    await store.create(service("shared", ownerReferences=owned_by(owner, other)))
    return owner


@in_loop
async def test_what_only_it_owned_goes_too(setup: Setup) -> None:
    """Children and theirs go in the same write; what has another owner stays and names only that one."""
    async with setup.open() as store:
        await family(store)
        await store.delete(key())
        assert await names(store) == ["other", "shared"]
        shared = await store.get(key("shared"))
        assert [owner["name"] for owner in shared["metadata"]["ownerReferences"]] == ["other"]


@in_loop
async def test_a_deletion_reaches_other_kinds(setup: Setup) -> None:
    """Ownership asks for the uid alone, and an owner without a namespace owns in all of them."""
    async with setup.open() as store:
        owner = await store.create(service(namespace="") | {"kind": "ClusterServingRuntime"})
        await store.create(service("child", namespace="x", ownerReferences=owned_by(owner)))
        await store.delete(key(namespace="")._replace(kind=KIND._replace(name="ClusterServingRuntime")))
        assert await names(store) == []


@in_loop
async def test_what_it_owned_may_have_finalizers(setup: Setup) -> None:
    """Such a one is marked, and goes when they are removed."""
    async with setup.open() as store:
        await family(store, finalizers=["a/one"])
        await store.delete(key())
        assert await names(store) == ["grandchild", "other", "shared"]
        assert "deletionTimestamp" in (await store.get(key("grandchild")))["metadata"]
        await store.patch(key("grandchild"), MergePatch({"metadata": {"finalizers": []}}))
        assert await names(store) == ["other", "shared"]


@in_loop
async def test_a_child_that_is_being_deleted_is_left_alone(setup: Setup) -> None:
    """The removal of its owner neither marks it anew nor writes it at all."""
    async with setup.open() as store:
        owner = await store.create(service())
        await store.create(service("child", ownerReferences=owned_by(owner), finalizers=["a/one"]))
        marked = await store.delete(key("child"))
        setup.clock.now += 60
        await store.delete(key())
        assert await store.get(key("child")) == marked


@in_loop
async def test_children_wait_for_the_owners_finalizers(setup: Setup) -> None:
    """They go when the owner does, not when its deletion is asked for."""
    async with setup.open() as store:
        owner = await store.create(service(finalizers=["a/one"]))
        await store.create(service("child", ownerReferences=owned_by(owner)))
        await store.delete(key())
        assert await names(store) == ["child", "iris"]
        await store.patch(key(), MergePatch({"metadata": {"finalizers": None}}))
        assert await names(store) == []


@pytest.mark.parametrize("finalizers", [[], ["a/one"]], ids=["at-once", "finalizer"])
@in_loop
async def test_orphans_stay(setup: Setup, finalizers: list[str]) -> None:
    """Children stay without the owner, also where the owner waits for its finalizers first."""
    async with setup.open() as store:
        owner = await store.create(service(finalizers=finalizers))
        await store.create(service("child", ownerReferences=owned_by(owner)))
        await store.delete(key(), cascade=Cascade.ORPHAN)
        if finalizers:
            await store.patch(key(), MergePatch({"metadata": {"finalizers": None}}))
        assert await names(store) == ["child"]
        assert "ownerReferences" not in (await store.get(key("child")))["metadata"]


@in_loop
async def test_resources_that_own_each_other_go_together(setup: Setup) -> None:
    """A circle of owners ends."""
    async with setup.open() as store:
        one = await store.create(service())
        two = await store.create(service("two", ownerReferences=owned_by(one)))
        await store.patch(key(), MergePatch({"metadata": {"ownerReferences": owned_by(two, one)}}))
        await store.delete(key("two"))
        await store.delete(key())
        assert await names(store) == []


@in_loop
async def test_who_is_no_owner_any_more_takes_nothing_along(setup: Setup) -> None:
    """A reference that a later write removed counts no more, and one that it added does."""
    async with setup.open() as store:
        old, new = await store.create(service()), await store.create(service("new"))
        await store.create(service("child", ownerReferences=owned_by(old)))
        await store.replace(service("child", ownerReferences=owned_by(new)))
        await store.delete(key())
        assert await names(store) == ["child", "new"]
        await store.delete(key("new"))
        assert await names(store) == []


@in_loop
async def test_each_of_a_cascade_has_its_own_version(setup: Setup) -> None:
    """A watch tells every one of them, the owner first."""
    async with setup.open() as store:
        await family(store)
        since = (await store.list(KIND)).version
        await store.delete(key())
        async with store.watch(KIND, since=since) as changes:
            seen = [await anext(changes) for _ in range(4)]
        assert {change.document["metadata"]["name"] for change in seen} == {"iris", "child", "shared", "grandchild"}
        assert seen[0].document["metadata"]["name"] == "iris"
        assert [int(change.version) for change in seen] == [int(since) + n for n in range(1, 5)]
