"""An occurrence as a request to one channel: address, headers, body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tidegate.control.cloud_events import MEDIA_TYPE, cloud_event
from tidegate.control.notifications.slack import slack_message
from tidegate.control.notifications.standard_webhooks import headers_of, key_of
from tidegate.control.notifications.teams import teams_message
from tidegate.outgoing.settings import OutgoingSettings, origin_of
from tidegate.protocol.errors import shown
from tidegate.resources.channel import secret_of, sort_of
from tidegate.resources.store import Occurrence


class Letter(msgspec.Struct, frozen=True):
    """A POST. ``vouched`` says that the operator of the server has named its address, and not a manifest."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    vouched: bool = False


class Unwritable(Exception):
    """A channel or its secret is not what it should be; the message is one sentence, without the secret."""


def letter_of(channel: Mapping[str, Any], occurrence: Occurrence, secret: str | None, now: float) -> Letter:
    """The request that tells a channel of an occurrence; ``secret`` is what its secret holds, if it has one.

    Raises:
        Unwritable: the channel is none, or the secret holds something else than it should.
    """
    sort = sort_of(channel)
    if sort == "webhook":
        body = msgspec.json.encode(cloud_event(occurrence))
        headers = {"content-type": MEDIA_TYPE, **headers_of(occurrence.id, body, _key(channel, secret), now)}
        return Letter(str(channel[sort].get("url", "")), headers, body)
    if sort in ("slack", "teams"):
        message = slack_message(occurrence) if sort == "slack" else teams_message(occurrence)
        url = _url(channel, secret or "")
        return Letter(url, {"content-type": "application/json"}, msgspec.json.encode(message), vouched=True)
    raise Unwritable("the channel is neither slack nor teams nor webhook")


def allowed_for(letter: Letter, outgoing: OutgoingSettings) -> OutgoingSettings:
    """Where a request may go. An https address in a secret is the operator's, who need not allow it once more; which
    networks it may lie in is still said by the settings alone."""
    if not letter.vouched or not letter.url.startswith("https://"):
        return outgoing
    return msgspec.structs.replace(outgoing, origins=(*outgoing.origins, origin_of(letter.url)))


def _key(channel: Mapping[str, Any], secret: str | None) -> bytes | None:
    if secret is None:
        return None
    try:
        return key_of(secret)
    except ValueError as error:
        raise Unwritable(
            f"the secret '{shown(secret_of(channel))}' holds no key of Standard Webhooks, {error}"
        ) from None


def _url(channel: Mapping[str, Any], secret: str) -> str:
    """The URL that a secret holds; nothing of it may come into an error."""
    try:
        parts = urlsplit(secret)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
        origin_of(secret)
    except ValueError:
        good = False
    if not good or not secret.isascii() or any(sign.isspace() for sign in secret):
        raise Unwritable(f"the secret '{shown(secret_of(channel))}' holds no URL, expected https://HOST/PATH")
    return secret
