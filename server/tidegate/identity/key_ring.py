"""The API keys that hold at the moment: those of the file, which is looked at again when somebody asks.

A file that is damaged, or gone, changes nothing: the keys of before stay, and the log says so once.
"""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from tidegate.identity.authenticator import Refused
from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity
from tidegate.identity.key import Compare, identity_of, verified
from tidegate.identity.key_file import read_keys
from tidegate.identity.settings import Unusable
from tidegate.protocol.errors import shown

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the file, and so until a revoked key is refused."""

Clock = Callable[[], float]
_identity = lru_cache(maxsize=4096)(identity_of)


class KeyRing:
    """The keys of one file, and what they are held against.

    Raises:
        Unusable: the file cannot be used now.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Clock = time.time,
        clock: Clock = time.monotonic,
        compare: Compare = hmac.compare_digest,
    ) -> None:
        self._path = path
        self._now = now
        self._clock = clock
        self._compare = compare
        self._seen = _trace(path)
        self._keys = read_keys(path)
        self._looked = clock()

    def __repr__(self) -> str:
        return f"<KeyRing {self._path}, {len(self._keys.by_id)} keys>"

    def by_secret(self, text: str) -> Identity:
        """Whose key a text is.

        Raises:
            Refused: nobody's.
        """
        self._look()
        return _identity(verified(self._keys, text, self._now(), self._compare))

    def by_certificate(self, names: tuple[str, ...]) -> Identity | None:
        """Whom the names in a certificate stand for, None for nobody that is known.

        Raises:
            Refused: it was somebody, until his entry expired.
        """
        self._look()
        key = next((key for name in names if (key := self._keys.by_certificate.get(name)) is not None), None)
        if key is None:
            return None
        if key.expired(self._now()):
            raise Refused(f"the entry {key.id} of certificate '{shown(key.certificate)}' has expired")
        return _identity(key)

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        trace = _trace(self._path)
        if trace == self._seen:
            return
        self._seen = trace
        try:
            self._keys = read_keys(self._path)
        except Unusable as error:
            log.error("%s; those of before stay", error)


class ApiKeys:
    """Recognises API keys. Every token is taken for one, so this goes last."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def recognise(self, credentials: Credentials) -> Identity | None:
        return self._ring.by_secret(credentials.token) if credentials.token else None


class Certificates:
    """Recognises client certificates, whose authority the listener has checked."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def recognise(self, credentials: Credentials) -> Identity | None:
        certificate = credentials.certificate
        return None if certificate is None else self._ring.by_certificate(certificate.names)


def _trace(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; nothing where it cannot be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
