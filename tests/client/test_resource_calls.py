"""The messages of the resource API, as Kubernetes' conventions have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from tidegate.client.http_calls import HttpAnswer, HttpMessage
from tidegate.client.resource_calls import ResourceCalls, Selection
from tidegate.client.resource_type import EVENTS, NAMESPACES, ResourceType, read_discovery
from tidegate.protocol.errors import InvalidResponse, ResourceExpired

SERVICES = ResourceType("tidegate.dev", "v1", "modelservices", "ModelService")
IRIS = {"metadata": {"name": "iris"}, "spec": {}}
CALLS = ResourceCalls({"authorization": "Bearer t"})


def answer(document: Any, status: int = 200, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, "", headers, msgspec.json.encode(document))


def sent(message: HttpMessage) -> tuple[str, str, dict[str, str]]:
    """Method, path and query."""
    parts = urlsplit(message.path)
    return message.method, parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()}


BASE = "/apis/tidegate.dev/v1/namespaces/n/modelservices"
WRITE = {"fieldManager": "tidegate", "fieldValidation": "Warn"}


@pytest.mark.parametrize(
    ("exchange", "method", "path", "query", "form"),
    [
        pytest.param(CALLS.get(SERVICES, "iris", "n", False), "GET", f"{BASE}/iris", {}, None, id="get"),
        pytest.param(CALLS.get(NAMESPACES, "n", "", False), "GET", "/api/v1/namespaces/n", {}, None, id="get-core"),
        pytest.param(
            CALLS.list(SERVICES, Selection(labels="a in (b,c)"), 500, "token", True),
            "GET",
            "/apis/tidegate.dev/v1/modelservices",
            {"labelSelector": "a in (b,c)", "limit": "500", "continue": "token"},
            None,
            id="list-everywhere",
        ),
        pytest.param(
            CALLS.watch(SERVICES, Selection("n", fields="metadata.name=iris"), "7", False),
            "GET",
            BASE,
            {
                "fieldSelector": "metadata.name=iris",
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": "7",
            },
            None,
            id="watch",
        ),
        pytest.param(
            CALLS.create(SERVICES, IRIS, "n", True),
            "POST",
            BASE,
            {**WRITE, "dryRun": "All"},
            "application/json",
            id="create",
        ),
        pytest.param(
            CALLS.replace(SERVICES, IRIS, "n", "me", False),
            "PUT",
            f"{BASE}/iris",
            {**WRITE, "fieldManager": "me"},
            "application/json",
            id="replace",
        ),
        pytest.param(
            CALLS.patch(SERVICES, "iris", {"spec": None}, "n", "status", "tidegate", False),
            "PATCH",
            f"{BASE}/iris/status",
            WRITE,
            "application/merge-patch+json",
            id="merge",
        ),
        pytest.param(
            CALLS.patch(SERVICES, "iris", [], "n", "", "tidegate", False),
            "PATCH",
            f"{BASE}/iris",
            WRITE,
            "application/json-patch+json",
            id="json-patch",
        ),
        pytest.param(
            CALLS.apply(SERVICES, IRIS, "n", True, False),
            "PATCH",
            f"{BASE}/iris",
            {**WRITE, "force": "true"},
            "application/apply-patch+yaml",
            id="apply",
        ),
        pytest.param(
            CALLS.logs("iris", "n", 2, 0, True),
            "GET",
            "/tidegate/v1/namespaces/n/services/iris/logs",
            {"revision": "2", "tail": "0", "follow": "true"},
            None,
            id="logs",
        ),
        pytest.param(
            CALLS.occurrences("n", "", 0, None, True),
            "GET",
            "/tidegate/v1/namespaces/n/cloudevents",
            {"tail": "0", "follow": "true"},
            None,
            id="cloudevents",
        ),
        pytest.param(
            CALLS.occurrences("", "000000000007", 5, 3, False),
            "GET",
            "/tidegate/v1/cloudevents",
            {"since": "000000000007", "limit": "3"},
            None,
            id="cloudevents-of-all",
        ),
        pytest.param(
            CALLS.try_channels("iris", "n", 0),
            "POST",
            "/tidegate/v1/namespaces/n/services/iris/notify/test",
            {"channel": "0"},
            "application/json",
            id="notify-test",
        ),
        pytest.param(CALLS.scale(SERVICES, "iris", "n"), "GET", f"{BASE}/iris/scale", {}, None, id="scale"),
    ],
)
def test_a_call_is_this_message(exchange: Any, method: str, path: str, query: dict[str, str], form: str | None) -> None:
    """With the headers of the settings."""
    message = exchange.message(1.0)
    assert sent(message) == (method, path, query)
    assert message.headers.get("content-type") == form
    assert message.headers["authorization"] == "Bearer t"


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    """Whatever somebody types."""
    assert SERVICES.path("a/b", "../c?x", "scale") == (
        "/apis/tidegate.dev/v1/namespaces/a%2Fb/modelservices/..%2Fc%3Fx/scale"
    )


def test_a_deletion_says_what_it_is_for() -> None:
    """A resource that was made anew meanwhile is not the one that was meant."""
    message = CALLS.delete(SERVICES, "iris", "n", "Orphan", "uid-1", "", False).message(1.0)
    assert msgspec.json.decode(message.body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Orphan",
        "preconditions": {"uid": "uid-1"},
    }


@pytest.mark.parametrize(
    ("exchange", "idempotent"),
    [
        (CALLS.create(SERVICES, IRIS, "n", False), False),
        (CALLS.patch(SERVICES, "iris", [], "n", "", "m", False), False),
        (CALLS.delete(SERVICES, "iris", "n", "Background", "", "", False), False),
        (CALLS.apply(SERVICES, IRIS, "n", False, False), True),
        (CALLS.get(SERVICES, "iris", "n", False), True),
    ],
    ids=["create", "patch", "delete", "apply", "get"],
)
def test_only_what_is_the_same_twice_is_sent_twice(exchange: Any, idempotent: bool) -> None:
    """A second creation would be told that there is one already."""
    assert exchange.idempotent is idempotent


def test_items_of_a_list_are_whole_documents() -> None:
    """In a list Kubernetes leaves out what all of them are."""
    body = {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelServiceList",
        "metadata": {"resourceVersion": "5", "continue": "next"},
        "items": [{"metadata": {"name": "a"}}],
    }
    listing = CALLS.list(SERVICES, Selection(), 1, "", False).read(answer(body))
    assert listing.items == [{"apiVersion": "tidegate.dev/v1", "kind": "ModelService", "metadata": {"name": "a"}}]
    assert (listing.version, listing.more) == ("5", "next")


def test_each_row_of_a_table_is_a_table() -> None:
    """As a watch gives them, so that both are shown by the same code."""
    head = {"kind": "Table", "metadata": {"resourceVersion": "5"}, "columnDefinitions": [{"name": "Name"}]}
    rows = [{"cells": ["a"]}, {"cells": ["b"]}]
    listing = CALLS.list(SERVICES, Selection(), 0, "", True).read(answer({**head, "rows": rows}))
    assert listing.items == [{**head, "rows": [row]} for row in rows]


def test_warnings_of_a_write_are_told() -> None:
    """They stand in headers, in quotes."""
    warning = '299 - "spec.a is not honoured", 299 - "say \\"b\\""'
    written = CALLS.create(SERVICES, IRIS, "n", False).read(answer(IRIS, 201, warning=warning))
    assert (written.created, written.warnings) == (True, ("spec.a is not honoured", 'say "b"'))


def test_an_error_in_a_watch_is_raised() -> None:
    """It comes with status 200 before it."""
    event = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    with pytest.raises(ResourceExpired, match=r"^too old$"):
        CALLS.watch(EVENTS, Selection(), "1", False).read(answer(event))


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (CALLS.version().read, b"<html>"),
        (CALLS.version().read, b"[]"),
        (CALLS.watch(EVENTS, Selection(), "1", False).read, b'{"type": "ADDED"}'),
        (CALLS.logs("a", "n", None, None, False).read, b'{"line": 1}'),
        (CALLS.occurrences("", "", None, None, False).read, b'{"id": "1"}'),
        (CALLS.try_channels("a", "n", None).read, b'{"channels": [{"channel": 0}]}'),
        (CALLS.try_channels("a", "n", None).read, b"{}"),
        (CALLS.discover("/apis").read, b'{"items": [{}]}'),
        (CALLS.discover("/apis").read, b'{"groups": []}'),
    ],
)
def test_an_answer_that_is_none_is_refused(read: Callable[[HttpAnswer], object], body: bytes) -> None:
    """Another server's page cannot be taken for an empty list."""
    with pytest.raises(InvalidResponse):
        read(HttpAnswer(200, "OK", {}, body))


def test_discovery_tells_types() -> None:
    """Each in the version that the server prefers, which is its first."""
    resource = {
        "resource": "widgets",
        "responseKind": {"kind": "Widget"},
        "scope": "Cluster",
        "shortNames": ["w"],
        "categories": ["all"],
    }
    other = resource | {"resource": "gadgets", "responseKind": {"kind": "Gadget"}, "scope": "Namespaced"}
    versions = [{"version": "v2", "resources": [resource]}, {"version": "v1", "resources": [resource, other]}]
    found = list(read_discovery({"items": [{"metadata": {"name": "x.dev"}, "versions": versions}]}))
    assert found == [
        ResourceType("x.dev", "v2", "widgets", "Widget", False, ("w",), ("all",)),
        ResourceType("x.dev", "v1", "gadgets", "Gadget", True, ("w",), ("all",)),
    ]
