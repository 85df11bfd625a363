"""Who may do what at the admin port, what is written down of it, and how he asks."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidegate.control.api.application import ResourceApi
from tidegate.control.api.audit import FILE, AuditLog, AuditSettings, Record
from tidegate.control.api.door import LocalDoor, TokenDoor
from tidegate.control.api.protobuf import MAGIC, byte_fields
from tidegate.control.api.reviews import ACCESS, SELF
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.document import Document
from tidegate.testing.api import (
    INFERENCE_SERVICES,
    MERGE,
    SERVICES,
    Api,
    OpenDoor,
    Records,
    in_virtual_time,
    inference_service,
    model_service,
)
from tidegate.testing.store import MemoryStore
from tidegate.testing.stores import in_loop

IRIS = f"{SERVICES}/iris"
NAMESPACES = "/api/v1/namespaces"
RUNTIMES = "/apis/serving.kserve.io/v1alpha1/clusterservingruntimes"
LABEL = {"metadata": {"labels": {"a": "b"}}}
NOBODY: Role | None = None
VIEW, EDIT, ADMIN = Role.VIEW, Role.EDIT, Role.ADMIN
ROLES = (NOBODY, *Role)

TABLE: list[tuple[str, str, Any, str | None, Role | None]] = [
    # method, path, body, type, the least role
    ("GET", "/version", None, None, NOBODY),
    ("GET", "/apis", None, None, NOBODY),
    ("GET", SERVICES, None, None, VIEW),
    ("GET", IRIS, None, None, VIEW),
    ("GET", f"{IRIS}/scale", None, None, VIEW),
    ("GET", f"{SERVICES}?watch=true&timeoutSeconds=1", None, None, VIEW),
    ("GET", f"{NAMESPACES}/default/events", None, None, VIEW),
    ("GET", NAMESPACES, None, None, VIEW),
    ("POST", SERVICES, model_service("rose"), None, EDIT),
    ("PUT", IRIS, model_service(), None, EDIT),
    ("PATCH", IRIS, LABEL, MERGE, EDIT),
    ("PATCH", f"{IRIS}/scale", {"spec": {"replicas": 2}}, MERGE, EDIT),
    ("DELETE", IRIS, None, None, EDIT),
    ("DELETE", SERVICES, None, None, EDIT),
    ("PUT", f"{IRIS}/status", {"status": {}}, None, ADMIN),
    ("PATCH", f"{IRIS}/status", {"status": {}}, MERGE, ADMIN),
    ("POST", NAMESPACES, {"metadata": {"name": "team"}}, None, ADMIN),
    ("PATCH", f"{NAMESPACES}/default", LABEL, MERGE, ADMIN),
    ("DELETE", f"{NAMESPACES}/none", None, None, ADMIN),
    ("DELETE", f"{RUNTIMES}/none", None, None, ADMIN),
]


@pytest.mark.parametrize("has", ROLES, ids=str)
@pytest.mark.parametrize(("method", "path", "body", "kind", "needed"), TABLE, ids=lambda value: str(value)[:60])
@in_virtual_time
async def test_each_role_may_what_it_is_for(
    method: str, path: str, body: object, kind: str | None, needed: Role | None, has: Role | None
) -> None:
    """And is refused the rest, with 403 and the role that it takes."""
    door = OpenDoor()
    async with Api.open(door=door) as api:
        await api.made(model_service())
        door.identity = Identity("ann", Proof.KEY, role=has)
        reply = await api.ask(method, path, body, kind=kind or "application/json")
        if ROLES.index(has) >= ROLES.index(needed):
            assert reply.status_code in (200, 201, 404)
            return
        assert (reply.status_code, reply.json()["reason"]) == (403, "Forbidden")
        has_told = f"has the role {has}" if has else "has no role here"
        assert reply.json()["message"].startswith(f"'ann' {has_told}, and cannot ")
        assert reply.json()["message"].endswith(f"that takes the role {needed}")


class OneToken:
    """Recognises one token."""

    async def recognise(self, credentials: Credentials) -> Identity | None:
        return Identity("ann", Proof.KEY, role=Role.VIEW) if credentials.token == "good" else None


@in_loop
async def test_without_a_good_token_everything_is_401() -> None:
    """Discovery and what is not there, too; and it says how to ask."""
    async with Api.open(door=TokenDoor(Authenticator(OneToken()))) as api:
        for path in ("/version", "/apis", SERVICES, "/nope"):
            for headers in ({}, {"authorization": "Bearer bad"}):
                reply = await api.ask("GET", path, **headers)
                assert (reply.status_code, reply.json()["reason"]) == (401, "Unauthorized")
                assert reply.headers["www-authenticate"] == "Bearer"
        assert (await api.ask("GET", SERVICES, authorization="Bearer good")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"host": "127.0.0.1:8082"}, 200),
        ({"host": "[::1]:8082"}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "127.9.9.9:1"}, 200),
        ({"host": "rebound.example.org"}, 403),
        ({"host": "rebound.example.org:8082"}, 403),
        ({"host": "10.0.0.1:8082"}, 403),
        ({"host": "localhost.example.org"}, 403),
        ({"origin": "http://localhost:8082"}, 200),
        ({"origin": "http://example.org"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
    ],
)
@in_loop
async def test_without_tokens_only_this_machine_is_let_in(headers: dict[str, str], code: int) -> None:
    """A browser that was led here by another page or another name is not."""
    async with Api.open(door=LocalDoor()) as api:
        assert (await api.ask("GET", SERVICES, **headers)).status_code == code


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@in_loop
async def test_every_attempt_to_change_something_is_written_down() -> None:
    """Who, what, the versions before and after, and what came of it; reads are not."""
    async with Api.open() as api:
        await api.made(model_service())
        await api.ask("PATCH", f"{IRIS}?fieldManager=me", LABEL, kind=MERGE)
        await api.ask("PUT", IRIS, model_service(minReplicas=-1))
        await api.ask("PATCH", f"{IRIS}/scale", {"spec": {"replicas": 2}}, kind=MERGE)
        await api.ask("DELETE", IRIS)
        await api.ask("DELETE", IRIS)
        await api.got(SERVICES)
        assert [
            (record.verb, record.resource, record.name, record.before, record.after, record.code, record.reason)
            for record in api.audit.written
        ] == [
            ("create", "modelservices", "iris", "", "3", 201, ""),
            ("patch", "modelservices", "iris", "3", "4", 200, ""),
            ("update", "modelservices", "iris", "", "", 422, "Invalid"),
            ("patch", "modelservices/scale", "iris", "4", "5", 200, ""),
            ("delete", "modelservices", "iris", "", "6", 200, ""),
            ("delete", "modelservices", "iris", "", "", 404, "NotFound"),
        ]
        first = api.audit.written[0]
        assert (first.identity, first.group, first.namespace, first.address) == (
            "place:local",
            "tidegate.dev",
            "default",
            "127.0.0.1",
        )
        assert first.time == "2027-01-15T08:00:00.000+00:00"
        assert api.audit.written[1].manager == "me"


@in_loop
async def test_a_deleted_collection_is_written_down_one_by_one() -> None:
    """Each with its name."""
    async with Api.open() as api:
        for name in ("a", "b"):
            await api.made(model_service(name))
        await api.ask("DELETE", SERVICES)
        await api.ask("DELETE", SERVICES)
        found = [(record.verb, record.name, record.after) for record in api.audit.written[2:]]
        assert found == [("deletecollection", "a", "5"), ("deletecollection", "b", "6"), ("deletecollection", "", "")]


@in_loop
async def test_a_refused_creation_is_written_down_with_the_name_that_was_wanted() -> None:
    """As far as there is one."""
    async with Api.open() as api:
        await api.ask("POST", SERVICES, model_service("Wrong"))
        await api.ask("POST", SERVICES, b"{")
        assert [(record.name, record.reason) for record in api.audit.written] == [
            ("Wrong", "Invalid"),
            ("", "BadRequest"),
        ]


@in_loop
async def test_whoever_hangs_up_is_written_down() -> None:
    """His change may have been made: the store does not break off what it has begun."""

    class Slow(MemoryStore):
        async def create(self, document: Document, *, dry_run: bool = False) -> Document:
            made = await super().create(document, dry_run=dry_run)
            if document["kind"] == "ModelService":
                begun.set()
                await asyncio.Event().wait()
            return made

    begun = asyncio.Event()
    audit = Records()
    app = ResourceApi(Slow(), door=OpenDoor(), audit=audit)
    await app.prepare()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
        for query in ("", "?dryRun=All"):
            begun.clear()
            asking = asyncio.create_task(client.post(SERVICES + query, json=model_service("b" if query else "a")))
            await begun.wait()
            asking.cancel()
            await asyncio.wait({asking})
            assert asking.cancelled()
    assert [(each.verb, each.name, each.code, each.reason) for each in audit.written] == [
        ("create", "a", 499, "Cancelled")
    ]


def test_the_audit_log_is_private_and_rotated(tmp_path: Path) -> None:
    """Lines of JSON without what is empty, in files that only this user can read."""
    log = AuditLog(tmp_path, AuditSettings(max_bytes=300, files=2))
    for number in range(20):
        log.write(Record(time="t", identity="key:ann", verb="create", resource="modelservices", code=201 + number))
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, f"{FILE}.1", f"{FILE}.2"]
    assert lines(tmp_path / FILE)[-1] == {
        "time": "t",
        "identity": "key:ann",
        "verb": "create",
        "resource": "modelservices",
        "code": 220,
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_an_audit_log_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be written is in the log."""
    log = AuditLog(tmp_path / "gone")
    log.write(Record(time="t", identity="key:ann", verb="create", resource="modelservices", code=201))
    log.close()
    assert '"identity":"key:ann"' in caplog.text


@pytest.mark.parametrize(("has", "allowed"), [(Role.VIEW, False), (Role.EDIT, True), (None, False)])
@in_loop
async def test_callers_can_ask_whether_they_may(has: Role | None, allowed: bool) -> None:
    """In JSON, and in the protobuf that kubectl auth can-i sends whatever it is told."""
    async with Api.open(door=OpenDoor(Identity("ann", Proof.KEY, role=has))) as api:
        attributes = {"verb": "delete", "group": "tidegate.dev", "resource": "modelservices"}
        reply = await api.ask("POST", ACCESS, {"spec": {"resourceAttributes": attributes}})
        assert (reply.status_code, reply.json()["status"]["allowed"]) == (201, allowed)
        fields = field(2, b"delete") + field(3, b"tidegate.dev") + field(5, b"modelservices")
        message = field(1, b"\n\x00") + field(2, field(1, fields))
        body = MAGIC + field(1, b"x") + field(2, message) + b"\x18\x01"
        kind = "application/vnd.kubernetes.protobuf"
        asked = (await api.ask("POST", ACCESS, body, kind=kind)).json()
        assert (asked["status"]["allowed"], asked["spec"]["resourceAttributes"]) == (allowed, attributes)
        status = {"resourceAttributes": {**attributes, "verb": "patch", "subresource": "status"}}
        assert not (await api.ask("POST", ACCESS, {"spec": status})).json()["status"]["allowed"]
        assert (await api.ask("POST", ACCESS, {})).status_code == 400
        assert (await api.ask("GET", ACCESS)).status_code == 405


@in_loop
async def test_callers_can_ask_who_they_are() -> None:
    """kubectl auth whoami."""
    async with Api.open(door=OpenDoor(Identity("ann", Proof.KEY, role=Role.EDIT))) as api:
        reply = await api.ask("POST", SELF, b"k8s\x00", kind="application/vnd.kubernetes.protobuf")
        assert reply.json()["status"]["userInfo"] == {"username": "ann", "groups": ["tidegate:edit"]}


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05ab", b"\x80" * 11, b"\x0b", b"\x0d\x00"])
def test_what_is_no_protobuf_is_refused(message: bytes) -> None:
    """Cut short, or of a kind that there is not."""
    with pytest.raises(InvalidRequest, match="no"):
        byte_fields(message)


@in_loop
async def test_a_fault_of_ours_is_a_status_too(caplog: pytest.LogCaptureFixture) -> None:
    """500, with the cause in the log and not in the answer."""
    async with Api.open() as api:
        await api.made(inference_service(), INFERENCE_SERVICES)
        api.store._ledger = None  # type: ignore[assignment]
        for method, body in (("GET", None), ("DELETE", None)):
            reply = await api.ask(method, f"{INFERENCE_SERVICES}/iris", body)
            assert (reply.status_code, reply.json()["reason"]) == (500, "InternalError")
            assert "Traceback" in caplog.text
            assert "NoneType" not in reply.text
        assert api.audit.written[-1].code == 500
