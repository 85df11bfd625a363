"""A server that asks who it is, from its command line to the answers that people and programs get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from tidegate.client import Client, ClientSettings
from tidegate.protocol.errors import Unauthenticated
from tidegate.testing.certificates import Authority
from tidegate.testing.process import Serving

pytestmark = pytest.mark.e2e

Serve = Callable[..., AbstractContextManager[Serving]]


def tidegate(*words: str | Path, **variables: str) -> tuple[int, str]:
    """The exit code of a command, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", *words],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout.strip()


def test_a_server_that_asks_over_tls(serving: Serve, tmp_path: Path) -> None:
    """Certificates and keys, over HTTP and gRPC, for the client and for `tidegate infer`; a key that is taken back."""
    authority = Authority(tmp_path)
    own, one = authority.server(), authority.client("one", "spiffe://example/one")
    state = tmp_path / "state"
    where = ("--state-directory", state)
    key = tidegate("keys", "create", "ann", "--scope", "infer:m", *where)[1]
    assert tidegate("keys", "create", "bob", "--scope", "infer:n", *where)[0] == 0
    named = ("--certificate", "URI:spiffe://example/one")
    assert tidegate("keys", "create", "carol", "--scope", "infer:*", *named, *where)[0] == 0
    tls = ("--tls-cert", str(own), "--tls-key", str(own.with_suffix(".key")), "--tls-client-ca", str(authority.path))
    with serving("--auth", "keys,mtls", "--state-directory", str(state), *tls) as server:
        _, _, http_port = server.http.rpartition(":")
        _, _, grpc_port = server.grpc.rpartition(":")
        urls = (f"https://127.0.0.1:{http_port}", f"grpcs://127.0.0.1:{grpc_port}")
        shown = ClientSettings(ca=authority.path, certificate=one, certificate_key=one.with_suffix(".key"))
        values = np.ones((1, 2), np.float32)
        for url in urls:
            for settings in (ClientSettings(ca=authority.path, token=key), shown):
                with Client(url, settings) as client:
                    assert client.infer("m", {"x": values}).model_name == "m"
            with Client(url, ClientSettings(ca=authority.path)) as client, pytest.raises(Unauthenticated):
                client.infer("m", {"x": values})
        words = ("infer", "m", "--input", "x=1,2", "--ca", authority.path, "-o", "json")
        for to in (("--url", urls[0]), ("--grpc", f"127.0.0.1:{grpc_port}", "--grpc-tls")):
            code, said = tidegate(*words, *to, TIDEGATE_TOKEN=key)
            assert (code, json.loads(said)["model_name"]) == (0, "m"), said
            code, said = tidegate(*words, *to)
            assert code == 1
            assert "credentials are missing or not valid" in said
        assert tidegate("keys", "revoke", "ann", *where)[0] == 0
        with Client(urls[0], ClientSettings(ca=authority.path, token=key)) as client, pytest.raises(Unauthenticated):
            ask_for_ever(client)


def ask_for_ever(client: Client) -> None:
    """The server looks at the file of keys once a second."""
    while True:
        client.server_metadata()


def test_a_server_that_others_reach_does_not_start_unasked(tmp_path: Path) -> None:
    """Nor does one whose keys it cannot use; each says why in a sentence."""
    model = tmp_path / "m.fake.json"
    model.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}))
    code, said = tidegate("serve", model, "--host", "0.0.0.0")
    assert code == 2
    assert "would listen on 0.0.0.0, where others reach it, and ask nobody who he is" in said
    code, said = tidegate("serve", model, "--auth", "keys", "--api-keys", tmp_path / "none.json")
    assert code == 1
    assert f"API keys {tmp_path / 'none.json'} cannot be read" in said
    assert "tidegate keys create" in said
    code, said = tidegate("serve", model, "--tls-cert", tmp_path / "a.pem", "--tls-key", tmp_path / "b.pem")
    assert code == 1
    assert "cannot be used" in said
