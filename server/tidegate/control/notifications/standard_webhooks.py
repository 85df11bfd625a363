"""The headers of Standard Webhooks, with the signature (https://www.standardwebhooks.com, symmetric v1). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
LEAST, MOST = 24, 64
"""Bytes of a key, as the specification has it."""


def key_of(secret: str) -> bytes:
    """The key of a secret ``whsec_…``.

    Raises:
        ValueError: it is none. The message does not tell it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if not LEAST <= len(key) <= MOST:
        raise ValueError(f"expected {PREFIX} and {LEAST} to {MOST} bytes in base64")
    return key


def headers_of(identity: str, body: bytes, key: bytes | None, now: float) -> dict[str, str]:
    """The headers of one attempt. The id is the same for each attempt at the same occurrence, so that who reads it can
    tell; without a key there is no signature."""
    message_id = f"msg_{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    timestamp = str(int(now))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    if key is not None:
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        headers["webhook-signature"] = f"v1,{signature}"
    return headers
