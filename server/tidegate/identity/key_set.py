"""An issuer's public keys: read once, and again when they are old or a token names one that is not among them.

Reading never holds up a request whose key is known. It is done once at a time, and after a pause, so that tokens with
invented key ids do not become requests to the issuer. If it fails, the keys of before stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tidegate.identity.public_key import PublicKey, read_keys
from tidegate.identity.settings import TokenSettings, Unusable
from tidegate.outgoing.fetch import DestinationRefused, FetchFailed, fetch
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import shown

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
"""Of a key set; a hundred keys of RSA are less."""


class Source(Protocol):
    """Where a key set is."""

    async def read(self) -> bytes:
        """The document.

        Raises:
            Unusable: it cannot be had.
        """
        ...


class KeyFile:
    """A key set on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise Unusable(f"{self._path} cannot be read: {error.strerror or error}") from error
        if len(data) > MAX_BYTES:
            raise Unusable(f"{self._path} has more than {MAX_BYTES} bytes")
        return data


class KeyUrl:
    """A key set at a URL, through the guard."""

    def __init__(self, url: str, settings: OutgoingSettings) -> None:
        self._url = url
        self._settings = settings

    async def read(self) -> bytes:
        try:
            return await fetch(self._url, self._settings)
        except (DestinationRefused, FetchFailed) as error:
            raise Unusable(str(error)) from error


class KeySet:
    """The keys. ``clock`` is in seconds; ``generation`` grows whenever they may have changed."""

    def __init__(self, source: Source, settings: TokenSettings, clock: Callable[[], float]) -> None:
        self._source = source
        self._settings = settings
        self._clock = clock
        self._keys: tuple[PublicKey, ...] = ()
        self._read_at = 0.0
        self._tried_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self.generation = 0

    def __repr__(self) -> str:
        return f"<KeySet {self._settings.issuer}, {len(self._keys)} keys>"

    async def load(self) -> None:
        """Read the keys now.

        Raises:
            Unusable: they cannot be had, or used.
        """
        self._tried_at = self._clock()
        document = await self._source.read()
        try:
            self._keys = read_keys(document, self._settings.algorithms)
        except ValueError as error:
            raise Unusable(f"{self._settings.keys}: {error}") from error
        self._read_at = self._clock()
        self.generation += 1

    async def keys(self, kid: str) -> tuple[PublicKey, ...]:
        """The keys, read again before if none of them has this id."""
        if not self._keys or (kid and all(key.kid != kid for key in self._keys)):
            reading = self._refreshed()
            if reading is not None:
                await asyncio.shield(reading)
        else:
            self.look()
        return self._keys

    def look(self) -> None:
        """Have the keys read again if they are old, without waiting for that."""
        if self._clock() - self._read_at >= self._settings.refresh_after:
            self._refreshed()

    async def close(self) -> None:
        """End what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _refreshed(self) -> asyncio.Task[None] | None:
        """The task that reads the keys, None where it is too soon for another."""
        if self._reading is not None and not self._reading.done():
            return self._reading
        if self._tried_at is not None and self._clock() - self._tried_at < self._settings.refresh_pause:
            return None
        self._tried_at = self._clock()
        self._reading = asyncio.get_running_loop().create_task(self._refresh(), name="key set")
        return self._reading

    async def _refresh(self) -> None:
        try:
            await self.load()
        except Unusable as error:
            log.error("the keys of issuer %s stay as they were: %s", shown(self._settings.issuer), error)
        except Exception:
            log.exception("the keys of issuer %s stay as they were", shown(self._settings.issuer))
