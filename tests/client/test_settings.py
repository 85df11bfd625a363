"""What a client shows of itself."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidegate.client import Client, ClientSettings
from tidegate.identity.quota import Quota
from tidegate.identity.settings import TlsSettings
from tidegate.identity.tls import HTTP_1, HTTP_2, server_context
from tidegate.protocol.errors import InvalidRequest, NotFound, QuotaExceeded, Unauthenticated
from tidegate.testing.backends import identity_route
from tidegate.testing.certificates import Authority
from tidegate.testing.guests import Guests
from tidegate.testing.served import served
from tidegate.testing.served_grpc import served_grpc

ROW = {"fp32": np.zeros((1, 2), np.float32)}


def test_a_token_goes_with_every_call() -> None:
    """Over both protocols, also where the call has headers of its own."""
    guests = Guests(ann="infer:m", bob="")
    with (
        served(identity_route("m"), access=guests.access()) as http,
        served_grpc(identity_route("m"), access=guests.access()) as rpc,
    ):
        for url in (f"http://127.0.0.1:{http.port}", f"grpc://127.0.0.1:{rpc.port}"):
            with Client(url, ClientSettings(token="ann", headers={"x-team": "red"})) as client:
                assert client.infer("m", ROW).model_name == "m"
                assert client.model_metadata("m").name == "m"
                assert [result.model_name for result in client.stream("m", ROW)] == ["m"]
                assert client.server_metadata().name == "tidegate"
            with Client(url, ClientSettings(token="bob")) as client, pytest.raises(NotFound):
                client.infer("m", ROW)
            with Client(url) as client:
                assert client.server_live()
                with pytest.raises(Unauthenticated):
                    client.infer("m", ROW)


def test_a_quota_is_tried_again_when_the_server_says_so() -> None:
    """It is an error of its own, with the time to come back."""
    access = Guests(ann="infer:m").access(Quota(rate=0.01, burst=1))
    with served(identity_route("m"), access=access) as server:
        settings = ClientSettings(token="ann", timeout=5.0)
        with Client(server.url, settings) as client:
            client.infer("m", ROW)
            with pytest.raises(QuotaExceeded) as caught:
                client.infer("m", ROW)
            assert caught.value.retryable
            assert 90 <= (caught.value.retry_after or 0) <= 100


def test_files_say_whom_to_trust_and_who_one_is(tmp_path: Path) -> None:
    """Over both protocols; without them the server is not trusted."""
    authority = Authority(tmp_path)
    own, one = authority.server(), authority.client("one", "spiffe://example/one")
    tls = TlsSettings(certificate=own, key=own.with_suffix(".key"), client_ca=authority.path)
    with (
        served(identity_route("m"), tls=server_context(tls, HTTP_1)) as http,
        served_grpc(identity_route("m"), tls=server_context(tls, HTTP_2)) as rpc,
    ):
        for url in (f"https://127.0.0.1:{http.port}", f"grpcs://127.0.0.1:{rpc.port}"):
            shown = ClientSettings(ca=authority.path, certificate=one, certificate_key=one.with_suffix(".key"))
            for settings in (ClientSettings(ca=authority.path), shown):
                with Client(url, settings) as client:
                    assert client.infer("m", ROW).model_name == "m"
            with Client(url) as client, pytest.raises(Exception, match="certificate verify failed"):
                client.infer("m", ROW)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"token": "a b"}, "token has other characters"),
        ({"token": "a\n"}, "token has other characters"),
        ({"token": "é"}, "token has other characters"),
        ({"ca": Path("a"), "ssl_context": ssl.create_default_context()}, "ssl_context is given with ca"),
        ({"certificate_key": Path("a")}, "certificate_key is given without certificate"),
    ],
)
def test_what_cannot_be_sent_is_refused(changed: dict[str, Any], problem: str) -> None:
    """When the settings are made."""
    with pytest.raises(ValueError, match=problem):
        ClientSettings(**changed)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """When the client is made."""
    with pytest.raises(InvalidRequest, match=r"TLS files .*none\.pem cannot be used"):
        Client("https://127.0.0.1:1", ClientSettings(ca=tmp_path / "none.pem"))


def test_settings_do_not_show_the_token() -> None:
    """They stand in logs and tracebacks."""
    assert "secret" not in repr(ClientSettings(token="secret", headers={"authorization": "secret"}))
