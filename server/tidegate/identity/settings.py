"""How callers are recognised, as an operator says it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tidegate.identity.quota import UNLIMITED, Quota
from tidegate.outgoing.settings import OutgoingSettings, origin_of
from tidegate.protocol.errors import shown


class Unusable(Exception):
    """A file or a key set about identity that cannot be used; the message is one sentence that names it."""


ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
)  # fmt: skip
"""All of them are signatures with a private key. A shared secret (HS256) would let us issue tokens, too."""


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which JSON Web Tokens are good, and what their claims mean.

    Raises:
        ValueError: issuer, audience or keys are missing, or a field is out of its range.
    """

    issuer: str
    """The claim ``iss``, to the letter."""
    audience: str
    """Us, among those that the claim ``aud`` names."""
    keys: str
    """The issuer's JSON Web Key Set: a file, or a URL over HTTPS."""
    algorithms: tuple[str, ...] = ALGORITHMS
    """Those that a token may be signed with, as far as its key is for them."""
    leeway: float = 30.0
    """Seconds that the issuer's clock and ours may differ."""
    name_claim: str = "sub"
    """The claim that names the caller."""
    tenant_claim: str = "tenant"
    """The claim that names the tenant; without it the caller is his own."""
    scope_claim: str = "scope"
    """The claim with his rights, a text with spaces or a list; what is no scope of ours in it is passed over."""
    role_claim: str = ""
    """The claim with his role at the admin port (view, edit, admin); "" for no roles by tokens."""
    one_time: bool = False
    """Whether a token is good for one request only, by its claim ``jti``."""
    refresh_after: float = 3600.0
    """Seconds after which the keys are read again, while the old ones still hold."""
    refresh_pause: float = 30.0
    """Seconds at least between two times that they are read, so that unknown key ids do not make us ask for each."""

    def __post_init__(self) -> None:
        for name in ("issuer", "audience", "keys", "name_claim"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty, expected a text")
        unknown = [algorithm for algorithm in self.algorithms if algorithm not in ALGORITHMS]
        if unknown or not self.algorithms:
            raise ValueError(
                f"algorithms has '{shown(unknown[0] if unknown else '')}', expected of {', '.join(ALGORITHMS)}"
            )
        if not 0 <= self.leeway <= 600:
            raise ValueError(f"leeway is {self.leeway:g}, expected 0 to 600 seconds")
        if self.url and urlsplit(self.keys).scheme != "https":
            raise ValueError(f"keys is '{shown(self.keys)}', expected a file, or a URL over https")

    @property
    def url(self) -> bool:
        """Whether the keys are fetched."""
        return "://" in self.keys


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the data ports are encrypted."""

    certificate: Path
    """The server's certificate in PEM, with those between it and its authority."""
    key: Path
    """Its private key in PEM, without a passphrase."""
    client_ca: Path | None = None
    """Authorities whose client certificates are looked at, in PEM; None asks clients for none."""


class Way(StrEnum):
    """How callers may show who they are."""

    KEYS = "keys"
    """API keys."""
    JWT = "jwt"
    """JSON Web Tokens."""
    MTLS = "mtls"
    """Client certificates."""


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Raises:
        ValueError: what a way needs is missing.
    """

    ways: frozenset[Way] = frozenset()
    """How callers may show who they are; where there is no way, nobody is asked."""
    api_keys: Path | None = None
    """The file of API keys, and of the names in certificates."""
    tokens: TokenSettings | None = None
    """Which JSON Web Tokens are good."""
    quota: Quota = UNLIMITED
    """Of each identity whose key has no bounds of its own."""
    outgoing: OutgoingSettings = OutgoingSettings()
    """Where keys of an issuer may be fetched from, beside the URL's own origin."""

    def __post_init__(self) -> None:
        if self.ways & {Way.KEYS, Way.MTLS} and self.api_keys is None:
            raise ValueError("api_keys is missing, expected the file that says who has which key or certificate")
        if Way.JWT in self.ways and self.tokens is None:
            raise ValueError("tokens is missing, expected issuer, audience and keys of JSON Web Tokens")

    def outgoing_to(self, url: str) -> OutgoingSettings:
        """The settings for a request to a URL that the operator himself has given: its origin is allowed."""
        return msgspec.structs.replace(self.outgoing, origins=(*self.outgoing.origins, origin_of(url)))
