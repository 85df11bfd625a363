"""What every store promises of reads and writes, held against each. Lists, watches and events have files beside it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tidegate.protocol.errors import (
    InvalidResource,
    PayloadTooLarge,
    ResourceConflict,
    ResourceExists,
    ResourceNotFound,
    ShuttingDown,
)
from tidegate.resources.document import Document, GroupKind
from tidegate.resources.store import JsonPatch, MergePatch, Patch, Store
from tidegate.testing.stores import KIND, Setup, in_loop, key, owned_by, service


async def version(store: Store) -> int:
    """The store's newest."""
    return int((await store.list(KIND)).version)


@in_loop
async def test_what_is_created_is_completed_and_read_back(setup: Setup) -> None:
    """A new resource gets uid, creation time, generation 1 and a version; it is read back as it was answered."""
    async with setup.open() as store:
        answer = await store.create(service(labels={"team": "a"}))
        assert answer == {
            "apiVersion": "tidegate.dev/v1",
            "kind": "ModelService",
            "metadata": {
                "name": "iris",
                "namespace": "default",
                "labels": {"team": "a"},
                "uid": "uid-1",
                "creationTimestamp": "2027-01-15T08:00:00Z",
                "generation": 1,
                "resourceVersion": "2",
            },
            "spec": {"predictor": {"minReplicas": 1}},
        }
        assert await store.get(key()) == answer


@in_loop
async def test_what_is_sent_of_the_servers_fields_does_not_count(setup: Setup) -> None:
    """uid, times, generation and status of a new resource are the store's, whatever a copied manifest says."""
    async with setup.open() as store:
        sent = service(uid="x", creationTimestamp="2001-01-01T00:00:00Z", generation=7, deletionTimestamp="2001")
        answer = await store.create(sent | {"status": {"ready": True}})
        metadata = answer["metadata"]
        assert (metadata["uid"], metadata["generation"]) == ("uid-1", 1)
        assert metadata["creationTimestamp"] == "2027-01-15T08:00:00Z"
        assert "deletionTimestamp" not in metadata
        assert "status" not in answer


@in_loop
async def test_a_new_resource_is_of_no_version(setup: Setup) -> None:
    """Creating what says that it was read before is refused: it would silently be another one."""
    async with setup.open() as store:
        with pytest.raises(InvalidResource) as caught:
            await store.create(service(resourceVersion="12"))
        assert caught.value.message == "metadata.resourceVersion is '12', expected none: it does not exist yet"


@in_loop
async def test_a_name_is_taken_once(setup: Setup) -> None:
    """A second resource of the same group, kind, namespace and name is refused with 409."""
    async with setup.open() as store:
        await store.create(service())
        with pytest.raises(ResourceExists, match=r"^ModelService 'default/iris' exists already$"):
            await store.create(service())


@in_loop
async def test_an_address_is_group_kind_namespace_and_name(setup: Setup) -> None:
    """Resources that differ in any of them are different ones; the version of the API is no part of it."""
    async with setup.open() as store:
        await store.create(service())
        for other in (
            service() | {"apiVersion": "serving.kserve.io/v1beta1"},
            service() | {"kind": "ServingRollout"},
            service(namespace="other"),
            service("other"),
            service(namespace=""),
        ):
            await store.create(other)
        with pytest.raises(ResourceExists):
            await store.create(service() | {"apiVersion": "tidegate.dev/v2"})


@in_loop
async def test_what_stands_in_no_namespace_has_none(setup: Setup) -> None:
    """An empty namespace and none are the same, and kept as none."""
    async with setup.open() as store:
        answer = await store.create(service(namespace=""))
        assert "namespace" not in answer["metadata"]
        assert await store.get(key(namespace="")) == answer


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.get(key()), id="get"),
        pytest.param(lambda store: store.replace(service()), id="replace"),
        pytest.param(lambda store: store.replace_status(service()), id="status"),
        pytest.param(lambda store: store.patch(key(), MergePatch({})), id="patch"),
        pytest.param(lambda store: store.delete(key()), id="delete"),
    ],
)
@in_loop
async def test_what_is_not_there_is_not_found(setup: Setup, call: Any) -> None:
    """Each call on a resource that does not exist is 404 and names it."""
    async with setup.open() as store:
        with pytest.raises(ResourceNotFound, match=r"^ModelService 'default/iris' is not found$"):
            await call(store)


@in_loop
async def test_every_write_has_a_version_of_its_own(setup: Setup) -> None:
    """Versions grow over all kinds and namespaces, and that of something deleted is not given again."""
    async with setup.open() as store:
        versions = [
            int((await write)["metadata"]["resourceVersion"])
            for write in (
                store.create(service()),
                store.create(service() | {"kind": "ServingRollout"}),
                store.replace(service(labels={"a": "b"})),
                store.delete(key()),
                store.create(service()),
            )
        ]
        assert versions == sorted(set(versions))


@in_loop
async def test_the_generation_counts_changes_of_the_spec(setup: Setup) -> None:
    """Labels, annotations and the status leave it; the spec's change makes it one more; what is sent does not count."""
    async with setup.open() as store:
        await store.create(service(spec={"a": 1}))
        answers = [
            await store.replace(service(spec={"a": 1}, labels={"team": "a"}, generation=9)),
            await store.replace_status(service() | {"status": {"ready": True}}),
            await store.replace(service(spec={"a": 2})),
            await store.patch(key(), MergePatch({"spec": {"b": 1}})),
        ]
        assert [answer["metadata"]["generation"] for answer in answers] == [1, 1, 2, 3]


@in_loop
async def test_one_is_not_true(setup: Setup) -> None:
    """A spec that changes from 1 to true has changed, though Python takes the two for equal."""
    async with setup.open() as store:
        await store.create(service(spec={"a": 1}))
        answer = await store.replace(service(spec={"a": True}))
        assert answer["spec"]["a"] is True
        assert answer["metadata"]["generation"] == 2


@in_loop
async def test_what_changes_nothing_is_no_write(setup: Setup) -> None:
    """Applying the same once more keeps the version, so that nobody who watches is woken."""
    async with setup.open() as store:
        first = await store.create(service(labels={"a": "b"}, spec={"x": 1, "y": 2}))
        assert await store.replace(service(labels={"a": "b"}, spec={"y": 2, "x": 1})) == first
        assert await store.patch(key(), MergePatch({"spec": {"x": 1}})) == first
        assert await version(store) == int(first["metadata"]["resourceVersion"])


@in_loop
async def test_a_replacement_replaces_all_but_the_status(setup: Setup) -> None:
    """Labels and spec are those that are sent, and the status stays though another one is sent."""
    async with setup.open() as store:
        await store.create(service(labels={"a": "b"}))
        await store.replace_status(service() | {"status": {"ready": True}})
        answer = await store.replace(service(spec={"new": 1}) | {"status": {"ready": False}})
        assert "labels" not in answer["metadata"]
        assert (answer["spec"], answer["status"]) == ({"new": 1}, {"ready": True})
        assert answer["metadata"]["uid"] == "uid-1"


@in_loop
async def test_a_status_is_written_by_itself(setup: Setup) -> None:
    """Writing the status changes neither spec nor labels, whatever else is sent; without one it goes."""
    async with setup.open() as store:
        await store.create(service(spec={"a": 1}))
        answer = await store.replace_status(service(spec={"a": 2}, labels={"x": "y"}) | {"status": {"n": 1}})
        assert (answer["spec"], answer["status"]) == ({"a": 1}, {"n": 1})
        assert "labels" not in answer["metadata"]
        assert "status" not in await store.replace_status(service())


@pytest.mark.parametrize("status", [False, True], ids=["spec", "status"])
@in_loop
async def test_a_write_for_another_version_is_a_conflict(setup: Setup, status: bool) -> None:
    """Who writes what he read before somebody else wrote gets 409 with both versions, and nothing is written."""
    async with setup.open() as store:
        read = await store.create(service())
        now = await store.patch(key(), MergePatch({"spec": {"other": 1}}))
        write = store.replace_status if status else store.replace
        with pytest.raises(ResourceConflict) as caught:
            await write(read | {"spec": {"mine": 1}, "status": {"mine": 1}})
        assert caught.value.message == (
            "ModelService 'default/iris' has resourceVersion '3', but the write is for '2': read it again"
        )
        assert await store.get(key()) == now


@in_loop
async def test_a_write_for_the_present_version_is_taken(setup: Setup) -> None:
    """Read, change, write goes through where nobody wrote meanwhile; so does a write that names no version."""
    async with setup.open() as store:
        read = await store.create(service())
        read["spec"] = {"mine": 1}
        assert (await store.replace(read))["spec"] == {"mine": 1}
        assert (await store.replace(service(resourceVersion="")))["spec"] == service()["spec"]


@in_loop
async def test_a_name_that_another_has_taken_over_is_a_conflict(setup: Setup) -> None:
    """A write for a resource that was deleted does not change its successor of the same name."""
    async with setup.open() as store:
        await store.create(service())
        await store.delete(key())
        await store.create(service())
        with pytest.raises(ResourceConflict, match=r"has uid 'uid-2', but the write is for 'uid-1'"):
            await store.replace(service(uid="uid-1"))


@pytest.mark.parametrize("field", ["creationTimestamp", "deletionTimestamp"])
@in_loop
async def test_the_times_cannot_be_changed(setup: Setup, field: str) -> None:
    """Who sends other times than the stored ones is told so."""
    async with setup.open() as store:
        await store.create(service())
        with pytest.raises(InvalidResource, match=rf"^metadata\.{field} is '2001-01-01T00:00:00Z', and cannot be"):
            await store.replace(service(**{field: "2001-01-01T00:00:00Z"}))


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        pytest.param({"metadata": {"name": "other"}}, "metadata.name", id="name"),
        pytest.param({"metadata": {"namespace": "other"}}, "metadata.namespace", id="namespace"),
        pytest.param({"kind": "ServingRollout"}, "kind", id="kind"),
        pytest.param({"apiVersion": "serving.kserve.io/v1"}, "apiVersion", id="group"),
        pytest.param({"metadata": None}, "metadata", id="metadata"),
        pytest.param({"metadata": {"name": None}}, "metadata.name", id="no-name"),
    ],
)
@in_loop
async def test_a_resource_keeps_its_address(setup: Setup, patch: Document, field: str) -> None:
    """No patch makes another resource of one, or one without an address."""
    async with setup.open() as store:
        before = await store.create(service())
        with pytest.raises(InvalidResource) as caught:
            await store.patch(key(), MergePatch(patch))
        assert caught.value.field == field
        assert await store.get(key()) == before


@in_loop
async def test_a_merge_patch_is_rfc_7396(setup: Setup) -> None:
    """Objects are merged, null removes, arrays are replaced."""
    async with setup.open() as store:
        await store.create(service(spec={"a": {"b": 1, "c": 2}, "list": [1, 2]}))
        answer = await store.patch(key(), MergePatch({"spec": {"a": {"b": None, "d": 3}, "list": [3]}}))
        assert answer["spec"] == {"a": {"c": 2, "d": 3}, "list": [3]}


@in_loop
async def test_a_json_patch_is_rfc_6902(setup: Setup) -> None:
    """Its operations are done in their order."""
    async with setup.open() as store:
        await store.create(service(spec={"a": [1, 2]}))
        operations = [
            {"op": "test", "path": "/spec/a/0", "value": 1},
            {"op": "add", "path": "/spec/a/-", "value": 3},
            {"op": "copy", "from": "/spec/a", "path": "/spec/b"},
            {"op": "remove", "path": "/spec/b/0"},
        ]
        assert (await store.patch(key(), JsonPatch(operations)))["spec"] == {"a": [1, 2, 3], "b": [2, 3]}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        pytest.param(JsonPatch([{"op": "test", "path": "/spec", "value": 0}]), "does not hold", id="test"),
        pytest.param(JsonPatch([{"op": "remove", "path": "/spec/none"}]), "cannot be applied", id="missing"),
        pytest.param(JsonPatch([{"op": "remove", "path": "spec"}]), "cannot be applied", id="pointer"),
        pytest.param(JsonPatch([{"op": "add", "path": "/kind/x", "value": 0}]), "cannot be applied", id="text"),
        pytest.param(JsonPatch(["add"]), "cannot be applied", id="no-object"),
        pytest.param(JsonPatch([{}]), "cannot be applied", id="empty"),
        pytest.param(JsonPatch([{"op": "replace", "path": "", "value": []}]), "leaves no object", id="root"),
        pytest.param(JsonPatch([{"op": "test", "path": "", "value": 0}] * 1001), "at most 1000", id="many"),
    ],
)
@in_loop
async def test_a_patch_is_done_whole_or_not_at_all(setup: Setup, patch: JsonPatch, message: str) -> None:
    """Where one operation fails, those before it have not been done, either; the answer is 422."""
    async with setup.open() as store:
        before = await store.create(service())
        first: Document = {"op": "add", "path": "/spec/new", "value": 1}
        many = len(patch.operations) > 1000
        with pytest.raises(InvalidResource, match=message):
            await store.patch(key(), patch if many else JsonPatch([first, *patch.operations]))
        assert await store.get(key()) == before


@in_loop
async def test_a_patch_that_copies_itself_stays_bounded(setup: Setup) -> None:
    """Forty copies of the spec into itself would be 2⁴⁰ values; they end at the largest resource allowed."""
    async with setup.open(max_document=10_000) as store:
        await store.create(service())
        copies = [{"op": "copy", "from": "/spec", "path": f"/spec/{n}"} for n in range(40)]
        with pytest.raises((PayloadTooLarge, InvalidResource)):
            await store.patch(key(), JsonPatch(copies))


@pytest.mark.parametrize("patch", [MergePatch({"metadata": {"resourceVersion": "1"}})], ids=["merge"])
@in_loop
async def test_a_version_within_a_patch_is_a_precondition(setup: Setup, patch: Patch) -> None:
    """kubectl diff and optimistic writers send it there; without one a patch never conflicts."""
    async with setup.open() as store:
        await store.create(service())
        with pytest.raises(ResourceConflict):
            await store.patch(key(), patch)


@in_loop
async def test_a_status_can_be_patched(setup: Setup) -> None:
    """A patch of the status changes that alone, and one of the rest leaves it."""
    async with setup.open() as store:
        await store.create(service(spec={"a": 1}))
        both: Document = {"spec": {"a": 2}, "status": {"ready": True}}
        answer = await store.patch(key(), MergePatch(both), status=True)
        assert (answer["spec"], answer["status"]) == ({"a": 1}, {"ready": True})
        answer = await store.patch(key(), MergePatch({"spec": {"a": 3}, "status": None}))
        assert (answer["spec"], answer["status"]) == ({"a": 3}, {"ready": True})


@in_loop
async def test_documents_are_nobody_elses(setup: Setup) -> None:
    """A document that was sent is not changed, and what is done to one that was given changes nothing stored."""
    async with setup.open() as store:
        sent = service(spec={"a": [1]})
        before = copy.deepcopy(sent)
        given = await store.create(sent)
        assert sent == before
        given["spec"]["a"].append(2)
        sent["spec"]["a"].append(3)
        assert (await store.get(key()))["spec"] == {"a": [1]}


@pytest.mark.parametrize("how", ["create", "replace", "status", "patch", "delete", "finalize"])
@in_loop
async def test_a_dry_run_answers_and_does_nothing(setup: Setup, how: str) -> None:
    """The answer is the one of the real write, with the version from before, and nothing is stored or used up."""
    async with setup.open() as store:
        name = "new" if how == "create" else "iris"
        held = await store.create(service(finalizers=["a/b"] if how == "finalize" else []))
        calls: dict[str, Any] = {
            "create": lambda dry: store.create(service("new"), dry_run=dry),
            "replace": lambda dry: store.replace(service(spec={"x": 1}), dry_run=dry),
            "status": lambda dry: store.replace_status(service() | {"status": {"x": 1}}, dry_run=dry),
            "patch": lambda dry: store.patch(key(), MergePatch({"spec": {"x": 1}}), dry_run=dry),
            "delete": lambda dry: store.delete(key(), dry_run=dry),
            "finalize": lambda dry: store.delete(key(), dry_run=dry),
        }
        dry = await calls[how](True)
        assert (await store.list(KIND)).items == [held]
        assert await version(store) == 2
        real = await calls[how](False)
        assert real["metadata"].pop("resourceVersion") == "3"
        assert dry["metadata"].pop("resourceVersion", None) == (None if name == "new" else "2")
        dry["metadata"]["uid"] = real["metadata"]["uid"]  # of a new one it is made up each time
        assert dry == real


@in_loop
async def test_a_dry_run_is_refused_as_the_write_would_be(setup: Setup) -> None:
    """It tells what would go wrong."""
    async with setup.open() as store:
        await store.create(service())
        with pytest.raises(ResourceExists):
            await store.create(service(), dry_run=True)
        with pytest.raises(ResourceConflict):
            await store.replace(service(resourceVersion="1"), dry_run=True)


NESTED: dict[str, Any] = {}
for _ in range(100):
    NESTED = {"a": NESTED}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(service("Iris"), "metadata.name is 'Iris', expected lower case", id="name"),
        pytest.param(service(""), "metadata.name is '', expected", id="no-name"),
        pytest.param(service("a" * 254), "metadata.name has 254 characters, expected at most 253", id="long"),
        pytest.param(service("a/b"), "metadata.name is 'a/b', expected", id="slash"),
        pytest.param(service("a\n"), "metadata.name is 'a\\n', expected", id="newline"),
        pytest.param(service(namespace="a.b"), "metadata.namespace is 'a.b', expected at most 63", id="namespace"),
        pytest.param(service() | {"kind": 3}, "kind is '3', expected a name", id="kind"),
        pytest.param(service() | {"apiVersion": "x"}, "apiVersion is 'x', expected GROUP/VERSION", id="version"),
        pytest.param({"kind": "X", "apiVersion": "v1"}, "metadata is missing", id="metadata"),
        pytest.param(service(labels=["a"]), "metadata.labels is ['a'], expected an object of texts", id="labels"),
        pytest.param(service(labels={"a": 1}), "metadata.labels is {'a': 1}, expected an object", id="label"),
        pytest.param(service(annotations={"a": None}), "metadata.annotations is {'a': None}", id="annotation"),
        pytest.param(service(finalizers="x"), "metadata.finalizers is x, expected an array", id="finalizers"),
        pytest.param(service(ownerReferences=[{}]), "metadata.ownerReferences is [{}], expected", id="owners"),
        pytest.param(service(resourceVersion=3), "metadata.resourceVersion is 3, expected text", id="number"),
        pytest.param(service(spec={"a": [float("nan")]}), "spec.a[0] is nan, which JSON cannot hold", id="nan"),
        pytest.param(service(spec={"a": 2**63}), "spec.a is an integer of more than 64 bits", id="integer"),
        pytest.param(service(spec={"a": b""}), "spec.a is a bytes, which is no value of JSON", id="bytes"),
        pytest.param(service(spec={1: 2}), "spec has the key 1, expected text", id="key"),
        pytest.param(service(spec=NESTED), "the document is nested more than 64 levels deep", id="deep"),
        pytest.param(service(spec="\ud800"), "the document holds text with a lone surrogate", id="surrogate"),
        pytest.param([], "the document is a list, expected an object", id="list"),
    ],
)
@in_loop
async def test_what_cannot_be_kept_is_refused(setup: Setup, document: Document, message: str) -> None:
    """One clear sentence names the field, the value and what was expected; nothing is written."""
    async with setup.open() as store:
        with pytest.raises(InvalidResource) as caught:
            await store.create(document)
        assert caught.value.message.startswith(message)
        assert await version(store) == 1


@in_loop
async def test_a_resource_has_a_largest_size(setup: Setup) -> None:
    """One that is larger is refused with 413, also where a patch makes it so."""
    async with setup.open(max_document=1000) as store:
        await store.create(service())
        with pytest.raises(PayloadTooLarge, match=r"and at most 1000 are kept$"):
            await store.create(service("large", spec="x" * 1000))
        with pytest.raises(PayloadTooLarge):
            await store.patch(key(), MergePatch({"spec": {"x": "x" * 1000}}))


@in_loop
async def test_a_closed_store_says_so(setup: Setup) -> None:
    """Reads, writes and watches after the end are refused, and do not wait."""
    async with setup.open() as store:
        pass
    calls: list[Any] = [store.get(key()), store.create(service()), store.list(GroupKind("a", "B")), store.events()]
    for call in calls:
        with pytest.raises(ShuttingDown):
            await call
    with pytest.raises(ShuttingDown):
        await store.watch(KIND).__aenter__()


@in_loop
async def test_an_owner_is_there(setup: Setup) -> None:
    """A reference to an owner that is gone, or stands in another namespace, is refused: nobody would clean up."""
    async with setup.open() as store:
        owner = await store.create(service())
        for stray in (service("b", ownerReferences=[{"uid": "none"}]), service("b", namespace="x")):
            stray["metadata"].setdefault("ownerReferences", owned_by(owner))
            with pytest.raises(InvalidResource, match=r"names the uid '(none|uid-1)', which no resource that can own"):
                await store.create(stray)
        everywhere = await store.create(service("all", namespace=""))
        await store.create(service("b", ownerReferences=owned_by(owner, everywhere)))
