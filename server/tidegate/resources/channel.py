"""A channel of a manifest as its document has it: what it is called, and which ones are the same. Pure.

The URLs of Slack and Teams are secrets, and those of webhooks may have one in their path: neither is ever told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tidegate.protocol.errors import shown
from tidegate.resources.parts import at

SORTS = ("slack", "teams", "webhook")
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_deterministic = msgspec.json.Encoder(order="deterministic")


def sort_of(channel: Mapping[str, Any]) -> str:
    """Which of ``SORTS`` it is; '' for none of them."""
    return next((sort for sort in SORTS if channel.get(sort) is not None), "")


def secret_of(channel: Mapping[str, Any]) -> str:
    """The name of its secret; '' where it has none."""
    return str(at(channel, sort_of(channel), "secretRef") or "")


def is_secret_name(name: str) -> bool:
    """Whether a secret can have this name, in Kubernetes as well."""
    return _SECRET.fullmatch(name) is not None


def words_of(channel: Mapping[str, Any]) -> str:
    """What people know it by: ``slack by the secret team-slack``, ``the webhook at https://hooks.example``."""
    sort = sort_of(channel)
    if sort == "webhook":
        return f"the webhook at {_origin(str(at(channel, sort, 'url') or ''))}"
    return f"{sort or 'no channel'} by the secret {shown(secret_of(channel))}"


def lane_of(namespace: str, channel: Mapping[str, Any]) -> str:
    """The same for all that goes to one channel of a namespace, whichever service it is about."""
    where = {sort: channel[sort] for sort in SORTS if channel.get(sort) is not None}
    return hashlib.blake2b(_deterministic.encode((namespace, where)), digest_size=16).hexdigest()


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        return shown(f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else ""))
    except ValueError:
        return "an address that is none"
