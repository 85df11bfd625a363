"""JSON Web Tokens: whether an issuer has signed one for us, and whom it names. Pure.

The algorithm is one of a fixed list, and one that the key is for: a token cannot choose how it is checked (``none``, or
the public key taken for a shared secret). Nor can it bring its key: ``jwk``, ``jku`` and ``x5u`` in its header are not
looked at. Sources: RFC 7519 (claims), RFC 8725 (what goes wrong).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError

from tidegate.identity.authenticator import Refused
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.identity.public_key import PublicKey
from tidegate.identity.scope import Scope, parse_scope
from tidegate.identity.settings import TokenSettings
from tidegate.protocol.errors import shown

_TYPES = frozenset(("", "jwt", "at+jwt", "application/at+jwt"))
"""A token of another type is signed by the same keys, and says something else (a logout, say)."""


class Header(msgspec.Struct, frozen=True):
    """What is read of a token's header."""

    alg: str
    kid: str = ""
    typ: str = ""
    crit: msgspec.Raw | None = None


Verify = Callable[[str, PublicKey, str], Mapping[str, Any] | None]
"""The claims of a token that this key has signed with this algorithm, None if it has not."""


def verify(token: str, key: PublicKey, algorithm: str) -> Mapping[str, Any] | None:
    """See ``Verify``."""
    try:
        signed = jws.deserialize_compact(
            token, key.key, [algorithm], jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        )
        claims = json.loads(signed.payload or b"")
    except (JoseError, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def verified_claims(
    token: str, keys: tuple[PublicKey, ...], settings: TokenSettings, now: float, verify: Verify = verify
) -> Mapping[str, Any]:
    """The claims of a token that is good. ``keys`` has one at least, each with the algorithms that are allowed for it;
    ``now`` is in seconds since 1970.

    One signature is checked, whatever the token is; where no key is for it, another, and in vain.

    Raises:
        Refused: it is not.
    """
    header, problem = _header(token)
    key = None if problem else _key_for(header, keys)
    if key is None:
        decoy = keys[0]
        algorithm = min(decoy.algorithms)
        verify(_with_header(token, {"alg": algorithm}), decoy, algorithm)
        raise Refused(problem or f"a token of key '{shown(header.kid)}' and algorithm '{shown(header.alg)}'")
    claims = verify(token, key, header.alg)
    if claims is None:
        raise Refused(f"a token that key '{shown(header.kid)}' has not signed")
    registry = jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=int(settings.leeway),
        iss={"essential": True, "value": settings.issuer},
        aud={"essential": True, "value": settings.audience},
        exp={"essential": True},
    )
    try:
        registry.validate(dict(claims))
    except JoseError as error:
        raise Refused(f"a token of '{shown(claims.get('sub', ''))}': {error}") from error
    return claims


def key_id(token: str) -> str:
    """The id of the key that a token names, "" where it names none."""
    return _header(token)[0].kid


def identity_of(claims: Mapping[str, Any], settings: TokenSettings) -> Identity:
    """Whom a token names, and what it grants.

    Raises:
        Refused: it names nobody.
    """
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 256:
        raise Refused(f"a token without a name in its claim '{settings.name_claim}'")
    tenant = claims.get(settings.tenant_claim, name)
    if not isinstance(tenant, str) or not tenant.isprintable() or len(tenant) > 256:
        raise Refused(f"a token of '{shown(name)}' whose claim '{settings.tenant_claim}' is no printable text")
    scopes = tuple(_scopes(words(claims.get(settings.scope_claim))))
    role = _role(words(claims.get(settings.role_claim))) if settings.role_claim else None
    if any(str(scope) == "admin:*" for scope in scopes):
        role = Role.ADMIN
    return Identity(name, Proof.TOKEN, scopes, role, tenant)


def words(value: object) -> tuple[str, ...]:
    """The words of a claim: of a text with spaces between them (RFC 8693), or of a list of texts."""
    if isinstance(value, str):
        return tuple(value.split(" "))
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _scopes(texts: Iterable[str]) -> Iterable[Scope]:
    for text in dict.fromkeys(texts):
        try:
            yield parse_scope(text)
        except ValueError:  # an issuer's scopes are for others, too: openid, profile
            continue


def _role(texts: tuple[str, ...]) -> Role | None:
    return next((role for role in reversed(Role) if role in texts), None)


def _header(token: str) -> tuple[Header, str]:
    """A token's header; or what is wrong with it, beside one that says nothing."""
    first, *rest = token.split(".", 3)
    try:
        header = msgspec.json.decode(urlsafe_b64decode(first + "=" * (-len(first) % 4)), type=Header)
    except (ValueError, msgspec.MsgspecError):
        return Header(""), "what is no token"
    if len(rest) != 2:
        return Header(""), "what is no signed token of three parts"
    if header.crit is not None:
        return header, "a token with critical extensions"
    if header.typ.lower() not in _TYPES:
        return header, f"a token of type '{shown(header.typ)}'"
    return header, ""


def _key_for(header: Header, keys: tuple[PublicKey, ...]) -> PublicKey | None:
    """The key that has signed, if it was one of these. A token that names none is good where one only can be meant."""
    fitting = [key for key in keys if header.alg in key.algorithms and header.kid in ("", key.kid)]
    return fitting[0] if len(fitting) == 1 else None


def _with_header(token: str, header: Mapping[str, str]) -> str:
    encoded = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    payload, _, signature = [*token.split(".", 1), ""][1].partition(".")
    return f"{encoded}.{payload}.{signature}"
