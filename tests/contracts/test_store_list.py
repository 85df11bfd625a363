"""What every store promises of lists: order, selection, pages of one instant."""

from __future__ import annotations

import base64

import pytest

from tidegate.protocol.errors import InvalidRequest, ResourceExpired
from tidegate.resources.document import Document, GroupKind
from tidegate.resources.selector import parse_selector
from tidegate.resources.store import ALL, MergePatch, Page, Query, Store
from tidegate.testing.stores import KIND, Setup, in_loop, key, service


def names(page: Page) -> list[str]:
    return [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in page.items]


async def pages(store: Store, query: Query, limit: int, page: Page) -> list[Document]:
    """A page's items, and those of the pages that follow."""
    items = list(page.items)
    while page.more is not None:
        page = await store.list(KIND, query, limit=limit, more=page.more)
        assert 0 < len(page.items) <= limit
        items += page.items
    return items


@in_loop
async def test_a_list_is_ordered(setup: Setup) -> None:
    """By namespace, then name; of one kind and group, of one namespace or all."""
    async with setup.open() as store:
        for namespace, name in (("b", "x"), ("a", "z"), ("a", "a"), ("b", "a-b")):
            await store.create(service(name, namespace=namespace))
        await store.create(service("other", namespace="a") | {"kind": "ServingRollout"})
        await store.create(service("other", namespace="a") | {"apiVersion": "serving.kserve.io/v1beta1"})
        page = await store.list(KIND)
        assert names(page) == ["a/a", "a/z", "b/a-b", "b/x"]
        assert (page.version, page.more) == ("7", None)
        assert names(await store.list(KIND, Query("a"))) == ["a/a", "a/z"]
        assert names(await store.list(KIND, Query("c"))) == []
        assert names(await store.list(GroupKind("tidegate.dev", "Nothing"))) == []


@in_loop
async def test_an_empty_store_has_a_version(setup: Setup) -> None:
    """It is not 0, which to a watch means none."""
    async with setup.open() as store:
        assert (await store.list(KIND)).version == "1"


@pytest.mark.parametrize(
    ("labels", "fields", "selected"),
    [
        ("", "", "abc"),
        ("team=x", "", "a"),
        ("team==x", "", "a"),
        ("team!=x", "", "bc"),
        ("team in (x, y)", "", "ab"),
        ("team notin (x,y)", "", "c"),
        ("team", "", "ab"),
        ("!team", "", "c"),
        ("team,tier=1", "", "b"),
        ("team in (x,y),tier!=1", "", "a"),
        ("", "metadata.name=b", "b"),
        ("", "metadata.name!=b", "ac"),
        ("team", "metadata.name!=b,metadata.namespace=default", "a"),
        ("team=", "", ""),
    ],
)
@in_loop
async def test_a_selector_selects(setup: Setup, labels: str, fields: str, selected: str) -> None:
    """Kubernetes' syntax and meaning, for labels and for name and namespace."""
    async with setup.open() as store:
        await store.create(service("a", labels={"team": "x"}))
        await store.create(service("b", labels={"team": "y", "tier": "1"}))
        await store.create(service("c"))
        page = await store.list(KIND, Query(selector=parse_selector(labels, fields)))
        assert names(page) == [f"default/{name}" for name in selected]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@in_loop
async def test_pages_make_up_the_list(setup: Setup, limit: int) -> None:
    """Each holds at most as many as asked, none is empty, and together they are the list."""
    async with setup.open() as store:
        for number in range(7):
            await store.create(service(f"s{number}", labels={"even": str(number % 2 == 0)}))
        for query in (ALL, Query("default"), Query(selector=parse_selector("even=True"))):
            whole = await store.list(KIND, query)
            assert await pages(store, query, limit, await store.list(KIND, query, limit=limit)) == whole.items


@in_loop
async def test_pages_show_one_instant(setup: Setup) -> None:
    """What is created, changed, deleted or relabelled between two pages is in none of the later ones as it is now."""
    async with setup.open() as store:
        for name in "abcdef":
            await store.create(service(name, labels={"in": "yes"}))
        query = Query(selector=parse_selector("in=yes"))
        whole = await store.list(KIND, query)
        first = await store.list(KIND, query, limit=2)
        await store.patch(key("c"), MergePatch({"spec": {"changed": 1}}))
        await store.patch(key("c"), MergePatch({"spec": {"changed": 2}}))
        await store.delete(key("d"))
        await store.patch(key("e"), MergePatch({"metadata": {"labels": None}}))
        await store.delete(key("f"))
        await store.create(service("f", labels={"in": "yes"}, spec={"successor": True}))
        await store.create(service("g", labels={"in": "yes"}))
        assert await pages(store, query, 2, first) == whole.items
        assert (await store.list(KIND, query, limit=2, more=first.more)).version == whole.version


@in_loop
async def test_an_instant_that_is_gone_is_410(setup: Setup) -> None:
    """Once the log has been pruned beyond the first page, the list must begin again; it does not show two instants."""
    async with setup.open(max_changes=3) as store:
        for name in "abc":
            await store.create(service(name))
        first = await store.list(KIND, limit=1)
        for number in range(4):
            await store.patch(key("a"), MergePatch({"spec": {"n": number}}))
        with pytest.raises(
            ResourceExpired, match=r"^resourceVersion 4 is too old, changes are kept since 5: list again$"
        ):
            await store.list(KIND, limit=1, more=first.more)


@in_loop
async def test_a_token_is_for_its_list(setup: Setup) -> None:
    """With another kind, namespace or selector it is refused, not answered with something odd."""
    async with setup.open() as store:
        for name in "ab":
            await store.create(service(name))
        first = await store.list(KIND, limit=1)
        for kind, query in (
            (KIND._replace(name="Other"), ALL),
            (KIND, Query("default")),
            (KIND, Query(selector=parse_selector("a"))),
        ):
            with pytest.raises(
                InvalidRequest, match=r"^continue is from a list of another kind, namespace or selector$"
            ):
                await store.list(kind, query, limit=1, more=first.more)


@pytest.mark.parametrize(
    "more",
    ["x", "é", "bm9uc2Vuc2U=", base64.urlsafe_b64encode(b'[1,"a"]').decode(), "[" * 10_000],
    ids=["letter", "accent", "nonsense", "short", "long"],
)
@in_loop
async def test_what_is_no_token_is_refused(setup: Setup, more: str) -> None:
    """Whatever a caller makes up is 400."""
    async with setup.open() as store:
        with pytest.raises(InvalidRequest, match=r"^continue is '"):
            await store.list(KIND, limit=1, more=more)


@in_loop
async def test_a_forged_token_reads_nothing_else(setup: Setup) -> None:
    """One of a version that never was is 410, like any other."""
    async with setup.open() as store:
        for name in "ab":
            await store.create(service(name))
        token = (await store.list(KIND, limit=1)).more
        assert token is not None
        for version in (b"[99999999999999999999", b"[99", b"[-5"):
            forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(token).replace(b"[3", version, 1)).decode()
            with pytest.raises((ResourceExpired, InvalidRequest)):
                await store.list(KIND, limit=1, more=forged)


@pytest.mark.parametrize("limit", [0, -1])
@in_loop
async def test_a_page_has_room(setup: Setup, limit: int) -> None:
    """A limit that is no count is refused."""
    async with setup.open() as store:
        with pytest.raises(InvalidRequest, match=rf"^limit is {limit}, expected a number of resources above 0$"):
            await store.list(KIND, limit=limit)
        with pytest.raises(InvalidRequest, match=rf"^limit is {limit}, expected a number of events above 0$"):
            await store.events(limit=limit)
