"""The server's own authority and certificate: made once, kept private, renewed in time."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tidegate.app.certificates import (
    AUTHORITY,
    AUTHORITY_KEY,
    AUTHORITY_LIFE,
    RENEWED,
    SERVER,
    SERVER_KEY,
    SERVER_LIFE,
    names_of,
    new_authority,
    server_certificate,
)

NOW = datetime(2026, 11, 27, tzinfo=UTC)
NAMES = ("localhost", "127.0.0.1", "::1")


def test_it_is_made_once(tmp_path: Path) -> None:
    """And kept for the next start, in files that only this user can read."""
    first = server_certificate(tmp_path / "tls", NAMES, NOW)
    files = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert set(files) == {AUTHORITY, AUTHORITY_KEY, SERVER, SERVER_KEY}
    assert server_certificate(tmp_path / "tls", NAMES, NOW + timedelta(days=1)) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == files
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert first.authority == files[AUTHORITY]


def test_it_has_its_names_and_one_use(tmp_path: Path) -> None:
    """The authority signs certificates, and the certificate is a server's."""
    made = server_certificate(tmp_path, (*NAMES, "gate.example.org", "10.0.0.7"), NOW)
    assert names_of(made.certificate.read_bytes()) == {*NAMES, "gate.example.org", "10.0.0.7"}
    server = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(made.authority)
    server.verify_directly_issued_by(authority)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.not_valid_after_utc == NOW + AUTHORITY_LIFE
    assert server.not_valid_after_utc == NOW + SERVER_LIFE


@pytest.mark.parametrize(
    ("names", "later", "renewed"),
    [
        (NAMES, timedelta(0), False),
        (NAMES[:1], timedelta(0), False),
        (("0:0:0:0:0:0:0:1",), timedelta(0), False),
        ((*NAMES, "new.example.org"), timedelta(0), True),
        (NAMES, SERVER_LIFE - RENEWED - timedelta(seconds=1), False),
        (NAMES, SERVER_LIFE - RENEWED, True),
    ],
)
def test_it_is_renewed_where_need_be(tmp_path: Path, names: tuple[str, ...], later: timedelta, renewed: bool) -> None:
    """Before it ends, and when it is to have another name; its authority stays."""
    first = server_certificate(tmp_path, NAMES, NOW)
    before = first.certificate.read_bytes()
    second = server_certificate(tmp_path, names, NOW + later)
    assert (second.certificate.read_bytes() != before) is renewed
    assert second.authority == first.authority


@pytest.mark.parametrize("lost", [AUTHORITY_KEY, AUTHORITY, SERVER_KEY, SERVER])
def test_what_is_lost_is_made_anew(tmp_path: Path, lost: str) -> None:
    """A certificate of an authority that is gone goes with it."""
    server_certificate(tmp_path, NAMES, NOW)
    (tmp_path / lost).unlink()
    again = server_certificate(tmp_path, NAMES, NOW)
    again.context()
    server = x509.load_pem_x509_certificate(again.certificate.read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(again.authority))


def test_two_authorities_are_two() -> None:
    """Each has a key of its own."""
    assert new_authority(NOW).key != new_authority(NOW).key
