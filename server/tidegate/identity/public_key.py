"""An issuer's public keys, as a JSON Web Key Set lists them (RFC 7517), and what each may be used for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

MAX_KEYS = 100
"""Of one issuer; the big ones have ten."""

_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_CURVES = {
    "P-256": frozenset(("ES256",)),
    "P-384": frozenset(("ES384",)),
    "P-521": frozenset(("ES512",)),
    "Ed25519": frozenset(("Ed25519", "EdDSA")),
}
_LEAST_BITS = 2048
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")


class PublicKey(msgspec.Struct, frozen=True):
    """One key of an issuer, and the algorithms that it is for."""

    kid: str
    algorithms: frozenset[str]
    key: Key


class Entry(msgspec.Struct, frozen=True):
    """What is read of an entry besides the numbers of the key itself."""

    kty: str
    crv: str = ""
    kid: str = ""
    alg: str = ""
    n: str = ""
    use: str = "sig"
    key_ops: tuple[str, ...] = ("verify",)

    def algorithms(self) -> frozenset[str]:
        """Those that it can check: none of a shared secret, which an issuer would not publish."""
        if self.use != "sig" or "verify" not in self.key_ops:
            return frozenset()
        able = (
            _RSA
            if self.kty == "RSA"
            else _CURVES.get(self.crv, frozenset())
            if self.kty in ("EC", "OKP")
            else frozenset()
        )
        return able & {self.alg} if self.alg else able


class Document(msgspec.Struct, frozen=True):
    keys: tuple[msgspec.Raw, ...]


def read_keys(document: bytes, algorithms: Iterable[str]) -> tuple[PublicKey, ...]:
    """The keys of a set that can check signatures; others (secret, weak, unknown) are left out.

    Raises:
        ValueError: it is no such set, or none of it can be used.
    """
    try:
        entries = msgspec.json.decode(document, type=Document).keys
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError("it is no JSON Web Key Set: an object with a list 'keys' is expected") from error
    if len(entries) > MAX_KEYS:
        raise ValueError(f"the JSON Web Key Set has {len(entries)} keys, at most {MAX_KEYS} are expected")
    allowed = frozenset(algorithms)
    keys = tuple(key for entry in entries if (key := _public_key(bytes(entry), allowed)) is not None)
    if not keys:
        raise ValueError("the JSON Web Key Set has no key that can check a signature")
    return keys


def _public_key(text: bytes, allowed: frozenset[str]) -> PublicKey | None:
    try:
        entry = msgspec.json.decode(text, type=Entry)
        numbers = msgspec.json.decode(text, type=dict[str, object])
        algorithms = entry.algorithms() & allowed
        if not algorithms or (entry.kty == "RSA" and len(entry.n) * 6 < _LEAST_BITS):  # joserfc would warn of it
            return None
        key = import_key(_strings(numbers))
        public = key.public_key
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, KeyError):
        return None
    weak = isinstance(public, RSAPublicKey) and public.key_size < _LEAST_BITS
    return None if weak else PublicKey(entry.kid, algorithms, key)


def _strings(numbers: Mapping[str, object]) -> dict[str, str | list[str]]:
    return {name: value for name in _PUBLIC if isinstance(value := numbers.get(name), str)}
