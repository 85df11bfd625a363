"""Encrypted listeners, and callers who show a certificate."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import uvloop

from tidegate.client import Client, ClientSettings
from tidegate.gateway.access import Access
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.key import Key
from tidegate.identity.key_file import changing
from tidegate.identity.key_ring import Certificates, KeyRing
from tidegate.identity.settings import TlsSettings, Unusable
from tidegate.identity.tls import HTTP_1, HTTP_2, server_context
from tidegate.protocol.errors import GrpcStatus, Unauthenticated
from tidegate.testing.backends import identity_route
from tidegate.testing.certificates import Authority
from tidegate.testing.requests import BODY
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import served_grpc

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
ANN = "spiffe://example/ns/default/sa/ann"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> TlsSettings:
    path = authority.server()
    return TlsSettings(certificate=path, key=path.with_suffix(".key"), client_ca=authority.path)


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Access:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    with changing(path) as held:
        held[:] = [
            Key(id="a" * 12, name="ann", certificate=f"URI:{ANN}", scopes=("infer:*",)),
            Key(id="b" * 12, name="bob", certificate="DNS:bob.example", scopes=("metadata:*",)),
        ]
    return Access(Authenticator(Certificates(KeyRing(path))))


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def http(tls: TlsSettings, access: Access, request: pytest.FixtureRequest) -> Iterator[Served]:
    context = server_context(tls, HTTP_1)
    with served(identity_route("m"), access=access, tls=context, new_loop=request.param) as running:
        yield running


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def rpc(tls: TlsSettings, access: Access, request: pytest.FixtureRequest) -> Iterator[Served]:
    context = server_context(tls, HTTP_2)
    with served_grpc(identity_route("m"), access=access, tls=context, new_loop=request.param) as running:
        yield running


def post(server: Served, context: ssl.SSLContext) -> int:
    with httpx.Client(verify=context) as client:
        return client.post(f"https://127.0.0.1:{server.port}/v2/models/m/infer", content=BODY).status_code


def call(server: Served, context: ssl.SSLContext) -> GrpcStatus:
    with Client(f"grpcs://127.0.0.1:{server.port}", ClientSettings(ssl_context=context)) as client:
        try:
            client.infer("m", {"fp32": np.zeros((1, 2), np.float32)})
        except Unauthenticated:
            return GrpcStatus.UNAUTHENTICATED
        except Exception as error:  # the status, whatever it is
            return getattr(error, "grpc_status", GrpcStatus.UNKNOWN)
        return GrpcStatus.OK


def test_a_caller_is_known_by_the_names_in_his_certificate(authority: Authority, http: Served, rpc: Served) -> None:
    """One kind of name cannot pass for another, and a subject for no name."""
    ann = authority.trust(authority.client("one", ANN, "spiffe://example/other"))
    bob = authority.trust(authority.client("two", dns="bob.example"))
    as_subject = authority.trust(authority.client(ANN.replace("/", "_")))
    other_kind = authority.trust(authority.client("four", dns="spiffe.example"))
    assert [post(http, who) for who in (ann, bob, as_subject, other_kind, authority.trust())] == [
        200,
        404,
        401,
        401,
        401,
    ]
    assert [call(rpc, who) for who in (ann, bob, as_subject, other_kind, authority.trust())] == [
        GrpcStatus.OK,
        GrpcStatus.NOT_FOUND,
        *[GrpcStatus.UNAUTHENTICATED] * 3,
    ]


def test_a_certificate_of_another_authority_is_no_connection(
    authority: Authority, http: Served, tmp_path: Path
) -> None:
    """Nor is one that has expired: neither reaches a request."""
    stranger = Authority(tmp_path, "stranger").client("stranger", ANN)
    for bad in (stranger, authority.client("old", ANN, expired=True)):
        with pytest.raises(httpx.TransportError):
            post(http, authority.trust(bad))
    assert post(http, authority.trust(authority.client("one", ANN))) == 200


def test_a_large_body_goes_over_an_encrypted_connection(authority: Authority, http: Served) -> None:
    """On the way that reads it straight into its memory."""
    values = np.arange(1 << 20, dtype=np.float32).reshape(1, -1)
    settings = ClientSettings(ssl_context=authority.trust(authority.client("one", ANN)))
    with Client(f"https://127.0.0.1:{http.port}", settings) as client:
        for _ in range(2):
            assert np.array_equal(client.infer("m", {"fp32": values}).outputs["fp32"], values)


def test_a_plain_request_is_no_handshake(http: Served) -> None:
    """It ends the connection and nothing else."""
    with http.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionError):
            connection.reply()


def test_grpcio_speaks_to_it(authority: Authority, rpc: Served) -> None:
    """With its own TLS, a certificate and ALPN."""
    one = authority.client("one", ANN)
    shown = grpc.ssl_channel_credentials(
        authority.path.read_bytes(), one.with_suffix(".key").read_bytes(), one.read_bytes()
    )
    with grpc.secure_channel(f"localhost:{rpc.port}", shown) as channel:
        live: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
        assert b"tidegate" in live(b"", timeout=20)


def presented(port: int, context: ssl.SSLContext) -> bytes:
    """The certificate that a server shows."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        found = secure.getpeercert(binary_form=True)
        assert found is not None
        return found


def put(source: Path, folder: Path) -> None:
    """Have a certificate and its key in a folder, as ``server``, in place of those of before."""
    for suffix in (".pem", ".key"):
        shutil.copy(source.with_suffix(suffix), folder / f"new{suffix}")
        os.replace(folder / f"new{suffix}", folder / f"server{suffix}")


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_new_certificate_is_taken_without_a_restart(
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """For the next connection; one that cannot be read changes nothing."""
    path, key = tmp_path / "server.pem", tmp_path / "server.key"
    now = [0.0]
    put(authority.server("first"), tmp_path)
    context = server_context(TlsSettings(certificate=path, key=key), HTTP_1, clock=lambda: now[0])
    with served(identity_route("m"), tls=context, new_loop=new_loop) as server:
        first = presented(server.port, authority.trust())
        put(authority.server("second"), tmp_path)
        assert presented(server.port, authority.trust()) == first
        now[0] = 1.0
        second = presented(server.port, authority.trust())
        assert second != first
        path.write_text("nothing")
        now[0] = 2.0
        assert presented(server.port, authority.trust()) == second
    assert "the one of before stays" in caplog.text


def test_a_new_certificate_asks_callers_for_theirs_as_the_old_one_did(
    authority: Authority, access: Access, tmp_path: Path
) -> None:
    """Of the same authorities: who was known is known, and a stranger's is no connection."""
    now = [0.0]
    put(authority.server("first"), tmp_path)
    path = tmp_path / "server.pem"
    settings = TlsSettings(certificate=path, key=path.with_suffix(".key"), client_ca=authority.path)
    ann = authority.trust(authority.client("one", ANN))
    stranger = authority.trust(Authority(tmp_path, "stranger").client("stranger", ANN))

    def clock() -> float:
        return now[0]

    http, rpc = (server_context(settings, protocols, clock) for protocols in (HTTP_1, HTTP_2))
    with (
        served(identity_route("m"), access=access, tls=http) as server,
        served_grpc(identity_route("m"), access=access, tls=rpc) as other,
    ):
        before = presented(server.port, ann)
        for _ in range(2):
            assert (post(server, ann), post(server, authority.trust())) == (200, 401)
            assert (call(other, ann), call(other, authority.trust())) == (GrpcStatus.OK, GrpcStatus.UNAUTHENTICATED)
            with pytest.raises(httpx.TransportError):
                post(server, stranger)
            put(authority.server("second"), tmp_path)
            now[0] += 1.0
        assert presented(server.port, ann) != before


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    """At the start, in a sentence."""
    good = authority.server()
    other = authority.server("other").with_suffix(".key")
    none = tmp_path / "none.pem"
    (tmp_path / "text.pem").write_text("nothing")
    for certificate, key, problem in (
        (none, other, "cannot be used: No such file"),
        (tmp_path / "text.pem", other, "cannot be used: "),
        (good, other, "key values mismatch"),
    ):
        with pytest.raises(Unusable, match=f"certificate {certificate} with key {key} .*{problem}"):
            server_context(TlsSettings(certificate=certificate, key=key), HTTP_1)
    (tmp_path / "empty.pem").touch()
    for ca, problem in (
        (none, "No such file"),
        (tmp_path / "text.pem", "it is not in PEM"),
        (tmp_path / "empty.pem", "[Ee]mpty certificate data"),
    ):
        with pytest.raises(Unusable, match=f"authorities {ca} cannot be used: {problem}"):
            server_context(TlsSettings(certificate=good, key=good.with_suffix(".key"), client_ca=ca), HTTP_1)
