"""From settings to whoever recognises callers, in the order in which they are asked: certificate, token, key."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from tidegate.gateway.access import Access
from tidegate.identity.authenticator import Authenticator, Recogniser
from tidegate.identity.key_ring import ApiKeys, Certificates, KeyRing
from tidegate.identity.settings import IdentitySettings, TokenSettings, Way

if TYPE_CHECKING:
    from tidegate.identity.tokens import Tokens


class Recognition:
    """What one process has to recognise callers. ``authenticator`` is None where nobody is asked who he is.

    Raises:
        Unusable: the file of API keys cannot be used.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._tokens: Tokens | None = None
        found: list[Recogniser] = []
        ring = None if settings.api_keys is None or not settings.ways else KeyRing(settings.api_keys)
        if ring is not None and Way.MTLS in settings.ways:
            found.append(Certificates(ring))
        if settings.tokens is not None and Way.JWT in settings.ways:
            self._tokens = tokens_of(settings.tokens, settings)
            found.append(self._tokens)
        if ring is not None and Way.KEYS in settings.ways:
            found.append(ApiKeys(ring))
        self.authenticator = Authenticator(*found) if found else None

    def access(self) -> Access | None:
        """Who is let in to a data plane; None for everybody."""
        return None if self.authenticator is None else Access(self.authenticator, self._settings.quota)

    async def open(self) -> None:
        """Read what there is to read before anybody is recognised.

        Raises:
            Unusable: see ``Tokens.open``.
        """
        if self._tokens is not None:
            await self._tokens.open()

    async def close(self) -> None:
        if self._tokens is not None:
            await self._tokens.close()


def tokens_of(tokens: TokenSettings, settings: IdentitySettings) -> Tokens:
    """Whoever recognises an issuer's tokens."""
    # Here, because they bring a library of cryptography, which a server without tokens does not need.
    from tidegate.identity.key_set import KeyFile, KeySet, KeyUrl, Source
    from tidegate.identity.tokens import Tokens

    source: Source = KeyFile(Path(tokens.keys))
    if tokens.url:
        source = KeyUrl(tokens.keys, settings.outgoing_to(tokens.keys))
    return Tokens(tokens, KeySet(source, tokens, monotonic))
