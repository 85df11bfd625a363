"""What an identity may do with which services: ``VERB:PATTERN``.

::

    infer:iris          infer with the service iris of the namespace default
    infer:team-a/*      … with every service of the namespace team-a
    control:*/*         load and unload any service
    admin:*             everything, on the data ports and on the admin port

``*`` stands for any characters and ``?`` for one; neither for the slash between namespace and name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import translate

import msgspec

from tidegate.protocol.errors import shown

DEFAULT_NAMESPACE = "default"

_PATTERN = re.compile(r"[A-Za-z0-9._*?-]{1,128}")
_FORMS = "expected infer:, metadata: or control: and NAME or NAMESPACE/NAME, in which * and ? may stand, or admin:*"


class Verb(StrEnum):
    METADATA = "metadata"
    """See that it is there: lists, metadata, readiness, statistics."""
    INFER = "infer"
    """Have requests answered."""
    CONTROL = "control"
    """Load and unload it."""
    ADMIN = "admin"
    """Everything."""


GRANTS: dict[Verb, frozenset[Verb]] = {
    Verb.METADATA: frozenset({Verb.METADATA}),
    Verb.INFER: frozenset({Verb.INFER, Verb.METADATA}),
    Verb.CONTROL: frozenset({Verb.CONTROL, Verb.METADATA}),
    Verb.ADMIN: frozenset(Verb),
}
"""What a scope's verb includes: who may use a service may see it, for an answer tells its signature anyway."""


class Scope(msgspec.Struct, frozen=True):
    """One right. ``str()`` gives it as it was written."""

    verb: Verb
    namespace: re.Pattern[str]
    name: re.Pattern[str]
    text: str

    def __str__(self) -> str:
        return self.text

    def covers(self, verb: Verb, namespace: str, service: str) -> bool:
        """Whether it allows this verb on this service."""
        return (
            verb in GRANTS[self.verb]
            and self.name.match(service) is not None
            and self.namespace.match(namespace) is not None
        )

    def covers_all(self, verb: Verb) -> bool:
        """Whether it allows this verb on every service there could be."""
        return verb in GRANTS[self.verb] and (self.verb is Verb.ADMIN or self.text == f"{self.verb}:*/*")


def parse_scope(text: str) -> Scope:
    """A scope from its text.

    Raises:
        ValueError: it is none.
    """
    verb, colon, pattern = text.partition(":")
    if verb not in list(Verb) or not colon or (verb == Verb.ADMIN and pattern != "*"):
        raise ValueError(f"scope '{shown(text)}' is none, {_FORMS}")
    if verb == Verb.ADMIN:
        return Scope(Verb.ADMIN, _compiled("*"), _compiled("*"), text)
    namespace, slash, name = pattern.rpartition("/")
    namespace = namespace if slash else DEFAULT_NAMESPACE
    if not (_PATTERN.fullmatch(namespace) and _PATTERN.fullmatch(name)):
        raise ValueError(f"scope '{shown(text)}' is none, {_FORMS}")
    return Scope(Verb(verb), _compiled(namespace), _compiled(name), text)


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes from their texts, in their order and each once.

    Raises:
        ValueError: one is none.
    """
    return tuple(parse_scope(text) for text in dict.fromkeys(texts))


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))  # fnmatch's form does not backtrack, however many stars there are
