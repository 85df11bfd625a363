"""One attempt: the right secret, the right way, and an outcome in words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.outcome import Fate, Outcome
from tidegate.outgoing.fetch import DestinationRefused, FetchFailed
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.resources.store import Occurrence
from tidegate.testing.channels import SLACK_URL, WEBHOOK_KEY, MemorySecrets, Receiver
from tidegate.testing.stores import key, occurrence

SLACK = {"slack": {"secretRef": "team"}}
TEAMS = {"teams": {"secretRef": "team"}}
HOOK = {"webhook": {"url": "https://hooks.example/x", "secretRef": "key"}}
SETTINGS = OutgoingSettings(origins=("https://allowed.example",))


def deliver(channel: dict[str, Any], receiver: Receiver, told: Occurrence | None = None, **secrets: str) -> Outcome:
    held = MemorySecrets({("default", name): value for name, value in secrets.items()})
    return asyncio.run(Courier(held, SETTINGS, receiver).deliver(channel, told or occurrence(), 1.0))


@pytest.mark.parametrize("channel", [SLACK, TEAMS])
def test_a_chat_gets_a_message_at_its_secret_address(channel: dict[str, Any]) -> None:
    """Whose origin is allowed because the operator has given it; the ones that he allowed stay."""
    receiver = Receiver()
    assert deliver(channel, receiver, team=SLACK_URL) == Outcome(Fate.DELIVERED, "it answered 200")
    [sent] = receiver.sent
    assert sent.url == SLACK_URL
    assert sent.headers["content-type"] == "application/json"
    assert sent.origins == ("https://allowed.example", "https://hooks.slack.com")


def test_an_address_without_encryption_is_not_allowed_by_itself() -> None:
    """The secret would be readable on the way: who wants that says so with --outgoing."""
    receiver = Receiver()
    deliver(SLACK, receiver, team="http://hooks.slack.com/x")
    assert receiver.sent[0].origins == ("https://allowed.example",)


def test_a_manifests_address_must_be_allowed() -> None:
    """A webhook's URL is named by whoever may write the service."""
    receiver = Receiver()
    deliver(HOOK, receiver, key=WEBHOOK_KEY)
    assert receiver.sent[0].origins == ("https://allowed.example",)
    assert "webhook-signature" in receiver.sent[0].headers


def test_a_secret_is_the_namespaces_own() -> None:
    """One of the same name in another namespace is another one."""
    receiver = Receiver()
    outcome = deliver(SLACK, receiver, occurrence(about=key(namespace="other")), team=SLACK_URL)
    assert outcome == Outcome(Fate.MEND, "there is no secret 'other/team'")
    assert receiver.sent == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (404, Outcome(Fate.REFUSED, "it answered 404")),
        (503, Outcome(Fate.AGAIN, "it answered 503", 7.0)),
        (429, Outcome(Fate.AGAIN, "it answered 429", 7.0)),
        (FetchFailed("https://h did not answer"), Outcome(Fate.AGAIN, "https://h did not answer")),
        (DestinationRefused("h is private"), Outcome(Fate.MEND, "h is private (--outgoing, --outgoing-network)")),
    ],
)
def test_an_attempt_has_an_outcome(answer: int | Exception, outcome: Outcome) -> None:
    """Whatever the channel, the network or the guard says."""
    receiver = Receiver()
    receiver.will_answer(SLACK_URL, answer, retry_after="7")
    assert deliver(SLACK, receiver, team=SLACK_URL) == outcome


@pytest.mark.parametrize("channel", [SLACK, HOOK])
def test_a_secret_that_is_none_is_never_told(channel: dict[str, Any]) -> None:
    """It may be a real one in the wrong place."""
    outcome = deliver(channel, Receiver(), team="very-secret", key="very-secret")
    assert outcome.fate is Fate.MEND
    assert "very-secret" not in outcome.why
