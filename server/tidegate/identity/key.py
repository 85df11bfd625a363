"""API keys: ``tidegate_ID_SECRET``, of which the server keeps the SHA-256 and what the key is for. Pure.

The secret has 256 random bits. There is nothing to guess, so that a plain hash keeps it as well as a slow one would,
and a request costs microseconds instead of a tenth of a second. An entry may stand for a client certificate instead:
it then has the name in the certificate, and no hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from tidegate.identity.authenticator import Refused
from tidegate.identity.identity import Identity, Proof, Role
from tidegate.identity.quota import Quota
from tidegate.identity.scope import parse_scopes
from tidegate.protocol.errors import shown

PREFIX = "tidegate_"
ANY_TENANT = "*"
"""The tenant of a key whose owner speaks for others. As a name, of a key or in a token, it is a name like any."""

_FORM = re.compile(r"tidegate_([0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CERTIFICATE = re.compile(r"(URI|DNS|email):\S+")
_NOBODY = "0" * 64
"""The hash that a key is held against which is not there: the work is the same, and nothing has this hash."""

Compare = Callable[[str, str], bool]


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entry of the file of keys.

    Raises:
        ValueError: a field is not of its form.
    """

    id: str
    """Twelve hexadecimal digits; what is told of the key in lists and logs."""
    name: str
    """Whom it is for. Several keys of one name are one identity, so that one can take over from another."""
    hash: str = ""
    """SHA-256 of the whole key, in hexadecimal; "" for a certificate."""
    certificate: str = ""
    """The name in the client certificate, ``URI:…``, ``DNS:…`` or ``email:…``; "" for a key with a secret."""
    scopes: tuple[str, ...] = ()
    """Rights on the data ports (``identity.scope``)."""
    role: Role | None = None
    """Rights on the admin port."""
    tenant: str = ""
    """Whom its requests count for in the queue; "" for its name, "*" for whom each of them says."""
    rate: float = 0.0
    """Requests per second, and so on: see ``Quota``."""
    burst: int = 0
    concurrent: int = 0
    created: float = 0.0
    """Seconds since 1970."""
    expires: float = 0.0
    """The same; 0 for never."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"id is '{shown(self.id)}', expected twelve hexadecimal digits")
        if not self.name or not self.name.isprintable() or len(self.name) > 128:
            raise ValueError(f"name is '{shown(self.name)}', expected 1 to 128 printable characters")
        if bool(self.hash) == bool(self.certificate):
            raise ValueError(f"key {self.id} has hash and certificate, or neither; expected one of them")
        if self.hash and not _HASH.fullmatch(self.hash):
            raise ValueError(f"hash of key {self.id} is not a SHA-256 in hexadecimal")
        if self.certificate and not _CERTIFICATE.fullmatch(self.certificate):
            raise ValueError(f"certificate is '{shown(self.certificate)}', expected URI:…, DNS:… or email:…")
        if not self.tenant.isprintable():
            raise ValueError(f"tenant is '{shown(self.tenant)}', expected printable text")
        identity_of(self)

    def expired(self, now: float) -> bool:
        return bool(self.expires) and now >= self.expires


class Keys(msgspec.Struct, frozen=True):
    """All entries, by what they are found by."""

    by_id: Mapping[str, Key] = {}
    by_certificate: Mapping[str, Key] = {}

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Keys:
        """The keys.

        Raises:
            ValueError: two have one id, or one certificate.
        """
        by_id: dict[str, Key] = {}
        by_certificate: dict[str, Key] = {}
        for key in keys:
            if by_id.setdefault(key.id, key) is not key:
                raise ValueError(f"id {key.id} is there twice")
            if key.certificate and by_certificate.setdefault(key.certificate, key) is not key:
                raise ValueError(f"certificate '{shown(key.certificate)}' is there twice")
        return cls(by_id, by_certificate)


def secret_of(key_id: str, random: bytes) -> str:
    """A key's whole text from its id and 32 random bytes. It is shown once, and kept nowhere."""
    return f"{PREFIX}{key_id}_{random.hex()}"


def hash_of(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def verified(keys: Keys, text: str, now: float, compare: Compare = hmac.compare_digest) -> Key:
    """The key that a text is. A text that is none costs what a wrong one does: one hash, one comparison.

    ``now`` is in seconds since 1970.

    Raises:
        Refused: it is none, or has expired.
    """
    form = _FORM.fullmatch(text)
    key = keys.by_id.get(form[1]) if form else None
    if not compare(key.hash if key is not None and key.hash else _NOBODY, hash_of(text)) or key is None:
        raise Refused(f"no API key {form[1]}" if form and key is None else "a wrong API key")
    if key.expired(now):
        raise Refused(f"API key {key.id} of '{shown(key.name)}' has expired")
    return key


def identity_of(key: Key) -> Identity:
    """Whose key it is, and what it is good for.

    Raises:
        ValueError: a scope or a bound is not of its form.
    """
    return Identity(
        name=key.name,
        proof=Proof.CERTIFICATE if key.certificate else Proof.KEY,
        scopes=parse_scopes(key.scopes),
        role=Role.ADMIN if "admin:*" in key.scopes else key.role,
        tenant=key.tenant or key.name,
        proxy=key.tenant == ANY_TENANT,
        quota=Quota(rate=key.rate, burst=key.burst, concurrent=key.concurrent),
    )
