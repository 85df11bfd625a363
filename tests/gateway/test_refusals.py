"""What is wrong with a credential shows in no answer: all of them are one, over HTTP and over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.gateway.access import Access
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.key import Key, hash_of, secret_of
from tidegate.identity.key_file import changing
from tidegate.identity.key_ring import ApiKeys, Certificates, KeyRing
from tidegate.identity.key_set import KeyFile, KeySet
from tidegate.identity.settings import TokenSettings
from tidegate.identity.tokens import Tokens
from tidegate.protocol.errors import GrpcStatus, Unauthenticated
from tidegate.testing.backends import identity_route
from tidegate.testing.issuer import Issuer, forged
from tidegate.testing.requests import BODY
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import RawHttp2, served_grpc

NOW = 1_800_000_000.0
ISSUER = Issuer("https://issuer.example", "tidegate", NOW)
GOOD = secret_of("0123456789ab", bytes(32))
OLD = secret_of("ba9876543210", bytes(32))

REFUSED = {
    **{name: f"Bearer {token}" for name, token in forged(ISSUER).items()},
    "an unknown key": f"Bearer {secret_of('ffffffffffff', bytes(32))}",
    "a wrong key": f"Bearer {secret_of('0123456789ab', bytes(range(32)))}",
    "an expired key": f"Bearer {OLD}",
    "a cut key": f"Bearer {GOOD[:-1]}",
    "an oversized token": f"Bearer {ISSUER.token(padding='x' * 8192)}",
    "a good key in another scheme": f"Basic {GOOD}",
    "a good key without a scheme": GOOD,
    "nothing": "Bearer ",
    "two good keys": f"Bearer {GOOD}, Bearer {GOOD}",
    "used before": "",
}


def access(tmp: Path, *, one_time: bool = False) -> Access:
    """Certificates, tokens and keys, as a server has them."""
    path = tmp / "keys.json"
    with changing(path) as held:
        held[:] = [
            Key(id="0123456789ab", name="ann", hash=hash_of(GOOD), scopes=("infer:*",)),
            Key(id="ba9876543210", name="bob", hash=hash_of(OLD), scopes=("infer:*",), expires=NOW),
        ]
    (tmp / "jwks.json").write_bytes(ISSUER.key_set())
    settings = TokenSettings(
        issuer=ISSUER.name, audience="tidegate", keys=str(tmp / "jwks.json"), one_time=one_time, refresh_pause=1e9
    )
    key_set = KeySet(KeyFile(tmp / "jwks.json"), settings, lambda: 0.0)
    asyncio.run(key_set.load())
    ring = KeyRing(path, now=lambda: NOW)
    return Access(Authenticator(Certificates(ring), Tokens(settings, key_set, now=lambda: NOW), ApiKeys(ring)))


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(identity_route("m"), access=access(tmp_path_factory.mktemp("http"), one_time=True)) as running:
        yield running


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_grpc(identity_route("m"), access=access(tmp_path_factory.mktemp("rpc"), one_time=True)) as running:
        yield running


def post(server: Served, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
    """Everything of one answer."""
    shown = b"" if authorization is None else b"Authorization: %s\r\n" % authorization.encode()
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n"
    answer = server.ask(head % (shown, len(BODY)) + BODY)
    return answer.status, answer.headers, answer.body


def call(server: Served, authorization: str | None) -> tuple[dict[str, str], bytes]:
    with RawHttp2(server.port) as connection:
        path = "/inference.GRPCInferenceService/ModelMetadata"
        answer = connection.call(1, b"\x0a\x01m", {":path": path, "authorization": authorization})
    return answer.headers, answer.body


def test_the_good_ones_are_let_in(http: Served, rpc: Served) -> None:
    """Else all refusals would be alike for another reason."""
    for number, good in enumerate((GOOD, ISSUER.token(jti="h"))):
        assert post(http, f"Bearer {good}")[0] == 200, number
    for good in (GOOD, ISSUER.token(jti="g")):
        assert call(rpc, f"Bearer {good}")[0]["grpc-status"] == "0"


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_credential_is_answered_as_none_is(http: Served, rpc: Served, name: str) -> None:
    """The status, every header and every byte of the body."""
    bad = REFUSED[name] or f"Bearer {ISSUER.token(jti='used')}"
    if name == "used before":
        assert post(http, bad)[0] == 200
        assert call(rpc, bad)[0]["grpc-status"] == "0"
    answer = post(http, bad)
    assert answer == post(http, None)
    assert answer[0] == 401
    assert answer[1]["www-authenticate"] == "Bearer"
    assert Unauthenticated().message.encode() in answer[2]
    told = call(rpc, bad)
    assert told == call(rpc, None)
    assert told[0]["grpc-status"] == str(int(GrpcStatus.UNAUTHENTICATED))


def test_a_refusal_comes_before_the_name_of_the_model(http: Served, rpc: Served) -> None:
    """Whoever is nobody learns of no name whether it is one."""
    with http.connect() as connection:
        answers = []
        for model in (b"m", b"none"):
            connection.send(b"GET /v2/models/%s HTTP/1.1\r\nHost: x\r\n\r\n" % model)
            answers.append(connection.reply())
    assert answers[0] == answers[1]
    with RawHttp2(rpc.port) as grpc:
        path = "/inference.GRPCInferenceService/ModelMetadata"
        first = grpc.call(1, b"\x0a\x01m", {":path": path})
        assert first == grpc.call(3, b"\x0a\x04none", {":path": path})
        assert first.status is GrpcStatus.UNAUTHENTICATED


def test_refusals_are_counted(http: Served, rpc: Served) -> None:
    """As those of no model: who is refused names what he likes."""
    sample = http.plane.metrics.registry.get_sample_value
    labels = {"protocol": "http", "code": "401"}
    before = sample("tidegate_refused_requests_total", labels) or 0.0
    post(http, None)
    assert sample("tidegate_refused_requests_total", labels) == before + 1


def test_a_body_of_somebody_unknown_is_not_read(http: Served) -> None:
    """The answer comes before it."""
    with http.connect() as connection:
        connection.send(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        reply = connection.reply()
        assert (reply.status, reply.closes) == (401, True)
