"""JSON Web Tokens: the good one, and every way to be a bad one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.identity.authenticator import Authenticator, Refused
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.identity.key_set import KeySet
from tidegate.identity.public_key import PublicKey, read_keys
from tidegate.identity.settings import ALGORITHMS, TokenSettings, Unusable
from tidegate.identity.token import identity_of, verified_claims, verify
from tidegate.identity.tokens import Tokens
from tidegate.protocol.errors import Unauthenticated
from tidegate.testing.issuer import Issuer, ec_key, encoded, forged

NOW = 1_800_000_000.0
ISSUER = Issuer("https://issuer.example", "tidegate", NOW)
SETTINGS = TokenSettings(issuer="https://issuer.example", audience="tidegate", keys="keys.json")
KEYS = read_keys(ISSUER.key_set(), ALGORITHMS)


def checked(token: str, settings: TokenSettings = SETTINGS) -> Mapping[str, Any]:
    return verified_claims(token, KEYS, settings, NOW)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(ISSUER.token(), id="EC"),
        pytest.param(ISSUER.token(header={"alg": "RS256", "kid": "rsa"}), id="RSA"),
        pytest.param(ISSUER.token(header={"alg": "PS384", "kid": "rsa"}), id="PSS"),
        pytest.param(ISSUER.token(header={"alg": "ES256", "kid": ""}), id="no-key-id-where-one-key-fits"),
        pytest.param(ISSUER.token(header={"typ": "at+jwt"}), id="an-access-token"),
        pytest.param(ISSUER.token(header={"jku": "https://evil.example"}), id="its-own-keys-are-passed-over"),
        pytest.param(ISSUER.token(aud=["other", "tidegate"]), id="one-audience-of-several"),
        pytest.param(ISSUER.token(exp=int(NOW) - 20), id="expired-within-the-leeway"),
        pytest.param(ISSUER.token(nbf=int(NOW) + 20), id="not-yet-within-the-leeway"),
    ],
)
def test_a_good_token_has_its_claims(token: str) -> None:
    """Whichever of the algorithms signs it."""
    assert checked(token)["sub"] == "ann"


FORGED = forged(ISSUER)


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_a_bad_token_is_refused_after_one_check_of_a_signature(token: str) -> None:
    """Whatever is wrong with it, the work is that of a good one: what it cost tells nothing."""
    checks: list[str] = []

    def counted(token: str, key: PublicKey, algorithm: str) -> Mapping[str, Any] | None:
        checks.append(algorithm)
        return verify(token, key, algorithm)

    with pytest.raises(Refused):
        identity_of(verified_claims(token, KEYS, SETTINGS, NOW, counted), SETTINGS)
    assert len(checks) == 1


def test_a_token_that_names_no_key_is_good_where_one_can_be_meant() -> None:
    """And nothing is tried in turn."""
    entries = [{**key.as_dict(private=False), "kid": str(number)} for number, key in enumerate((ec_key(), ec_key(1)))]
    two = json.dumps({"keys": entries}).encode()
    nameless = ISSUER.token(header={"kid": ""})
    with pytest.raises(Refused):
        verified_claims(nameless, read_keys(two, ALGORITHMS), SETTINGS, NOW)
    assert verified_claims(ISSUER.token(header={"kid": "0"}), read_keys(two, ALGORITHMS), SETTINGS, NOW)["sub"] == "ann"


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_every_refusal_is_the_same(token: str) -> None:
    """The error that leaves the server says nothing of the reason."""
    with pytest.raises(Unauthenticated) as caught:
        asyncio.run(recognised(token))
    assert caught.value.message == Unauthenticated().message


async def recognised(
    *tokens: str, settings: TokenSettings = SETTINGS, now: Callable[[], float] = lambda: NOW
) -> Identity:
    """The last one's identity."""
    keys = KeySet(Fixed(ISSUER.key_set()), settings, lambda: 0.0)
    await keys.load()
    door = Authenticator(Tokens(settings, keys, now=now))
    for token in tokens:
        identity = await door.identify(Credentials(token))
    return identity


class Fixed:
    """A source that has these documents, one after the other; an exception is raised."""

    def __init__(self, *documents: bytes | Exception) -> None:
        self.documents = list(documents)
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        document = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        if isinstance(document, Exception):
            raise document
        return document


def test_claims_become_an_identity() -> None:
    """What is no scope of ours is for somebody else, and passed over."""
    settings = TokenSettings(**{**_fields(SETTINGS), "role_claim": "groups"})
    claims = {"sub": "ann", "tenant": "red", "scope": "openid infer:iris infer:iris", "groups": ["x", "view", "edit"]}
    found = identity_of(claims, settings)
    assert (found.name, found.proof, found.tenant, found.role) == ("ann", Proof.TOKEN, "red", Role.EDIT)
    assert [str(scope) for scope in found.scopes] == ["infer:iris"]


def test_whoever_may_everything_is_an_administrator() -> None:
    """And without the claim that roles are read from, nobody else has a role."""
    assert identity_of({"sub": "ann", "scope": ["admin:*"]}, SETTINGS).role is Role.ADMIN
    assert identity_of({"sub": "ann", "scope": "infer:*", "role": "admin"}, SETTINGS).role is None


def test_without_a_tenant_the_caller_is_his_own() -> None:
    """So that callers are told apart in the queue."""
    assert identity_of({"sub": "ann"}, SETTINGS).tenant == "ann"


def _fields(settings: TokenSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


@given(st.text(max_size=200))
def test_any_text_is_refused_or_a_token(text: str) -> None:
    """Nothing else comes out of whatever comes in."""
    with pytest.raises(Refused):
        checked(text)


# Remembering


def test_a_checked_token_is_remembered_until_it_ends() -> None:
    """The second time costs no signature; after its end it is refused as if it had never been good."""
    times = [NOW]
    with pytest.raises(Unauthenticated):
        asyncio.run(_after(times, NOW + 631))
    assert asyncio.run(_after([NOW], NOW + 629)).name == "ann"


async def _after(times: list[float], later: float) -> Identity:
    keys = KeySet(Fixed(ISSUER.key_set()), SETTINGS, lambda: 0.0)
    await keys.load()
    door = Authenticator(Tokens(SETTINGS, keys, now=lambda: times[0]))
    token = ISSUER.token()
    await door.identify(Credentials(token))
    times[0] = later
    return await door.identify(Credentials(token))


def test_what_was_checked_with_old_keys_is_checked_again() -> None:
    """A key that the issuer took back takes its tokens along."""

    async def main() -> None:
        other = json.dumps({"keys": [{**ec_key(1).as_dict(private=False), "kid": "new"}]}).encode()
        keys = KeySet(Fixed(ISSUER.key_set(), other), SETTINGS, lambda: 0.0)
        await keys.load()
        tokens = Tokens(SETTINGS, keys, now=lambda: NOW)
        credentials = Credentials(ISSUER.token())
        assert await tokens.recognise(credentials) is await tokens.recognise(credentials) is not None
        await keys.load()
        with pytest.raises(Refused):
            await tokens.recognise(credentials)

    asyncio.run(main())


def test_an_api_key_is_no_token() -> None:
    """It is left to who knows it."""

    async def main() -> None:
        tokens = Tokens(SETTINGS, KeySet(Fixed(b""), SETTINGS, lambda: 0.0))
        assert await tokens.recognise(Credentials("tidegate_x_y")) is None
        assert await tokens.recognise(Credentials()) is None

    asyncio.run(main())


def test_keys_are_read_again_also_where_only_known_tokens_come() -> None:
    """Else a key that the issuer took back would hold for as long as they do."""

    async def main() -> int:
        clock, source = [0.0], Fixed(ISSUER.key_set())
        keys = KeySet(source, SETTINGS, lambda: clock[0])
        await keys.load()
        tokens = Tokens(SETTINGS, keys, now=lambda: NOW)
        token = ISSUER.token()
        for at in (0.0, 1.0, 3600.0):
            clock[0] = at
            await tokens.recognise(Credentials(token))
            await asyncio.sleep(0)
        await keys.close()
        return source.reads

    assert asyncio.run(main()) == 2


# One-time tokens

ONE_TIME = TokenSettings(**{**_fields(SETTINGS), "one_time": True})


def test_a_one_time_token_is_refused_the_second_time() -> None:
    """As every bad one is."""
    token = ISSUER.token(jti="a", iat=int(NOW))
    assert asyncio.run(recognised(token, settings=ONE_TIME)).name == "ann"
    assert asyncio.run(recognised(token, ISSUER.token(jti="b"), settings=ONE_TIME)).name == "ann"
    with pytest.raises(Unauthenticated):
        asyncio.run(recognised(token, token, settings=ONE_TIME))


@pytest.mark.parametrize(
    "changed",
    [{}, {"jti": ""}, {"jti": 5}, {"jti": "x" * 300}, {"jti": "a", "iat": None}, {"jti": "a", "iat": int(NOW) - 1}],
    ids=["no-id", "empty", "a-number", "long", "no-time", "from-before-we-began"],
)
def test_a_token_that_cannot_be_remembered_is_none(changed: dict[str, Any]) -> None:
    """Else a restart, or a missing id, would let it be used again."""
    with pytest.raises(Unauthenticated):
        asyncio.run(recognised(ISSUER.token(**changed), settings=ONE_TIME))


# Key sets


def _key(**changed: object) -> dict[str, object]:
    entry = {**ec_key().as_dict(private=False), "kid": "k", **changed}
    return {name: value for name, value in entry.items() if value is not None}


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        _key(use="enc"),
        _key(key_ops=["sign"]),
        _key(crv="secp256k1"),
        _key(alg="ES384"),
        _key(alg="HS256"),
        _key(x="AA"),
        _key(x=None),
        _key(kid=5),
        {"kty": "RSA", "n": encoded(b"\xff" * 128), "e": "AQAB", "kid": "k"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k"},
        {},
        5,
    ],
    ids=[
        "a-secret",
        "for-encryption",
        "for-signing",
        "another-curve",
        "an-algorithm-of-another-curve",
        "HS256",
        "a-short-number",
        "no-number",
        "an-id-that-is-none",
        "1024-bits",
        "no-modulus",
        "nothing",
        "a-number",
    ],
)
def test_a_key_that_can_check_nothing_is_left_out(entry: object) -> None:
    """Secrets, other purposes, other curves, weak ones, broken ones: the rest of the set is used."""
    document = json.dumps({"keys": [entry, *json.loads(ISSUER.key_set())["keys"]]}).encode()
    assert [key.kid for key in read_keys(document, ALGORITHMS)] == ["rsa", "ec"]


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": []}', b"\xff", b'{"keys": [' + b"{}," * 200 + b"{}]}"]
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """As a whole, so that the keys of before stay."""
    with pytest.raises(ValueError, match="JSON Web Key Set"):
        read_keys(document, ALGORITHMS)


def test_only_the_algorithms_that_are_allowed_are_taken() -> None:
    """One list for all keys."""
    assert [key.algorithms for key in read_keys(ISSUER.key_set(), ["RS256"])] == [{"RS256"}]


async def _asked(source: Fixed, *steps: tuple[float, str]) -> list[int]:
    """How often the source was read after each step: a time, and the key id that is asked for."""
    clock = [0.0]
    keys = KeySet(source, SETTINGS, lambda: clock[0])
    await keys.load()
    reads = []
    for at, kid in steps:
        clock[0] = at
        await keys.keys(kid)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reads.append(source.reads)
    await keys.close()
    return reads


def test_an_unknown_key_id_has_the_keys_read_again_but_not_too_often() -> None:
    """Whoever invents key ids makes one request in 30 seconds of us."""
    steps = ((1.0, "x"), (29.0, "y"), (31.0, "x"), (32.0, "z"), (60.0, "z"), (62.0, "z"))
    assert asyncio.run(_asked(Fixed(ISSUER.key_set()), *steps)) == [1, 1, 2, 2, 2, 3]


def test_old_keys_are_read_again_while_they_still_hold() -> None:
    """A known key never waits for the issuer."""
    assert asyncio.run(_asked(Fixed(ISSUER.key_set()), (3599.0, "ec"), (3600.0, "ec"), (3601.0, "ec"))) == [1, 2, 2]


def test_keys_that_cannot_be_read_again_stay(caplog: pytest.LogCaptureFixture) -> None:
    """An issuer that is away for an hour locks nobody out."""

    async def main() -> None:
        clock = [0.0]
        keys = KeySet(Fixed(ISSUER.key_set(), Unusable("it is away")), SETTINGS, lambda: clock[0])
        await keys.load()
        clock[0] = 100.0
        assert [key.kid for key in await keys.keys("new")] == ["rsa", "ec"]
        await keys.close()

    asyncio.run(main())
    assert "stay as they were: it is away" in caplog.text


def test_many_who_wait_for_keys_make_one_request() -> None:
    """They share the one that is on its way."""

    async def main() -> int:
        source = Fixed(ISSUER.key_set())
        keys = KeySet(source, SETTINGS, lambda: 0.0)
        await asyncio.gather(*(keys.keys("ec") for _ in range(20)))
        await keys.close()
        return source.reads

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"issuer": ""}, "issuer is empty"),
        ({"audience": ""}, "audience is empty"),
        ({"keys": ""}, "keys is empty"),
        ({"keys": "http://a/b"}, "expected a file, or a URL over https"),
        ({"algorithms": ("HS256",)}, "algorithms has 'HS256'"),
        ({"algorithms": ("none",)}, "algorithms has 'none'"),
        ({"algorithms": ()}, "algorithms has ''"),
        ({"leeway": 6000.0}, "leeway is 6000"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(changed: dict[str, Any], problem: str) -> None:
    """At the start, by name."""
    with pytest.raises(ValueError, match=problem):
        TokenSettings(**{**_fields(SETTINGS), **changed})
