"""Channels for tests: what is sent to them, answers that a test chooses, and secrets in memory. ::

receiver = Receiver()
courier = Courier(MemorySecrets({("default", "team"): SLACK_URL}), OutgoingSettings(), receiver)
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

from tidegate.control.notifications.secrets import SecretUnusable
from tidegate.outgoing.sending import Answer
from tidegate.outgoing.settings import OutgoingSettings

SLACK_URL = "https://hooks.slack.com/services/T0/B0/very-secret"
WEBHOOK_KEY = "whsec_" + "dGhpcnR5LXR3byBieXRlcyBvZiBhIHNlY3JldCEhISE="
"""For signatures of webhooks."""


class Sent(NamedTuple):
    """One request that came, and the origins that it was allowed to go to."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    origins: tuple[str, ...]


class Receiver:
    """In place of ``outgoing.sending.send``: 200 to everything, unless ``answers`` has something else for the URL."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.answers: dict[str, deque[Answer | Exception]] = defaultdict(deque)
        self.gate = asyncio.Event()
        """Answers wait for it; it is open from the beginning."""
        self.gate.set()
        self.at_a_time = 0
        self._now = 0

    def will_answer(self, url: str, *answers: int | Exception, **headers: str) -> None:
        """The next answers of a URL: statuses, or errors that are raised. ``headers`` have underscores for hyphens."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        for answer in answers:
            self.answers[url].append(Answer(answer, told, b"") if isinstance(answer, int) else answer)

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str], settings: OutgoingSettings) -> Answer:
        self.sent.append(Sent(url, body, headers, settings.origins))
        self._now += 1
        self.at_a_time = max(self.at_a_time, self._now)
        try:
            await self.gate.wait()
        finally:
            self._now -= 1
        answer = self.answers[url].popleft() if self.answers[url] else Answer(200, {}, b"ok")
        if isinstance(answer, Exception):
            raise answer
        return answer


class MemorySecrets(dict[tuple[str, str], str]):
    """Secrets by namespace and name."""

    async def read(self, namespace: str, name: str) -> str:
        try:
            return self[namespace, name]
        except KeyError:
            raise SecretUnusable(f"there is no secret '{namespace}/{name}'") from None
