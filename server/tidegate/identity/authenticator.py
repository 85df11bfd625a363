"""From credentials to an identity, or to the one refusal that there is.

A certificate is looked at first, then a JSON Web Token, then an API key; a way that is not set up recognises nobody.
Why somebody was refused is for the log, and never for him: the answer to every wrong credential is the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from tidegate.identity.credentials import Credentials
from tidegate.identity.identity import Identity
from tidegate.protocol.errors import Unauthenticated, shown

log = logging.getLogger(__name__)

LOG_EVERY = 1.0
"""Seconds between two lines about refusals: whoever guesses must not fill the disk."""


class Refused(Exception):
    """Why a credential was not accepted, for the log."""


class Recogniser(Protocol):
    """One way to prove who one is."""

    async def recognise(self, credentials: Credentials) -> Identity | None:
        """The identity; None where the credentials show nothing of this way's.

        Raises:
            Refused: they do, and it is not good.
        """
        ...


class Authenticator:
    """Asks each way in its order. ``clock`` is in seconds, and for the log alone."""

    def __init__(self, *recognisers: Recogniser, clock: Callable[[], float] = time.monotonic) -> None:
        self._recognisers = recognisers
        self._clock = clock
        self._told = -LOG_EVERY
        self._untold = 0

    async def identify(self, credentials: Credentials) -> Identity:
        """Whose credentials these are.

        Raises:
            Unauthenticated: nobody's.
        """
        try:
            for recogniser in self._recognisers:
                identity = await recogniser.recognise(credentials)
                if identity is not None:
                    return identity
        except Refused as refused:
            self._log(str(refused))
        else:
            self._log("no credentials" if not credentials.token else "credentials that nothing here recognises")
        raise Unauthenticated

    def _log(self, reason: str) -> None:
        now = self._clock()
        if now - self._told < LOG_EVERY:
            self._untold += 1
            return
        more = f" ({self._untold} more since the last line)" if self._untold else ""
        self._told, self._untold = now, 0
        log.warning("a caller was refused: %s%s", shown(reason, 200), more)
