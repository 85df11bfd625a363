"""One attempt to tell one channel: its secret, its message, the way through the guard, and what the answer means."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from tidegate.control.notifications.letter import Unwritable, allowed_for, letter_of
from tidegate.control.notifications.outcome import Fate, Outcome, judged
from tidegate.control.notifications.secrets import Secrets, SecretUnusable
from tidegate.outgoing.fetch import DestinationRefused, FetchFailed
from tidegate.outgoing.sending import Answer, send
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.resources.channel import secret_of
from tidegate.resources.store import Occurrence


class Send(Protocol):
    """``outgoing.sending.send``."""

    def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], settings: OutgoingSettings
    ) -> Awaitable[Answer]: ...


class Courier:
    """Knows the secrets, and where messages may go."""

    def __init__(self, secrets: Secrets, outgoing: OutgoingSettings, send: Send = send) -> None:
        self._secrets = secrets
        self._outgoing = outgoing
        self._send = send

    async def deliver(self, channel: Mapping[str, Any], occurrence: Occurrence, now: float) -> Outcome:
        """Send it once. ``now`` is the time of the signature, in seconds since 1970."""
        try:
            name = secret_of(channel)
            secret = await self._secrets.read(occurrence.about.namespace or "default", name) if name else None
            letter = letter_of(channel, occurrence, secret, now)
            answer = await self._send(letter.url, letter.body, letter.headers, allowed_for(letter, self._outgoing))
        except (SecretUnusable, Unwritable) as error:
            return Outcome(Fate.MEND, str(error))
        except DestinationRefused as error:
            return Outcome(Fate.MEND, f"{error} (--outgoing, --outgoing-network)")
        except FetchFailed as error:
            return Outcome(Fate.AGAIN, error.message)
        return judged(answer.status, answer.body, answer.headers.get("retry-after", ""), now)
