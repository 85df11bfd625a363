"""The admin port as it listens: open on loopback, with TLS and tokens where there are tokens, and gone in time."""

from __future__ import annotations

import json
import ssl
import threading
from pathlib import Path

import httpx
import pytest

from tidegate.app.admin import AdminSettings, admin_server
from tidegate.app.certificates import names_of
from tidegate.control.api.audit import FILE
from tidegate.gateway.http.settings import HttpSettings
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.identity.settings import Unusable
from tidegate.testing.admin import Administered
from tidegate.testing.api import SERVICES, model_service
from tidegate.testing.store import MemoryStore


class Tokens:
    """Each role's name is its token."""

    async def recognise(self, credentials: Credentials) -> Identity | None:
        known = credentials.token in list(Role)
        return Identity(credentials.token, Proof.KEY, role=Role(credentials.token)) if known else None


def test_on_loopback_nothing_is_asked(tmp_path: Path) -> None:
    """Plain HTTP, and every change is in the audit log of the state directory."""
    with Administered.start(tmp_path, ready=False) as admin:
        assert admin.url.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=admin.url) as client:
            assert client.post(SERVICES, json=model_service()).status_code == 201
            assert client.get(SERVICES).json()["items"][0]["metadata"]["name"] == "iris"
    [line] = (tmp_path / FILE).read_text().splitlines()
    assert json.loads(line)["identity"] == "place:local"


def test_with_tokens_it_speaks_tls_and_asks_everybody(tmp_path: Path) -> None:
    """Its certificate is good for whoever has the authority's, and each role may what it is for."""
    with Administered.start(tmp_path, authenticator=Authenticator(Tokens()), ready=False) as admin:
        assert admin.server.certificate is not None
        trust = ssl.create_default_context(cadata=admin.server.certificate.authority.decode())
        with httpx.Client(base_url=admin.url.replace("127.0.0.1", "localhost"), verify=trust) as client:
            assert client.get(SERVICES).status_code == 401
            view, edit = ({"authorization": f"Bearer {role}"} for role in (Role.VIEW, Role.EDIT))
            assert client.get(SERVICES, headers=view).status_code == 200
            assert client.post(SERVICES, json=model_service(), headers=view).status_code == 403
            assert client.post(SERVICES, json=model_service(), headers=edit).status_code == 201
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{admin.url}/version", verify=ssl.create_default_context())
    told = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [(line["identity"], line["code"]) for line in told] == [("key:view", 403), ("key:edit", 201)]


def test_it_is_open_to_nobody_unasked(tmp_path: Path) -> None:
    """Beyond loopback it wants tokens."""
    settings = AdminSettings(http=HttpSettings(host="0.0.0.0", port=0))
    with pytest.raises(Unusable, match=r"the admin port would listen on 0\.0\.0\.0 and ask nobody who he is"):
        admin_server(MemoryStore(), settings, tmp_path, version="1")


def test_the_names_of_the_certificate_can_be_set(tmp_path: Path) -> None:
    """Beside those of this machine."""
    settings = AdminSettings(http=HttpSettings(host="0.0.0.0", port=0), names=("gate.example.org",))
    server = admin_server(MemoryStore(), settings, tmp_path, version="1", authenticator=Authenticator(Tokens()))
    assert server.certificate is not None
    names = names_of(server.certificate.certificate.read_bytes())
    assert {"localhost", "127.0.0.1", "::1", "gate.example.org"} <= names


def test_watches_do_not_hold_it_up(tmp_path: Path) -> None:
    """They end when it does, well, and not by its grace."""
    with Administered.start(tmp_path, ready=False) as admin:
        began, ended = threading.Event(), threading.Event()

        def watch() -> None:
            with httpx.stream("GET", f"{admin.url}{SERVICES}?watch=true", timeout=60) as reply:
                for _ in reply.iter_lines():
                    began.set()
                ended.set()

        thread = threading.Thread(target=watch)
        thread.start()
        httpx.post(f"{admin.url}{SERVICES}", json=model_service())
        assert began.wait(60)
        admin.close()
        assert ended.wait(60)
        thread.join()


def test_a_change_is_there_after_a_restart(tmp_path: Path) -> None:
    """With its version, from which a watch goes on."""
    with Administered.start(tmp_path, ready=False) as admin:
        made = httpx.post(f"{admin.url}{SERVICES}", json=model_service()).json()
    with Administered.start(tmp_path, ready=False) as admin:
        assert httpx.get(f"{admin.url}{SERVICES}/iris").json() == made
