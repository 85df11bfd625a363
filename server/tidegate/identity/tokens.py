"""Recognises JSON Web Tokens. Those that were checked are remembered, for a signature takes longer than a route."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from tidegate.identity.authenticator import Refused
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity
from tidegate.identity.key import PREFIX
from tidegate.identity.key_set import KeySet
from tidegate.identity.replay import Replays
from tidegate.identity.settings import TokenSettings, Unusable
from tidegate.identity.token import Verify, identity_of, key_id, verified_claims, verify

log = logging.getLogger(__name__)

REMEMBERED = 4096
"""Tokens whose check is remembered, a few hundred bytes each."""


LONGEST = 1e9
"""Seconds, about 30 years: what a token says of its end may be any number."""


class _Checked(msgspec.Struct, frozen=True):
    identity: Identity
    until: float
    generation: int


class Tokens:
    """``now`` is in seconds since 1970. What begins as an API key is none of its tokens."""

    def __init__(
        self,
        settings: TokenSettings,
        keys: KeySet,
        *,
        now: Callable[[], float] = time.time,
        verify: Verify = verify,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._now = now
        self._verify = verify
        self._replays = Replays(now()) if settings.one_time else None
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()

    async def open(self) -> None:
        """Read the issuer's keys. An issuer that cannot be reached now may be later, and only tokens wait for it.

        Raises:
            Unusable: they are in a file that cannot be used.
        """
        try:
            await self._keys.load()
        except Unusable as error:
            if not self._settings.url:
                raise
            log.error("no token is recognised until the issuer's keys can be read: %s", error)

    async def close(self) -> None:
        """End what is being read."""
        await self._keys.close()

    async def recognise(self, credentials: Credentials) -> Identity | None:
        token = credentials.token
        if not token or token.startswith(PREFIX):
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._checked.get(digest)
        if known is not None and known.generation == self._keys.generation and self._now() < known.until:
            self._keys.look()  # else a key that the issuer took back would hold for as long as only known tokens come
            return known.identity
        return await self._check(token, digest)

    async def _check(self, token: str, digest: bytes) -> Identity:
        keys = await self._keys.keys(key_id(token))
        if not keys:
            raise Refused(f"a token, while the keys of issuer {self._settings.issuer} are not known")
        now = self._now()
        claims = verified_claims(token, keys, self._settings, now, self._verify)
        identity = identity_of(claims, self._settings)
        until = min(claims["exp"], now + LONGEST) + self._settings.leeway
        if self._replays is None:
            self._remember(digest, _Checked(identity, until, self._keys.generation))
        else:
            self._replays.use(claims.get("jti"), claims.get("iat"), until, now)
        return identity

    def _remember(self, digest: bytes, checked: _Checked) -> None:
        self._checked[digest] = checked
        self._checked.move_to_end(digest)
        if len(self._checked) > REMEMBERED:
            self._checked.popitem(last=False)
