"""From a label per token to entities in a text.

Neighbouring tokens of one label are one entity, unless the latter begins a new one (``B-``); its score is the mean of
theirs. ``O`` is no entity. This is what Transformers' pipeline calls the aggregation "simple".
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Token(msgspec.Struct, frozen=True):
    """A token's label, its probability, and the characters of the text that it stands for."""

    label: str
    score: float
    start: int
    end: int


class Entity(msgspec.Struct, frozen=True):
    """An entity as callers read it. ``start`` and ``end`` count the characters of the text."""

    label: str
    score: float
    start: int
    end: int
    text: str


OUTSIDE = "O"
_DIGITS = 4
"""Of a score. More would tell rows that were padded apart from those that were not."""


def group_entities(text: str, tokens: Iterable[Token]) -> list[Entity]:
    """The entities of a text, in order; ``tokens`` are all but the special ones."""
    groups: list[list[Token]] = []
    last = ""
    for token in tokens:
        prefix, label = split_label(token.label)
        if label == last and prefix != "B":
            groups[-1].append(token)
        else:
            groups.append([token])
        last = label
    return [_entity(text, group) for group in groups if group[0].label != OUTSIDE]


def split_label(label: str) -> tuple[str, str]:
    """ "B-PER" as ("B", "PER"); a label without a prefix goes on as if it had "I-"."""
    return (label[0], label[2:]) if label.startswith(("B-", "I-")) else ("I", label)


def _entity(text: str, group: list[Token]) -> Entity:
    start, end = group[0].start, group[-1].end
    score = sum(token.score for token in group) / len(group)
    return Entity(split_label(group[0].label)[1], round(score, _DIGITS), start, end, text[start:end])
