"""Webhooks as their receivers read them: verified by the package of Standard Webhooks itself."""

from __future__ import annotations

import base64
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tidegate.control.notifications.letter import Unwritable, letter_of
from tidegate.control.notifications.standard_webhooks import headers_of, key_of
from tidegate.resources.channel import secret_of
from tidegate.testing.channels import WEBHOOK_KEY
from tidegate.testing.stores import occurrence

HOOK = {"webhook": {"url": "https://hooks.example/x", "secretRef": "key"}}


def test_a_webhook_is_a_cloud_event_that_verifies() -> None:
    """Structured JSON; the signature holds for this body, id and time, and for no other."""
    now = time.time()  # the package reads the clock
    letter = letter_of(HOOK, occurrence(), WEBHOOK_KEY, now)
    assert letter.headers["content-type"] == "application/cloudevents+json"
    verifier = Webhook(WEBHOOK_KEY)
    verifier.verify(letter.body, dict(letter.headers))
    assert msgspec.json.decode(letter.body)["type"] == "dev.tidegate.rollout.succeeded"
    with pytest.raises(WebhookVerificationError):
        verifier.verify(letter.body + b" ", dict(letter.headers))
    with pytest.raises(WebhookVerificationError):
        verifier.verify(letter.body, {**letter.headers, "webhook-id": "msg_other"})
    with pytest.raises(WebhookVerificationError):
        verifier.verify(letter.body, dict(letter_of(HOOK, occurrence(), WEBHOOK_KEY, now - 3600).headers))


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200), st.text(min_size=1))
def test_signatures_are_the_packages(key: bytes, body: bytes, identity: str) -> None:
    """For every key, body and id."""
    secret = "whsec_" + base64.b64encode(key).decode()
    assert key_of(secret) == key
    headers = headers_of(identity, body, key, 1_800_000_000.9)
    assert headers["webhook-timestamp"] == "1800000000"
    assert headers["webhook-id"].isascii()


def test_an_id_is_the_same_for_each_attempt() -> None:
    """So that who reads it can tell that he has had it; another occurrence has another one."""
    first, again = (letter_of(HOOK, occurrence(), WEBHOOK_KEY, now) for now in (1.0, 100.0))
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    other = letter_of(HOOK, occurrence("other"), WEBHOOK_KEY, 1.0)
    assert other.headers["webhook-id"] != first.headers["webhook-id"]


def test_without_a_secret_there_is_no_signature() -> None:
    """Id and time are there all the same."""
    letter = letter_of({"webhook": {"url": "https://hooks.example/x"}}, occurrence(), None, 1.0)
    assert {"webhook-id", "webhook-timestamp"} <= letter.headers.keys()
    assert "webhook-signature" not in letter.headers


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "dGhpcnR5LXR3byBieXRlcyBvZiBhIHNlY3JldCEhISE=",
        "whsec_short",
        "whsec_" + "A" * 100,
        "whsec_!" + "A" * 32,
    ],
)
def test_what_is_no_key_is_told_without_it(secret: str) -> None:
    """The name of the secret is enough to find it."""
    with pytest.raises(Unwritable) as caught:
        letter_of(HOOK, occurrence(), secret, 1.0)
    assert str(caught.value) == (
        "the secret 'key' holds no key of Standard Webhooks, expected whsec_ and 24 to 64 bytes in base64"
    )


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "token",
        "ftp://x/y",
        "https://",
        "https://h/a b",
        "https://user:word@h/x",
        "https://[::",
        "https://h:x/",
        "https://ä/",
    ],
)
def test_a_secret_that_is_no_url_is_told_without_it(secret: str) -> None:
    """Of Slack and Teams."""
    for sort in ("slack", "teams"):
        channel = {sort: {"secretRef": "team"}}
        assert secret_of(channel) == "team"
        with pytest.raises(Unwritable, match=r"^the secret 'team' holds no URL, expected https://HOST/PATH$"):
            letter_of(channel, occurrence(), secret, 1.0)


def test_what_is_no_channel_cannot_be_written_to() -> None:
    """As one that an older or newer version has left."""
    with pytest.raises(Unwritable, match=r"^the channel is neither slack nor teams nor webhook$"):
        letter_of({"pigeon": {}}, occurrence(), None, 1.0)
