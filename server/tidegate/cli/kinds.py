"""What a person means by ``modelservice/iris``, ``isvc iris flowers``, ``msvc,srev`` or just ``iris``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from tidegate.cli.failure import Exit, Failure
from tidegate.client.resource_type import EVENTS, NAMESPACES, ResourceType
from tidegate.protocol.errors import shown

SERVICES = ("ModelService", "InferenceService")
"""What a name alone can mean, the first of them unless another has it."""
FORMS = "resources are named as KIND/NAME, KIND NAME… or, of services, NAME"
NAMELESS = "KIND/NAME, KIND NAME…, KIND -l LABEL=VALUE, KIND --all, or -f FILE"


class Named(NamedTuple):
    """One resource, or without a name all of a kind. Without a kind it is a service."""

    kind: ResourceType | None
    name: str


class UnknownKind(Failure):
    """A word that is no kind."""

    def __init__(self, word: str, types: Sequence[ResourceType]) -> None:
        close = _nearest(word, types)
        known = ", ".join(each.plural for each in types)
        hint = f"did you mean {close}?" if close else f"there are {known}"
        super().__init__(f"there is no kind of resource '{shown(word)}'", hint, Exit.USAGE)
        self.word = word
        self.mistyped = bool(close)


def known_types() -> tuple[ResourceType, ...]:
    """The kinds that need not be asked for."""
    from tidegate.resources.kinds import KINDS

    ours = [
        ResourceType(kind.group, kind.version, kind.plural, kind.name, kind.namespaced, kind.aliases) for kind in KINDS
    ]
    return (*ours, EVENTS, NAMESPACES)


def find_types(word: str, types: Sequence[ResourceType]) -> list[ResourceType]:
    """The kinds that a word means: one by its name, plural, short name or with its group; all of a category.

    Raises:
        UnknownKind: it means none.
    """
    low = word.lower()
    for each in types:
        names = {each.kind.lower(), each.plural, *each.short}
        if low in names | {f"{name}.{each.group}" for name in names} | {
            f"{name}.{each.version}.{each.group}" for name in names
        }:
            return [each]
    if found := [each for each in types if low in each.categories]:
        return found
    raise UnknownKind(word, types)


def find_type(word: str, types: Sequence[ResourceType]) -> ResourceType:
    """The one kind that a word means.

    Raises:
        UnknownKind: it means none, or several.
    """
    found = find_types(word, types)
    if len(found) != 1:
        raise UnknownKind(word, types)
    return found[0]


def read_kinds(words: Sequence[str], types: Sequence[ResourceType]) -> list[Named]:
    """What the words mean where the first must be a kind: kinds with commas between them, or KIND/NAME.

    Raises:
        Failure: they mean nothing.
    """
    if any("/" in word for word in words):
        return read_names(words, types)
    if not words:
        raise Failure("there is no kind of resource", FORMS, Exit.USAGE)
    kinds = list(dict.fromkeys(kind for word in words[0].split(",") for kind in find_types(word, types)))
    return [Named(kind, name) for kind in kinds for name in words[1:] or [""]]


def read_names(words: Sequence[str], types: Sequence[ResourceType]) -> list[Named]:
    """What the words mean where names alone are services.

    Raises:
        Failure: they mean nothing; a word that is nearly a kind is taken for one that was mistyped.
    """
    if any("/" in word for word in words):
        return [_slashed(word, types) for word in words]
    if not words:
        raise Failure("there is no resource to name", FORMS, Exit.USAGE)
    try:
        return read_kinds(words, types)
    except UnknownKind as error:
        if "," in words[0] or (len(words) > 1 and error.mistyped):
            raise
    return [Named(None, word) for word in words]


def _slashed(word: str, types: Sequence[ResourceType]) -> Named:
    kind, slash, name = word.partition("/")
    if not slash or not kind or not name or "/" in name:
        raise Failure(f"'{shown(word)}' is no KIND/NAME, and others are", FORMS, Exit.USAGE)
    return Named(find_type(kind, types), name)


def _nearest(word: str, types: Sequence[ResourceType]) -> str:
    names = [name for each in types for name in (each.kind.lower(), each.plural, *each.short)]
    return next(iter(get_close_matches(word.lower(), names, n=1, cutoff=0.8)), "")
