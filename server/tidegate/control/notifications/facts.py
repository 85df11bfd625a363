"""What a message of a chat tells of an occurrence: a headline, a sentence, and a few facts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.control.cloud_events import time_of
from tidegate.protocol.errors import shown
from tidegate.resources.store import Occurrence, Severity

HEADLINE = 150
"""Characters, the bound of Slack's header."""
SENTENCE = 2000
FACTS = 8
"""Of the occurrence's own data, so that with ours there are at most the ten that a section of Slack has."""
VALUE = 200
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def headline_of(occurrence: Occurrence) -> str:
    """``Rollout succeeded: default/iris``"""
    first, *rest = _WORDS.split(occurrence.reason)
    words = " ".join([first, *(word.lower() for word in rest)])
    sign = "⚠ " if occurrence.severity is Severity.WARNING else ""
    return shown(f"{sign}{words}: {place_of(occurrence)}", HEADLINE)


def sentence_of(occurrence: Occurrence) -> str:
    return shown(occurrence.message, SENTENCE)


def place_of(occurrence: Occurrence) -> str:
    about = occurrence.about
    return f"{about.namespace}/{about.name}" if about.namespace else about.name


def facts_of(occurrence: Occurrence) -> list[tuple[str, str]]:
    """What is plain in its data, in its order, as name and value."""
    return list(_plain(occurrence))[:FACTS]


def footer_of(occurrence: Occurrence) -> str:
    """Type, kind and time: ``rollout.succeeded · ModelService · 2027-01-15T08:00:00.000Z``"""
    return " · ".join((shown(occurrence.type, VALUE), occurrence.about.kind.name, time_of(occurrence.time)))


def _plain(occurrence: Occurrence) -> Iterator[tuple[str, str]]:
    for name, value in occurrence.data.items():
        if isinstance(value, bool):
            yield shown(name), "yes" if value else "no"
        elif isinstance(value, float):
            yield shown(name), f"{value:.6g}"
        elif isinstance(value, str | int) and value != "":
            yield shown(name), shown(value, VALUE)
