"""A message for a workflow of Microsoft Teams ("post to a channel when a webhook request is received"). Pure.

An Adaptive Card 1.4 in the envelope of attachments that such workflows read. Text that others wrote stands in text
runs, which are no Markdown (https://adaptivecards.io/explorer/TextRun.html): it becomes no link and mentions nobody.
"""

from __future__ import annotations

from typing import Any

from tidegate.control.notifications.facts import facts_of, footer_of, headline_of, sentence_of
from tidegate.resources.store import Occurrence, Severity

CARD = "application/vnd.microsoft.card.adaptive"
Element = dict[str, Any]


def teams_message(occurrence: Occurrence) -> dict[str, Any]:
    """The body, far below the 28 KiB that Teams takes."""
    warns = occurrence.severity is Severity.WARNING
    body = [
        _line(_run(headline_of(occurrence), weight="Bolder", size="Medium", color="Warning" if warns else "Default")),
        _line(_run(sentence_of(occurrence))),
        *(_line(_run(f"{name}: ", weight="Bolder"), _run(value)) for name, value in facts_of(occurrence)),
        _line(_run(footer_of(occurrence), size="Small", isSubtle=True)),
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    return {"type": "message", "attachments": [{"contentType": CARD, "contentUrl": None, "content": card}]}


def _line(*runs: Element) -> Element:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **style: object) -> Element:
    return {"type": "TextRun", "text": text or "–", **style}
