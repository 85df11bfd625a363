"""From settings to who recognises callers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tidegate.app.identity import Recognition
from tidegate.identity.credentials import Certificate, Credentials
from tidegate.identity.identity import Proof
from tidegate.identity.key import Key, hash_of, secret_of
from tidegate.identity.key_file import changing
from tidegate.identity.settings import IdentitySettings, TokenSettings, Unusable, Way
from tidegate.protocol.errors import Unauthenticated
from tidegate.testing.issuer import Issuer

SECRET = secret_of("a" * 12, bytes(32))
NAME = "URI:spiffe://example/carol"
ISSUER = Issuer("https://issuer.example", "tidegate")


@pytest.fixture
def settings(tmp_path: Path) -> IdentitySettings:
    with changing(tmp_path / "keys.json") as keys:
        keys += [
            Key(id="a" * 12, name="ann", hash=hash_of(SECRET), scopes=("infer:*",)),
            Key(id="b" * 12, name="carol", certificate=NAME, scopes=("infer:*",)),
        ]
    (tmp_path / "jwks.json").write_bytes(ISSUER.key_set())
    tokens = TokenSettings(issuer=ISSUER.name, audience=ISSUER.audience, keys=str(tmp_path / "jwks.json"))
    return IdentitySettings(ways=frozenset(Way), api_keys=tmp_path / "keys.json", tokens=tokens)


def ways(settings: IdentitySettings, *named: Way) -> IdentitySettings:
    return IdentitySettings(ways=frozenset(named), api_keys=settings.api_keys, tokens=settings.tokens)


async def proven(settings: IdentitySettings) -> list[Proof | None]:
    """By what a certificate, a token and a key, each alone and then all together, show who somebody is."""
    recognition = Recognition(settings)
    await recognition.open()
    shown = [
        Credentials("", Certificate((NAME,))),
        Credentials(ISSUER.token()),
        Credentials(SECRET),
        Credentials(ISSUER.token(), Certificate((NAME,))),
    ]
    found: list[Proof | None] = []
    assert recognition.authenticator is not None
    for credentials in shown:
        try:
            found.append((await recognition.authenticator.identify(credentials)).proof)
        except Unauthenticated:
            found.append(None)
    await recognition.close()
    return found


C, T, K = Proof.CERTIFICATE, Proof.TOKEN, Proof.KEY


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ((Way.KEYS,), [None, None, K, None]),
        ((Way.JWT,), [None, T, None, T]),
        ((Way.MTLS,), [C, None, None, C]),
        ((Way.KEYS, Way.JWT), [None, T, K, T]),
        (tuple(Way), [C, T, K, C]),
    ],
)
def test_only_the_ways_that_were_named_are_open(
    settings: IdentitySettings, named: tuple[Way, ...], expected: list[Proof | None]
) -> None:
    """Though the files of the others lie there; and a certificate goes before a token."""
    assert asyncio.run(proven(ways(settings, *named))) == expected


def test_without_a_way_nobody_is_asked(settings: IdentitySettings) -> None:
    """And no file is read."""
    recognition = Recognition(IdentitySettings(api_keys=Path("none.json")))
    assert (recognition.authenticator, recognition.access()) == (None, None)
    asyncio.run(recognition.open())


def test_what_cannot_be_used_ends_the_start(settings: IdentitySettings, tmp_path: Path) -> None:
    """A file that is missing would let nobody in, and nobody would know why."""
    with pytest.raises(Unusable, match=r"none\.json cannot be read"):
        Recognition(IdentitySettings(ways=frozenset({Way.KEYS}), api_keys=tmp_path / "none.json"))
    (tmp_path / "jwks.json").write_text("{}")
    with pytest.raises(Unusable, match=r"jwks\.json: it is no JSON Web Key Set"):
        asyncio.run(Recognition(ways(settings, Way.JWT)).open())


def test_an_issuer_that_is_away_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is at an address that no request of ours may go to, and tokens are refused meanwhile."""
    tokens = TokenSettings(issuer="i", audience="a", keys="https://127.0.0.1/jwks.json")

    async def main() -> None:
        recognition = Recognition(IdentitySettings(ways=frozenset({Way.JWT}), tokens=tokens))
        await recognition.open()
        assert recognition.authenticator is not None
        with pytest.raises(Unauthenticated):
            await recognition.authenticator.identify(Credentials(ISSUER.token()))
        await recognition.close()

    asyncio.run(main())
    assert "127.0.0.1 is at 127.0.0.1, which is neither public nor allowed" in caplog.text


def test_what_a_way_needs_must_be_there() -> None:
    """The settings say so themselves, whoever makes them."""
    for way, problem in (
        (Way.KEYS, "api_keys is missing"),
        (Way.MTLS, "api_keys is missing"),
        (Way.JWT, "tokens is missing"),
    ):
        with pytest.raises(ValueError, match=problem):
            IdentitySettings(ways=frozenset({way}))
