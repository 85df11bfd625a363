"""A message for Slack's incoming webhooks, in Block Kit. Pure.

Forms and bounds: https://docs.slack.dev/reference/block-kit/blocks. Text that others wrote is escaped, and taken as it
stands (``verbatim``): it mentions nobody, and becomes no link.
"""

from __future__ import annotations

from typing import Any

from tidegate.control.notifications.facts import facts_of, footer_of, headline_of, sentence_of
from tidegate.resources.store import Occurrence

SECTION = 3000
"""Characters of a section's text."""
FIELD = 2000
CONTEXT = 3000


def slack_message(occurrence: Occurrence) -> dict[str, Any]:
    """The body. ``text`` is what a notification shows, where blocks are not."""
    headline, sentence = headline_of(occurrence), sentence_of(occurrence)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": headline, "emoji": False}},
        {"type": "section", "text": _text(escaped(sentence, SECTION))},
    ]
    if facts := facts_of(occurrence):
        fields = [_text(f"*{escaped(name, 200)}*\n{escaped(value, FIELD - 300)}") for name, value in facts]
        blocks.append({"type": "section", "fields": fields})
    blocks.append({"type": "context", "elements": [_text(escaped(footer_of(occurrence), CONTEXT))]})
    return {"text": escaped(f"{headline}: {sentence}", SECTION), "blocks": blocks}


def escaped(text: str, most: int) -> str:
    """Text in which Slack sees no control characters, at most so long: a character is kept whole or left out."""
    signs = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    kept, size = [], 0
    for sign in text:
        told = signs.get(sign, sign)
        size += len(told)
        if size > most:
            break
        kept.append(told)
    return "".join(kept)


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text or "–", "verbatim": True}
