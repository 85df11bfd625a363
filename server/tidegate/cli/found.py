"""Resources that a person has named, found at the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tidegate.cli.failure import Failure
from tidegate.cli.kinds import SERVICES, Named, UnknownKind, find_type, known_types
from tidegate.cli.target import Session
from tidegate.client.resource_calls import Document, Selection
from tidegate.client.resource_type import ResourceType
from tidegate.protocol.errors import NotFound, TidegateError, shown

T = TypeVar("T")


def meant(session: Session, words: Sequence[str], read: Callable[[Sequence[str], Sequence[ResourceType]], T]) -> T:
    """What the words mean; only where one is no kind that is known here, the server is asked for its own.

    Raises:
        Failure: nothing.
    """
    try:
        return read(words, known_types())
    except UnknownKind as error:
        if error.mistyped:
            raise
        return read(words, session.resources.discover())


def fetch(session: Session, named: Named) -> tuple[ResourceType, Document]:
    """One resource, with its kind: a name alone is a ModelService, unless an InferenceService has it.

    Raises:
        ResourceNotFound: there is none.
        Failure: there is no service of that name; those that there are are listed.
    """
    if named.kind is not None:
        return named.kind, session.resources.get(named.kind, named.name, space(session, named.kind))
    for kind in services():
        try:
            return kind, session.resources.get(kind, named.name, session.namespace)
        except NotFound:
            continue
    message = f"there is no service '{shown(named.name)}' in namespace '{shown(session.namespace)}'"
    raise Failure(message, others(session))


def space(session: Session, kind: ResourceType) -> str:
    """The namespace in which resources of a kind are meant."""
    return session.namespace if kind.namespaced else ""


def services() -> list[ResourceType]:
    """The kinds that a name alone can mean."""
    return [find_type(name, known_types()) for name in SERVICES]


def others(session: Session) -> str:
    """Which services there are, as a hint; "" where the server does not say."""
    try:
        names = [
            item["metadata"]["name"]
            for kind in services()
            for item in session.resources.list(kind, Selection(session.namespace)).items
        ]
    except (TidegateError, KeyError, TypeError):  # it is only a hint
        return ""
    return f"there are {', '.join(sorted(names))}" if names else "there are none; `tidegate apply -f FILE` makes one"


def label(kind: ResourceType, name: str) -> str:
    """A resource as it is called in what is printed: ``modelservice.tidegate.dev/iris``."""
    return f"{kind.full_name}/{shown(name, 253)}"
