"""``tidegate events``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from tidegate.client.resource_calls import Document

COLUMNS = ("LAST SEEN", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE")


def events(
    resource: Annotated[str, Parameter(show_env_var=False)] = "",
    /,
    *,
    all_namespaces: Annotated[bool, Parameter(alias="-A", negative=())] = False,
    watch: Annotated[bool, Parameter(alias="-w", negative=())] = False,
    output: Annotated[Literal["table", "json", "yaml", "cloudevents"], Parameter(alias="-o")] = "table",
    target: Target = HERE,
) -> None:
    """Show what was told about resources, the latest last.

    Parameters
    ----------
    resource
        NAME or KIND/NAME; without it those of all resources of the namespace.
    all_namespaces
        Of all namespaces.
    watch
        Go on with what is told.
    output
        How to write it; cloudevents are the occurrences behind it, a line of JSON for each.
    """
    from tidegate.cli.documents import as_list, dump
    from tidegate.cli.found import meant
    from tidegate.cli.kinds import read_names
    from tidegate.cli.tables import Layout

    with connect(target) as session:
        kind = name = ""
        if resource:
            named = meant(session, [resource], read_names)[0]
            kind, name = named.kind.kind if named.kind else "", named.name
        where = "" if all_namespaces else session.namespace
        if output == "cloudevents":
            _print_occurrences(session, where, kind, name, watch)
            return
        if not watch:
            told = session.resources.events(where, kind=kind, name=name)
            if output != "table":
                print(dump(as_list(told), output), end="")
            elif told:
                layout = Layout(_columns(all_namespaces))
                rows = [_row(each, all_namespaces, time.time()) for each in told]
                layout.widen(rows)
                print("\n".join([layout.head(), *map(layout.line, rows)]))
            return
        layout = Layout(_columns(all_namespaces))
        layout.widen([["", "Warning", "TrafficChanged", f"modelservice/{name or 'some-name'}"]])
        if output == "table":
            print(layout.head(), flush=True)
        with closing(session.resources.follow_events(where, kind=kind, name=name)) as following:
            for each in following:
                if output == "table":
                    print(layout.line(_row(each, all_namespaces, time.time())), flush=True)
                else:
                    print("---\n" * (output == "yaml") + dump(each, output), end="", flush=True)


def _print_occurrences(session: Session, namespace: str, kind: str, name: str, watch: bool) -> None:
    import msgspec

    def wanted(event: Document) -> bool:
        data = event.get("data") or {}
        return kind in ("", data.get("kind")) and name in ("", data.get("name"))

    def show(event: Document) -> None:
        if wanted(event):
            print(msgspec.json.encode(event).decode(), flush=watch)

    if not watch:
        since = ""
        while part := session.resources.occurrences(namespace, since=since):
            since = part[-1]["sequence"]
            for each in part:
                show(each)
        return
    with closing(session.resources.follow_occurrences(namespace)) as following:
        for each in following:
            show(each)


def rows_of(told: Sequence[Document], now: float) -> list[list[object]]:
    """Rows of ``COLUMNS``."""
    return [_row(each, False, now) for each in told]


def _columns(namespaces: bool) -> list[str]:
    return ["NAMESPACE", *COLUMNS] if namespaces else [*COLUMNS]


def _row(event: Document, namespaces: bool, now: float) -> list[object]:
    from tidegate.cli.tables import age

    about = event.get("involvedObject") or {}
    row: list[object] = [
        age(event.get("lastTimestamp"), now),
        event.get("type"),
        event.get("reason"),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        event.get("count") or 1,
        event.get("message"),
    ]
    return [event["metadata"].get("namespace") or "", *row] if namespaces else row
