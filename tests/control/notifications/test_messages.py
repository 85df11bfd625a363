"""The forms of messages: held against slack_sdk's own models, and against what Teams and Slack make of hostile text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block, ContextBlock, HeaderBlock, SectionBlock

from tidegate.control.notifications.slack import escaped, slack_message
from tidegate.control.notifications.teams import teams_message
from tidegate.resources.store import Occurrence, Severity
from tidegate.testing.stores import occurrence

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
occurrences = st.builds(
    occurrence,
    st.just("x"),
    message=st.text(max_size=5000),
    severity=st.sampled_from(Severity),
    data=st.dictionaries(st.text(max_size=300), plain | st.lists(plain, max_size=2), max_size=12),
)
HOSTILE = "<!channel> <@U1> <https://evil.example|click> & *bold* [x](https://evil.example) <at>all</at>"


def test_slack_gets_a_header_a_sentence_facts_and_a_footer() -> None:
    """And a text for where blocks are not shown."""
    message = slack_message(
        occurrence(data={"revision": 3, "share": 0.25, "verdict": "pass", "steps": [1], "on": True})
    )
    assert message["text"] == "Rollout succeeded: default/iris: revision 2 has all of the traffic"
    header, sentence, facts, footer = message["blocks"]
    assert header["text"]["text"] == "Rollout succeeded: default/iris"
    assert sentence["text"]["text"] == "revision 2 has all of the traffic"
    assert [field["text"] for field in facts["fields"]] == [
        "*revision*\n3", "*share*\n0.25", "*verdict*\npass", "*on*\nyes"
    ]  # fmt: skip
    assert footer["elements"][0]["text"] == "rollout.succeeded · ModelService · 2027-01-15T08:00:00.000Z"
    assert all(field["verbatim"] for field in (sentence["text"], *facts["fields"], *footer["elements"]))


def test_a_warning_looks_like_one() -> None:
    """In both chats."""
    warning = occurrence(severity=Severity.WARNING, reason="ModelFailed")
    assert slack_message(warning)["blocks"][0]["text"]["text"] == "⚠ Model failed: default/iris"
    [attachment] = teams_message(warning)["attachments"]
    assert attachment["content"]["body"][0]["inlines"][0]["color"] == "Warning"


def test_slack_reads_no_control_characters_in_what_others_wrote() -> None:
    """No mention, no link: & < > are escaped everywhere."""
    message = slack_message(occurrence(message=HOSTILE, data={HOSTILE: HOSTILE}))
    texts = [message["text"], *(text["text"] for text in _texts(message["blocks"]) if text["type"] == "mrkdwn")]
    assert len(texts) == 4
    for text in texts:
        assert "<" not in text
        assert ">" not in text
    assert "&lt;!channel&gt;" in message["text"]
    assert "&amp; *bold*" in message["text"]


@given(occurrences)
def test_slack_takes_every_message(told: Occurrence) -> None:
    """slack_sdk's models, which know the bounds of Slack, find no fault with any."""
    message = msgspec.json.decode(msgspec.json.encode(slack_message(told)))
    assert 0 < len(message["text"]) <= 3000
    blocks = Block.parse_all(message["blocks"])
    assert {type(block) for block in blocks} <= {HeaderBlock, SectionBlock, ContextBlock}
    for block in blocks:
        block.validate_json()
    for text in _texts(message["blocks"]):
        assert 0 < len(text["text"]) <= 3000
    for block in message["blocks"]:
        assert len(block.get("fields", ())) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", ()))


@given(st.text(alphabet="a&<>", max_size=50), st.integers(0, 60))
def test_an_escape_is_never_cut(text: str, most: int) -> None:
    """What is shown is the beginning of the text, within the bound."""
    shown = escaped(text, most)
    assert len(shown) <= most
    back = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text.startswith(back)
    if len(escaped(text, 1000)) <= most:
        assert back == text


def test_teams_gets_an_adaptive_card() -> None:
    """Version 1.4 in the envelope of a workflow; all text in runs, in which no Markdown is read."""
    message = teams_message(occurrence(message=HOSTILE, data={"revision": 3}))
    assert message["type"] == "message"
    [attachment] = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    runs = ["".join(run["text"] for run in block["inlines"]) for block in card["body"]]
    assert runs == [
        "Rollout succeeded: default/iris",
        HOSTILE,
        "revision: 3",
        "rollout.succeeded · ModelService · 2027-01-15T08:00:00.000Z",
    ]


@given(occurrences)
def test_teams_takes_every_message(told: Occurrence) -> None:
    """They have at most 28 KiB, and no empty run."""
    encoded = msgspec.json.encode(teams_message(told))
    assert len(encoded) < 28 * 1024
    card = msgspec.json.decode(encoded)["attachments"][0]["content"]
    assert all(run["type"] == "TextRun" and run["text"] for block in card["body"] for run in block["inlines"])


def _texts(value: Any) -> list[dict[str, Any]]:
    """Every text object in blocks."""
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):
        own = [value] if value.get("type") in ("mrkdwn", "plain_text") else []
        return own + [text for each in value.values() for text in _texts(each)]
    return []


@pytest.mark.parametrize(("reason", "headline"), [("A", "A"), ("ModelFailed", "Model failed"), ("V2Ready", "V2 ready")])
def test_a_reason_is_said_in_words(reason: str, headline: str) -> None:
    """As people write them."""
    assert slack_message(occurrence(reason=reason))["blocks"][0]["text"]["text"] == f"{headline}: default/iris"
