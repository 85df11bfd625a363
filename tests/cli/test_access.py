"""Whether callers are asked who they are, as the command line says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.cli.access import Encryption, Identities, api_keys_file, identity_of, tls_of
from tidegate.cli.failure import Failure
from tidegate.identity.settings import TlsSettings, Way

HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
PLAIN = Encryption()


def ways(auth: str, host: str = HERE) -> set[str]:
    encryption = Encryption(tls_cert="a", tls_key="b", tls_client_ca="c")
    options = Identities(auth=auth)
    if "jwt" in auth:
        options = Identities(auth=auth, jwt_issuer="i", jwt_audience="a", jwt_keys="k")
    return set(identity_of(options, encryption, host).ways)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_on_a_loopback_address_nobody_is_asked_unless_it_is_said(host: str) -> None:
    """A laptop needs no keys."""
    assert ways("", host) == set()
    assert ways("keys", host) == {Way.KEYS}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_on_any_other_it_must_be_said(host: str) -> None:
    """One way or the other; the sentence names both."""
    with pytest.raises(Failure) as raised:
        identity_of(Identities(), PLAIN, host)
    assert raised.value.cause == f"the server would listen on {host}, where others reach it, and ask nobody who he is"
    assert raised.value.hint == "--auth keys, jwt or mtls asks; --auth off says that it is meant so"
    assert raised.value.code == 2
    assert ways("off", host) == set()
    assert ways("keys,jwt,mtls", host) == {Way.KEYS, Way.JWT, Way.MTLS}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (Identities(auth="key"), "--auth is 'key', expected off, or keys, jwt and mtls with commas between them"),
        (
            Identities(auth="off,keys"),
            "--auth is 'off,keys', expected off, or keys, jwt and mtls with commas between them",
        ),
        (Identities(auth="mtls"), "--auth mtls needs --tls-client-ca"),
        (Identities(auth="jwt"), "--auth jwt needs --jwt-issuer and --jwt-audience and --jwt-keys"),
        (Identities(auth="jwt", jwt_issuer="i", jwt_keys="k"), "--auth jwt needs --jwt-audience"),
        (Identities(jwt_issuer="i"), "--jwt-issuer is of no use without --auth jwt"),
        (Identities(auth="jwt", api_keys="k"), "--api-keys is of no use without --auth keys or mtls"),
    ],
)
def test_what_does_not_fit_together_is_refused(options: Identities, problem: str) -> None:
    """Before anything is started."""
    with pytest.raises(Failure) as raised:
        identity_of(options, PLAIN, HERE)
    assert (raised.value.cause, raised.value.code) == (problem, 2)


def test_a_certificate_has_a_key() -> None:
    """And authorities are for both."""
    assert tls_of(PLAIN) is None
    for half in (Encryption(tls_cert="a"), Encryption(tls_key="a"), Encryption(tls_client_ca="a")):
        with pytest.raises(Failure, match="--tls-cert and --tls-key are given without each other"):
            tls_of(half)
    whole = Encryption(tls_cert="a", tls_key="b", tls_client_ca="c")
    assert tls_of(whole) == TlsSettings(certificate=Path("a"), key=Path("b"), client_ca=Path("c"))


def test_keys_are_where_state_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unless another file is named; a relative directory does not count."""
    assert api_keys_file("a.json", "state") == Path("a.json")
    assert api_keys_file("", "state") == Path("state/api-keys.json")
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, folder in (
        (str(tmp_path / "x"), tmp_path / "x"),
        ("x", tmp_path / ".local/state"),
        ("", tmp_path / ".local/state"),
    ):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert api_keys_file("") == folder / "tidegate" / "api-keys.json"
