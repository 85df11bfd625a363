"""Commands at a port that asks everybody who he is, over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.cli.main import run
from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.testing.admin import Administered

IRIS = """\
apiVersion: tidegate.dev/v1
kind: ModelService
metadata: {name: iris}
spec:
  predictor:
    model: {modelFormat: {name: sklearn}, storageUri: "models:/iris"}
"""


class Tokens:
    """Each role's name is its token."""

    async def recognise(self, credentials: Credentials) -> Identity | None:
        known = credentials.token in list(Role)
        return Identity(credentials.token, Proof.KEY, role=Role(credentials.token)) if known else None


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Administered]:
    """Its services become ready; its authority's certificate is in authority.pem."""
    monkeypatch.setenv("TIDEGATE_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.chdir(tmp_path)
    for name in ("SERVER", "TOKEN"):
        monkeypatch.delenv(f"TIDEGATE_{name}", raising=False)
    Path("iris.yaml").write_text(IRIS)
    with Administered.start(tmp_path / "state", authenticator=Authenticator(Tokens())) as running:
        assert running.server.certificate is not None
        Path("authority.pem").write_bytes(running.server.certificate.authority)
        Path("edit.token").write_text("edit\n")
        yield running


def test_a_context_lets_in(admin: Administered, capsys: pytest.CaptureFixture[str]) -> None:
    """With the token of a file and the authority's certificate; what a role may not do is told."""
    words = (
        "config",
        "set-context",
        "team",
        "--server",
        admin.url,
        "--certificate-authority",
        "authority.pem",
        "--use",
    )
    assert run([*words, "--token-file", "edit.token"]) == 0
    assert run(["apply", "-f", "iris.yaml", "--wait"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "modelservice.tidegate.dev/iris created",
        "modelservice.tidegate.dev/iris ready",
    ]
    assert run(["get", "msvc", "-o", "name", "--token", "view"]) == 0
    assert run(["delete", "iris", "--token", "view"]) == 1
    assert "view" in capsys.readouterr().err


def test_who_is_not_known_is_told_what_helps(admin: Administered, capsys: pytest.CaptureFixture[str]) -> None:
    """A token that is missing or wrong, and a server that nobody vouches for."""
    trusting = ("--server", admin.url, "--certificate-authority", "authority.pem")
    assert run(["get", "msvc", *trusting]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: credentials are missing or not valid")
    assert hint.startswith("hint: give a token with --token or TIDEGATE_TOKEN")
    assert run(["apply", "-f", "iris.yaml", *trusting, "--token", "wrong"]) == 1
    assert "credentials are missing or not valid" in capsys.readouterr().err
    assert run(["get", "msvc", "--server", admin.url, "--token", "edit"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert "CERTIFICATE_VERIFY_FAILED" in error
    assert hint.startswith("hint: name who vouches for it: --certificate-authority FILE")
