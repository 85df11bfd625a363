"""API keys: their form, what checking one costs, and the file that they are in."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.identity.authenticator import Authenticator, Refused
from tidegate.identity.credentials import Certificate, Credentials, read_certificate, read_credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.identity.key import Key, Keys, hash_of, identity_of, secret_of, verified
from tidegate.identity.key_file import changing, read_keys
from tidegate.identity.key_ring import ApiKeys, Certificates, KeyRing
from tidegate.identity.settings import Unusable
from tidegate.protocol.errors import Unauthenticated

ID = "0123456789ab"
SECRET = secret_of(ID, bytes(range(32)))
KEY = Key(id=ID, name="ann", hash=hash_of(SECRET), scopes=("infer:*",))
OTHER = Key(id="ba9876543210", name="bob", hash=hash_of(secret_of("ba9876543210", bytes(32))), expires=100.0)
CERTIFICATE = Key(id="c" * 12, name="carol", certificate="URI:spiffe://example/carol")
KEYS = Keys.of([KEY, OTHER, CERTIFICATE])

WRONG = {
    "nothing": "",
    "an unknown id": secret_of("ffffffffffff", bytes(range(32))),
    "another's secret": SECRET.replace(ID, OTHER.id),
    "a wrong secret": secret_of(ID, bytes(32)),
    "a cut secret": SECRET[:-1],
    "a longer secret": SECRET + "0",
    "upper case": SECRET.upper(),
    "the id alone": f"tidegate_{ID}_",
    "a line's end": SECRET + "\n",
    "other digits": SECRET.replace("0", "٠"),
    "the hash": f"tidegate_{ID}_{KEY.hash}",
    "a certificate's id": secret_of(CERTIFICATE.id, bytes(32)),
    "an expired key": secret_of(OTHER.id, bytes(32)),
    "a word": "password",
}


def test_a_key_is_known_by_its_hash() -> None:
    """And what it is good for stands beside that."""
    assert verified(KEYS, SECRET, 100.0) is KEY
    found = identity_of(KEY)
    assert (found.name, found.proof, found.tenant, found.role) == ("ann", Proof.KEY, "ann", None)


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_every_wrong_key_costs_one_comparison_of_the_same_length(text: str) -> None:
    """As the right one does; whether there is a key of that id cannot be told from the time it takes."""
    compared: list[tuple[int, int]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    with pytest.raises(Refused):
        verified(KEYS, text, 100.0, compare)
    verified(KEYS, SECRET, 100.0, compare)
    assert compared == [(64, 64), (64, 64)]


def test_a_key_that_is_not_there_is_refused_whatever_the_comparison_says() -> None:
    """It is held against a hash that nothing has; and if something had it, it would still be nobody's."""
    for name in ("nothing", "an unknown id"):
        with pytest.raises(Refused):
            verified(KEYS, WRONG[name], 0.0, lambda one, other: True)


@given(st.binary(min_size=6, max_size=6), st.binary(min_size=32, max_size=32))
def test_every_key_that_is_made_can_be_read(number: bytes, random: bytes) -> None:
    """Whatever the random bytes are, and no other key is taken for it."""
    text = secret_of(number.hex(), random)
    key = Key(id=number.hex(), name="x", hash=hash_of(text))
    assert verified(Keys.of([key]), text, 0.0) is key
    with pytest.raises(Refused):
        verified(Keys.of([key]), secret_of(number.hex(), random[::-1] + b"\0"), 0.0)


@given(st.text(max_size=100))
def test_any_text_is_refused(text: str) -> None:
    """Nothing else comes out of it."""
    with pytest.raises(Refused):
        verified(KEYS, text, 0.0)


def test_a_key_ends_when_it_expires() -> None:
    """At that moment."""
    text = secret_of(OTHER.id, bytes(32))
    assert verified(KEYS, text, 99.9) is OTHER
    with pytest.raises(Refused, match="of 'bob' has expired"):
        verified(KEYS, text, 100.0)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"id": "x"}, "id is 'x'"),
        ({"name": ""}, "name is ''"),
        ({"name": "a\nb"}, "name is"),
        ({"hash": ""}, "has hash and certificate, or neither"),
        ({"certificate": "URI:x"}, "has hash and certificate, or neither"),
        ({"hash": "abc"}, "is not a SHA-256"),
        ({"hash": "", "certificate": "CN=x"}, "expected URI:…, DNS:… or email:…"),
        ({"scopes": ("write:*",)}, "scope 'write:"),
        ({"rate": -1.0}, "rate is -1"),
        ({"tenant": "a\0"}, "tenant is"),
    ],
)
def test_an_entry_that_is_at_fault_says_where(changed: dict[str, Any], problem: str) -> None:
    """The field, the value, what was expected."""
    with pytest.raises(ValueError, match=problem):
        msgspec.structs.replace(KEY, **changed).__post_init__()


def test_an_administrator_s_scope_is_his_role() -> None:
    """There is one way to be one."""
    assert identity_of(msgspec.structs.replace(KEY, scopes=("admin:*",), role=Role.VIEW)).role is Role.ADMIN


# The file


def put(path: Path, *keys: Key) -> Path:
    with changing(path) as held:
        held[:] = keys
    return path


def test_a_file_holds_what_was_put_there(tmp_path: Path) -> None:
    """It is its owner's alone, and has no secret in it."""
    path = put(tmp_path / "state" / "keys.json", KEY, CERTIFICATE)
    assert read_keys(path) == Keys.of([KEY, CERTIFICATE])
    assert path.stat().st_mode & 0o777 == 0o600
    assert SECRET.rpartition("_")[2] not in path.read_text()
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Neither the file nor what lies beside it."""
    path = put(tmp_path / "keys.json", KEY)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is there twice"), changing(path) as held:
        held.append(KEY)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


DAMAGED = {
    "empty": b"",
    "cut": b'{"version": 1, "keys": [',
    "no object": b"[]",
    "another version": b'{"version": 2, "keys": []}',
    "unknown fields": b'{"version": 1, "keys": [], "more": 1}',
    "an unknown field of a key": json.dumps(
        {"version": 1, "keys": [{"id": ID, "name": "a", "hash": "0" * 64, "scope": "infer:*"}]}
    ).encode(),
    "a scope that is none": json.dumps(
        {"version": 1, "keys": [{"id": ID, "name": "a", "hash": "0" * 64, "scopes": ["infer"]}]}
    ).encode(),
    "a role that is none": json.dumps(
        {"version": 1, "keys": [{"id": ID, "name": "a", "hash": "0" * 64, "role": "root"}]}
    ).encode(),
    "one id twice": json.dumps(
        {"version": 1, "keys": [{"id": ID, "name": "a", "hash": "0" * 64}, {"id": ID, "name": "b", "hash": "1" * 64}]}
    ).encode(),
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_refused_as_a_whole(tmp_path: Path, data: bytes) -> None:
    """In a sentence that names it: half of the keys would be a guess."""
    path = tmp_path / "keys.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(Unusable, match=f"^API keys {path} cannot be used: "):
        read_keys(path)


def test_a_file_that_others_write_to_is_refused(tmp_path: Path) -> None:
    """Whoever can write it can let himself in."""
    path = put(tmp_path / "keys.json", KEY)
    path.chmod(0o620)
    with pytest.raises(Unusable, match="can be written by other users"):
        read_keys(path)
    with pytest.raises(Unusable, match="cannot be read: No such file"):
        read_keys(tmp_path / "none.json")


class Watched:
    """A ring whose clock the test moves."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        self.ring = KeyRing(path, now=lambda: 50.0, clock=lambda: self.now)

    def knows(self, text: str, after: float = 1.0) -> bool:
        self.now += after
        try:
            self.ring.by_secret(text)
        except Refused:
            return False
        return True


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    """Within a second; a key that was revoked is refused, and one that is new accepted."""
    path = put(tmp_path / "keys.json", KEY)
    watched = Watched(path)
    put(path, OTHER)
    assert watched.knows(SECRET, 0.5)
    assert not watched.knows(SECRET, 0.5)
    assert watched.knows(secret_of(OTHER.id, bytes(32)), 0.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"{"),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o666),
        lambda path: os.replace(path, path.with_name("gone")),
    ],
    ids=["damaged", "removed", "open-to-others", "moved"],
)
def test_a_file_that_is_damaged_later_changes_nothing(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The keys of before stay, and the log says so once."""
    path = put(tmp_path / "keys.json", KEY)
    watched = Watched(path)
    damage(path)
    assert watched.knows(SECRET)
    assert watched.knows(SECRET)
    assert sum("those of before stay" in message for message in caplog.messages) == 1
    path.unlink(missing_ok=True)
    put(path, OTHER)
    assert not watched.knows(SECRET)


# Who asks


def test_a_token_is_read_from_two_headers() -> None:
    """As gateways, clients and people send it."""
    for headers in (
        [(b"authorization", b"Bearer abc")],
        [(b"authorization", b"bearer  abc ")],
        [(b"x-api-key", b"abc")],
    ):
        assert read_credentials([(b"host", b"x"), *headers]).token == "abc"
    assert read_credentials([(b"host", b"x")]) == Credentials()


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Basic YTpi")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")],
        [(b"authorization", b"Bearer a"), (b"x-api-key", b"a")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"a")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"a"), (b"x-api-key", b"a")],
        [(b"x-api-key", b"\xe9")],
        [(b"x-api-key", b"a" * 8193)],
        [(b"x-api-key", b"")],
    ],
)
def test_what_is_shown_in_another_way_is_a_token_that_nobody_has(headers: list[tuple[bytes, bytes]]) -> None:
    """It is refused as any wrong one is, and not passed over: there might be a certificate beside it."""
    assert read_credentials(headers).token == "?"


def test_a_certificate_is_known_by_its_alternative_names() -> None:
    """With their kinds; its subject says nothing."""
    peer: dict[str, object] = {
        "subject": ((("commonName", "root"),),),
        "subjectAltName": (("DNS", "a.example"), ("URI", "spiffe://example/a"), ("IP Address", "1.2.3.4")),
    }
    assert read_certificate(peer) == Certificate(("DNS:a.example", "URI:spiffe://example/a"))
    assert read_certificate({"subject": ()}) == Certificate(())
    assert read_certificate(None) is read_certificate({}) is None


def test_a_certificate_goes_before_a_key(tmp_path: Path) -> None:
    """One that stands for nobody leaves the word to the token beside it."""
    ring = KeyRing(put(tmp_path / "keys.json", KEY, CERTIFICATE), now=lambda: 0.0)
    door = Authenticator(Certificates(ring), ApiKeys(ring))

    def name(token: str, *names: str) -> str:
        return asyncio.run(door.identify(Credentials(token, Certificate(names) if names else None))).name

    assert name("", "DNS:x", "URI:spiffe://example/carol") == "carol"
    assert name(SECRET, "URI:spiffe://example/carol") == "carol"
    assert name(SECRET, "URI:spiffe://example/eve") == "ann"
    for bad in (("", "URI:spiffe://example/eve"), ("", "DNS:spiffe://example/carol"), ("x",), ("",)):
        with pytest.raises(Unauthenticated):
            name(*bad)


def test_an_entry_of_a_certificate_expires(tmp_path: Path) -> None:
    """As a key does."""
    old = msgspec.structs.replace(CERTIFICATE, expires=100.0)
    ring = KeyRing(put(tmp_path / "keys.json", old), now=lambda: 100.0)
    with pytest.raises(Refused, match="has expired"):
        ring.by_certificate(("URI:spiffe://example/carol",))


def test_the_reason_is_logged_and_not_too_often(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever guesses fills no disk; how many there were is told with the next line."""

    class Nobody:
        async def recognise(self, credentials: Credentials) -> Identity | None:
            raise Refused(f"a reason {credentials.token}\n")

    now = [0.0]
    door = Authenticator(Nobody(), clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for at in (0.0, 0.1, 0.9, 1.0):
            now[0] = at
            with pytest.raises(Unauthenticated) as caught:
                asyncio.run(door.identify(Credentials("secret")))
            assert "reason" not in caught.value.message
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "a reason secret\\n",
        "a reason secret\\n (2 more since the last line)",
    ]
