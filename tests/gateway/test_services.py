"""Services in the route table: which of their revisions a request is for, and which service it addresses."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.addressee import PLAIN, Asked, ServiceName, read_asked
from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Service
from tidegate.protocol.errors import (
    ModelNotFound,
    ModelNotReady,
    NotFound,
    RevisionNotFound,
    ServiceNotFound,
    TidegateError,
    VersionNotFound,
)
from tidegate.resources.traffic import Share, Traffic
from tidegate.testing.backends import identity_route, identity_service

IRIS = identity_service("iris", {2: 90, 5: 10}, running=[1], versions={1: "7", 2: "7", 5: "8"})
WINE = identity_service("wine", {3: 100}, namespace="team")
TABLE = RouteTable.of(identity_route("plain"), services=[IRIS, WINE])
NAME = ServiceName("default", "iris")
ANYBODY = Asked(chance=0.5)


def numbered(route_of: RouteTable, model: str, version: str = "", asked: Asked = ANYBODY) -> int:
    """The revision that a request is resolved to."""
    revision = route_of.resolve(model, version, asked).revision
    assert revision is not None
    return revision.number


@pytest.mark.parametrize(
    ("version", "asked", "number"),
    [
        pytest.param("", Asked(chance=0.89), 2, id="the-stable-share"),
        pytest.param("", Asked(chance=0.9), 5, id="the-canary's-share"),
        pytest.param("", PLAIN, 2, id="nothing-said"),
        pytest.param("8", ANYBODY, 5, id="a-model-version"),
        pytest.param("7", ANYBODY, 2, id="the-newest-with-a-model-version"),
        pytest.param("latest", ANYBODY, 5, id="latest"),
        pytest.param("prev", ANYBODY, 2, id="prev"),
        pytest.param("", Asked(revision="1"), 1, id="one-without-a-share"),
        pytest.param("7", Asked(revision="1"), 1, id="an-older-one-with-its-own-model-version"),
        pytest.param("latest", Asked(revision="5"), 5, id="one-by-number-and-tag"),
        pytest.param("", Asked(host="iris-default", revision="2"), 2, id="by-host-and-number"),
        pytest.param("", Asked(host="latest-iris-default"), 5, id="a-tag-in-the-host"),
        pytest.param(
            "", Asked(host="prev-iris-default", service=ServiceName("default", "iris")), 2, id="host-and-path"
        ),
        pytest.param("8", Asked(host="latest-iris-default", revision="5"), 5, id="all-that-mean-the-same"),
    ],
)
def test_a_revision_is_found(version: str, asked: Asked, number: int) -> None:
    """By share, model version, tag, number, host or path, and by several of them that agree."""
    assert numbered(TABLE, "iris", version, asked) == number


TAGGED = Asked(host="latest-iris-default")


def wish(revision: str) -> Asked:
    return Asked(revision=revision)


REFUSALS: list[tuple[str, str, Asked, type[TidegateError], str]] = [
    ("iris", "9", PLAIN, VersionNotFound, "model 'iris' has no version '9'; it has 7, 8, latest, prev"),
    ("iris", "", wish("4"), RevisionNotFound, "model 'iris' has no revision '4'; it runs 1, 2, 5"),
    ("iris", "", wish("two"), RevisionNotFound, "model 'iris' has no revision 'two'; it runs 1, 2, 5"),
    ("iris", "", wish(""), RevisionNotFound, "model 'iris' has no revision ''; it runs 1, 2, 5"),
    ("iris", "", wish("-1"), RevisionNotFound, "model 'iris' has no revision '-1'; it runs 1, 2, 5"),
    ("iris", "8", wish("2"), NotFound, "revision 2 of model 'iris' is not '8'; ask for one"),
    ("iris", "prev", TAGGED, NotFound, "revision 5 of model 'iris' is not 'prev'; ask for one"),
    ("iris", "7", TAGGED, NotFound, "revision 5 of model 'iris' is not '7'; ask for one"),
    (
        "iris", "", Asked(host="latest-iris-default", revision="2"), NotFound,
        "revision 2 of model 'iris' is not 'latest'; ask for one",
    ),
    ("wine", "", PLAIN, ModelNotFound, "model 'wine' is not found"),
    ("team/wine", "", PLAIN, ModelNotFound, "model 'team/wine' is not found"),
    (
        "iris", "", Asked(host="wine-team"), NotFound,
        "model 'iris' is not found: host or path are those of service team/wine",
    ),
    (
        "plain", "", Asked(service=ServiceName("team", "wine")), NotFound,
        "model 'plain' is not found: host or path are those of service team/wine",
    ),
    ("wine", "", Asked(service=ServiceName("team", "rose")), ServiceNotFound, "service 'team/rose' is not found"),
    (
        "wine", "", Asked(service=ServiceName("team", "wine"), host="iris-default"), NotFound,
        "host 'iris-default' is not that of service team/wine",
    ),
    (
        "plain", "", wish("1"), RevisionNotFound,
        "model 'plain' has no revision '1'; it is a model of the repository, and has none",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "version", "asked", "kind", "sentence"), REFUSALS)
def test_what_is_not_there_is_said(
    model: str, version: str, asked: Asked, kind: type[TidegateError], sentence: str
) -> None:
    """With 404, and what there is where that helps."""
    with pytest.raises(NotFound, match=f"^{re.escape(sentence)}$") as caught:
        TABLE.resolve(model, version, asked)
    assert type(caught.value) is kind


def test_a_number_of_many_digits_is_no_work() -> None:
    """Reading a million digits takes Python a second; a header can have some thousand of them."""
    with pytest.raises(RevisionNotFound):
        TABLE.resolve("iris", "", Asked(revision="9" * 50_000))


def test_other_names_are_as_without_services() -> None:
    """A model of the repository is found by name, at whatever host."""
    assert TABLE.resolve("plain", "1", ANYBODY).model == "plain"
    assert TABLE.resolve("plain", "", Asked(host="nobody-knows")).model == "plain"
    assert numbered(TABLE, "iris", "", Asked(host="127")) == 2


def test_a_service_goes_before_a_model_of_its_name() -> None:
    """Somebody has written down that it is to answer; the repository's is hidden from lists, too."""
    table = RouteTable.of(identity_route("iris"), identity_route("plain"), services=[IRIS])
    assert numbered(table, "iris") == 2
    assert table.names(PLAIN) == ["iris", "plain"]
    assert [(route.model, route.version) for route in table.several("", PLAIN)] == [
        ("iris", "1"), ("iris", "2"), ("iris", "5"), ("plain", "1"),
    ]  # fmt: skip


def test_a_service_that_answers_nothing_says_why() -> None:
    """503 for who asks for none in particular; a revision that runs without a share answers who asks for it."""
    table = RouteTable.of(services=[identity_service("iris", {}, running=[4], reason="revision 5 fails: no memory")])
    with pytest.raises(ModelNotReady, match=r"^model 'iris' is not ready: revision 5 fails: no memory$"):
        table.resolve("iris", "", ANYBODY)
    assert numbered(table, "iris", "", Asked(revision="4")) == 4
    assert numbered(table, "iris", "4") == 4


def test_a_service_without_revisions_says_why() -> None:
    """Also who asks for a version: it may come to be."""
    table = RouteTable.of(services=[identity_service("iris", {}, namespace="team", reason="it is being loaded")])
    asked = Asked(service=ServiceName("team", "iris"))
    for version in ("", "1", "latest"):
        with pytest.raises(ModelNotReady, match=r"^model 'team/iris' is not ready: it is being loaded$"):
            table.resolve("iris", version, asked)
    with pytest.raises(RevisionNotFound, match=r"^model 'team/iris' has no revision '1'; it is being loaded$"):
        table.resolve("iris", "", read_asked([(b"tidegate-revision", b"1")], ServiceName("team", "iris"), "", 0.0))


def test_the_rest_keeps_what_a_revision_that_is_gone_had() -> None:
    """Between a replica's end and what the reconciler makes of it nobody is refused."""
    whole = identity_service("iris", {1: 60, 2: 20, 3: 20})
    traffic = {1: 60, 2: 20}
    assert whole.split is not None
    assert (
        identity_service("iris", traffic).split
        == Service.of(_traffic(whole), {number: whole.revisions[number] for number in (1, 2)}).split
    )


def _traffic(service: Service) -> Traffic:
    return Traffic(*service.name, tuple(Share(n, p) for n, p in {1: 60, 2: 20, 3: 20}.items()), (1, 2, 3))


def test_a_share_of_nothing_is_none() -> None:
    """A canary that is held back at 0 % costs nobody a hash."""
    split = identity_service("iris", {1: 100, 2: 0}).split
    assert split is not None
    assert split.revisions == (1,)
    assert identity_service("iris", {1: 0}, reason="held back").split is None


def test_hyphens_in_names_are_no_borders() -> None:
    """A host is looked up as a whole, not taken apart."""
    one = identity_service("a-b", {1: 100}, namespace="c")
    other = identity_service("b", {2: 100}, namespace="c-d")
    table = RouteTable.of(services=[one, other])
    assert numbered(table, "a-b", "", Asked(host="a-b-c")) == 1
    assert numbered(table, "b", "", Asked(host="b-c-d")) == 2
    assert numbered(table, "b", "", Asked(host="latest-b-c-d")) == 2


def test_a_host_of_two_services_is_nobodys() -> None:
    """It is said how to ask for each: nobody gets another's requests by a name chosen well."""
    table = RouteTable.of(
        services=[
            identity_service("a-b", {1: 100}, namespace="c"),
            identity_service("a", {2: 100}, namespace="b-c"),
        ]
    )
    with pytest.raises(
        NotFound, match=r"^host 'a-b-c' can be that of several services; ask under /serving/b-c/a and /serving/c/a-b$"
    ):
        table.resolve("a", "", Asked(host="a-b-c"))
    assert numbered(table, "a", "", Asked(host="a-b-c", service=ServiceName("b-c", "a"))) == 2


def test_a_name_that_begins_like_a_tag_is_a_name() -> None:
    """A service goes before a revision of another one."""
    table = RouteTable.of(services=[identity_service("iris", {1: 100}), identity_service("latest-iris", {2: 100})])
    assert numbered(table, "latest-iris", "", Asked(host="latest-iris-default")) == 2


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        pytest.param([(b"host", b"iris-team.example.com")], "iris-team", id="a-domain"),
        pytest.param([(b"host", b"Iris-Team.Example.Com:8080")], "iris-team", id="any-case,-with-a-port"),
        pytest.param([(b"host", b"iris-team:8080")], "iris-team", id="a-port-alone"),
        pytest.param([(b"host", b"127.0.0.1:8080")], "127", id="an-address"),
        pytest.param([(b"host", b"[::1]:8080")], "[", id="an-address-of-version-6"),
        pytest.param([(b"host", b"")], "", id="empty"),
        pytest.param([], "", id="none"),
        pytest.param(
            [(b":authority", b"iris-team.svc"), (b"host", b"else-where")], "iris-team", id="http/2's-own-first"
        ),
        pytest.param([(b"host", b"iris-team\xff.x")], "iris-teamÿ", id="no-text"),
    ],
)
def test_the_host_is_read(headers: list[tuple[bytes, bytes]], host: str) -> None:
    """Its first label, whatever comes after it."""
    assert read_asked(headers, None, "", 0.0).host == host


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        pytest.param(Asked([(b"x-user", b"u"), (b"x-request-id", b"r")], request_id="m"), b"u", id="the-sticky-header"),
        pytest.param(Asked([(b"x-user", b""), (b"x-request-id", b"r")]), b"r", id="an-empty-one-is-none"),
        pytest.param(Asked([(b"x-request-id", b"r")], request_id="m"), b"r", id="the-request's-header"),
        pytest.param(Asked([(b"accept", b"*/*")], request_id="m"), b"m", id="the-message's-id"),
        pytest.param(Asked([(b"x-user", b"u"), (b"x-user", b"v")]), b"u", id="the-first-of-two"),
        pytest.param(PLAIN, b"", id="nothing"),
    ],
)
def test_a_caller_is_told_apart(asked: Asked, key: bytes) -> None:
    """By the service's header, or else by the request's id."""
    assert asked.key(b"x-user") == key


@given(st.binary(min_size=1, max_size=20), st.floats(0, 1, exclude_max=True), st.integers(10, 50))
def test_a_key_keeps_its_revision(key: bytes, chance: float, grown: int) -> None:
    """Chance has no part in it, and once in the canary a caller stays in it while it grows."""
    asked = Asked([(b"x-user", key)], chance=chance)
    tables = [
        RouteTable.of(services=[identity_service("m", {1: 100 - share, 2: share}, sticky="X-User")])
        for share in (10, grown)
    ]
    first, then = (numbered(table, "m", "", asked) for table in tables)
    assert first == numbered(tables[0], "m", "", Asked([(b"x-user", key)]))
    assert then == 2 or first == 1


def test_a_new_salt_chooses_anew() -> None:
    """So that it is not always the same callers who get what is new."""
    users = [Asked([(b"x-user", b"%d" % number)]) for number in range(200)]
    chosen = []
    for salt in ("1", "2"):
        table = RouteTable.of(services=[identity_service("m", {1: 50, 2: 50}, sticky="x-user", salt=salt)])
        chosen.append([numbered(table, "m", "", user) for user in users])
    assert chosen[0] != chosen[1]
