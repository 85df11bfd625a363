"""``tidegate describe``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from tidegate.client.resource_calls import Document
    from tidegate.client.resource_type import ResourceType

OWN_SECTIONS = (
    "conditions",
    "components",
    "bookkeeping",
    "observedGeneration",
    "url",
    "address",
    "resolved",
    "scaling",
)
"""Of a status, what is told in sections of its own, or to nobody."""


def describe(
    words: Annotated[tuple[str, ...], Parameter(show_env_var=False)],
    /,
    *,
    selector: Annotated[str, Parameter(alias="-l", show_default=False)] = "",
    target: Target = HERE,
) -> None:
    """Tell all about resources: what they are to be, what they are, and what was told about them.

    Parameters
    ----------
    words
        NAME…, KIND, KIND NAME… or KIND/NAME….
    selector
        Only those of the kind whose labels fit.
    """
    from tidegate.cli.found import fetch, meant, space
    from tidegate.cli.kinds import read_names
    from tidegate.client.resource_calls import Selection

    with connect(target) as session:
        texts = []
        for named in meant(session, words, read_names):
            if named.kind is not None and not named.name:
                found = session.resources.list(named.kind, Selection(space(session, named.kind), selector)).items
                texts += [_describe(session, named.kind, each) for each in found]
            else:
                texts.append(_describe(session, *fetch(session, named)))
        print("\n\n".join(texts))


def _describe(session: Session, kind: ResourceType, document: Document) -> str:
    from tidegate.cli.kinds import SERVICES
    from tidegate.cli.rollout import revisions_of
    from tidegate.protocol.errors import TidegateError
    from tidegate.resources.document import DEFAULT_NAMESPACE

    metadata = document["metadata"]
    revisions = revisions_of(session, document) if kind.kind in SERVICES else []
    try:
        where = metadata.get("namespace") or DEFAULT_NAMESPACE
        told = session.resources.events(where, kind=kind.kind, name=metadata["name"])
    except TidegateError:  # as with kubectl: who may not see events sees the rest
        told = []
    return "\n".join(described(document, revisions, told, time.time()))


def described(document: Document, revisions: Sequence[Document], told: Sequence[Document], now: float) -> Iterator[str]:
    """The lines. ``revisions`` are those of a service, ``told`` the events about the resource."""
    from tidegate.cli import events, history
    from tidegate.cli.documents import dump
    from tidegate.cli.tables import age, lines_of

    metadata, status = document["metadata"], document.get("status") or {}
    yield from _pairs(
        ("Name", metadata.get("name")),
        ("Namespace", metadata.get("namespace")),
        ("Kind", f"{document.get('kind')} ({document.get('apiVersion')})"),
        ("Labels", _mapping(metadata.get("labels"))),
        ("Annotations", _mapping(metadata.get("annotations"))),
        ("Age", age(metadata.get("creationTimestamp"), now)),
        ("Generation", _generation(metadata, status)),
        ("Deleted", metadata.get("deletionTimestamp")),
        ("URL", status.get("url")),
        ("Model", _model(status.get("resolved"))),
    )
    if document.get("spec"):
        yield from ("Spec:", indent(dump(document["spec"], "yaml").rstrip(), "  "))
    rest = {name: value for name, value in status.items() if name not in OWN_SECTIONS}
    if rest:
        yield from ("Status:", indent(dump(rest, "yaml").rstrip(), "  "))
    if revisions:
        rows: list[Sequence[object]] = list(history.rows_of(document, revisions, now))
        yield from ("Revisions:", *_indented(lines_of(history.COLUMNS, rows)))
    yield from _scaling(status.get("scaling"), status.get("replicas"), revisions, now)
    if conditions := status.get("conditions"):
        rows = [
            [c.get("type"), c.get("status"), age(c.get("lastTransitionTime"), now), c.get("reason") or "",
             c.get("message") or ""]
            for c in conditions
        ]  # fmt: skip
        yield from ("Conditions:", *_indented(lines_of(("TYPE", "STATUS", "AGE", "REASON", "MESSAGE"), rows)))
    if told:
        yield from ("Events:", *_indented(lines_of(events.COLUMNS, events.rows_of(told, now))))
    else:
        yield "Events:        none"


def _scaling(told: object, ready: object, revisions: Sequence[Document], now: float) -> Iterator[str]:
    """How many replicas there are to be and why, and the last changes of each revision, the newest first."""
    from tidegate.cli.tables import age, lines_of

    if not isinstance(told, dict):
        return
    if "desired" in told and isinstance(ready, int):  # of a service
        yield f"{'Replicas:':<14} {ready} ready of {told['desired']}" + (
            f" ({told['policy']})" if "policy" in told else ""
        )
    if reason := told.get("reason"):
        yield f"{'Scaling:':<14} {reason}"
    yield from _pairs(("SLO", _slo(told.get("slo"))), ("Starts", _starts(told.get("starts"))))
    rows: list[Sequence[object]] = [
        [name, age(change.get("time"), now), change.get("from"), change.get("to"), change.get("reason") or ""]
        for name, change in _changes(told, revisions)
    ]
    if rows:
        yield from ("Changes of replicas:", *_indented(lines_of(("REVISION", "AGE", "FROM", "TO", "REASON"), rows)))


def _slo(told: object) -> str | None:
    if not isinstance(told, dict):
        return None
    by = "as the service says" if told.get("given") else "by the time of a request; the service gives none"
    return f"{told.get('seconds')} s, {by}"


def _starts(told: object) -> str | None:
    if not isinstance(told, dict):
        return None
    if "p50" not in told:
        return f"{told.get('usual')} s, a first guess"
    return f"{told.get('usual')} s, half of the last within {told['p50']} s, 95 % within {told.get('p95')} s"


def _changes(told: Document, revisions: Sequence[Document]) -> Iterator[tuple[str, Document]]:
    own = [("", told)]
    kept = [(each["metadata"]["name"], (each.get("status") or {}).get("scaling") or {}) for each in revisions]
    for name, scaling in (*own, *reversed(kept)):
        yield from ((name, change) for change in reversed(scaling.get("history") or []))


def _pairs(*pairs: tuple[str, object]) -> Iterator[str]:
    from tidegate.cli.tables import cell

    for name, value in pairs:
        if value is None or value == "":
            continue
        lines = value if isinstance(value, list) else [value]
        yield f"{name + ':':<14} {cell(lines[0])}"
        yield from (f"{'':<14} {cell(line)}" for line in lines[1:])


def _mapping(values: object) -> list[str] | None:
    if not isinstance(values, dict) or not values:
        return None
    return [f"{name}={value}" for name, value in sorted(values.items())]


def _generation(metadata: Document, status: Document) -> object:
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if generation is None or observed is None or observed == generation:
        return generation
    return f"{generation}, and the status is of {observed}"


def _model(resolved: object) -> str | None:
    if not isinstance(resolved, dict):
        return None
    digest = str(resolved.get("digest") or "")[:19]
    parts = [resolved.get("uri"), digest, resolved.get("version") and f"version {resolved['version']}"]
    by = resolved.get("runtime")
    return ", ".join(str(part) for part in parts if part) + (f", read by {by}" if by else "")


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
