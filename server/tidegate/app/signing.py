"""Signatures of what a user's own checks are asked, with the secrets that their manifests name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping

from tidegate.control.notifications.secrets import Secrets, SecretUnusable
from tidegate.control.notifications.standard_webhooks import headers_of, key_of
from tidegate.outgoing.fetch import FetchFailed


class Signer:
    """A ``Sign`` of the examiner, by Standard Webhooks. Each question has an id of its own."""

    def __init__(self, secrets: Secrets, clock: Callable[[], float] = time.time) -> None:
        self._secrets = secrets
        self._clock = clock

    async def __call__(self, namespace: str, name: str, body: bytes) -> Mapping[str, str]:
        """The headers of one question.

        Raises:
            FetchFailed: the secret is not there, or is none.
        """
        try:
            key = key_of(await self._secrets.read(namespace, name))
        except SecretUnusable as error:
            raise FetchFailed(str(error)) from error
        except ValueError as error:
            raise FetchFailed(f"the secret '{namespace}/{name}' cannot be used: {error}") from error
        return headers_of(uuid.uuid4().hex, body, key, self._clock())
