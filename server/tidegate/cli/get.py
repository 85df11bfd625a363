"""``tidegate get``: resources as a table, or as documents."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from tidegate.cli.kinds import Named
    from tidegate.client.resource_calls import Document, ResourceChange, Selection
    from tidegate.client.resource_type import ResourceType

Form = Literal["table", "wide", "json", "yaml", "name"]


@dataclass(frozen=True)
class View:
    """How resources are shown."""

    form: Form
    namespaces: bool
    """Whether their namespaces are told."""
    prefixed: bool
    """Whether their kinds are."""

    @property
    def table(self) -> bool:
        return self.form in ("table", "wide")


def get(
    words: Annotated[tuple[str, ...], Parameter(show_env_var=False)],
    /,
    *,
    all_namespaces: Annotated[bool, Parameter(alias="-A", negative=())] = False,
    selector: Annotated[str, Parameter(alias="-l", show_default=False)] = "",
    watch: Annotated[bool, Parameter(alias="-w", negative=())] = False,
    output: Annotated[Form, Parameter(alias="-o")] = "table",
    target: Target = HERE,
) -> int:
    """Show resources: all of a kind, or those that are named.

    Parameters
    ----------
    words
        KIND, KIND,KIND, KIND NAME… or KIND/NAME….
    all_namespaces
        Of all namespaces.
    selector
        Only those whose labels fit: NAME=VALUE, NAME!=VALUE, "NAME in (VALUE, …)", NAME, !NAME; commas between them.
    watch
        Go on with what changes; needs one kind.
    output
        How to write it.
    """
    from tidegate.cli.found import meant, space
    from tidegate.cli.kinds import read_kinds
    from tidegate.client.resource_calls import Selection

    with connect(target) as session:
        named = meant(session, words, read_kinds)
        if selector and any(each.name for each in named):
            raise Failure("a selector and names exclude each other", "leave one of them out", Exit.USAGE)
        if all_namespaces and any(each.name for each in named):
            raise Failure("a resource of a name is in one namespace", "-n says in which", Exit.USAGE)
        kinds = list(dict.fromkeys(each.kind for each in named if each.kind is not None))
        namespaces = all_namespaces and any(kind.namespaced for kind in kinds)
        view = View(output, namespaces, len(kinds) > 1)
        if watch:
            kind, name = _one(named)
            fields = f"metadata.name={name}" if name else ""
            where = "" if all_namespaces else space(session, kind)
            return _follow(session, kind, Selection(where, selector, fields), view)
        code = Exit.GOOD
        found: list[tuple[ResourceType, list[Document]]] = []
        for kind in kinds:
            where = "" if all_namespaces else space(session, kind)
            names = [each.name for each in named if each.kind == kind and each.name]
            if names:
                items, missing = _by_name(session, kind, names, where, view)
                code = Exit.FAILED if missing else code
            else:
                items = session.resources.list(kind, Selection(where, selector), table=view.table).items
            found.append((kind, items))
    single = len(named) == 1 and bool(named[0].name)
    _show(found, view, single=single)
    if not any(items for _, items in found) and code == Exit.GOOD:
        place = (
            "" if all_namespaces or not any(kind.namespaced for kind in kinds) else f" in {session.namespace} namespace"
        )
        print(f"no resources found{place}", file=sys.stderr)
    return code


def _by_name(
    session: Session, kind: ResourceType, names: Sequence[str], where: str, view: View
) -> tuple[list[Document], bool]:
    """Those that there are; what is not there is told, and does not hide the rest."""
    from tidegate.protocol.errors import NotFound

    if len(names) == 1:
        return [session.resources.get(kind, names[0], where, table=view.table)], False
    items, missing = [], False
    for name in names:
        try:
            items.append(session.resources.get(kind, name, where, table=view.table))
        except NotFound as error:
            missing = True
            print(f"error: {error.message}", file=sys.stderr)
    return items, missing


def _one(named: Sequence[Named]) -> tuple[ResourceType, str]:
    if len(named) != 1 or named[0].kind is None:
        raise Failure("only one kind, or one resource, can be watched", "watch them in several terminals", Exit.USAGE)
    return named[0].kind, named[0].name


def _show(found: Sequence[tuple[ResourceType, list[Document]]], view: View, *, single: bool) -> None:
    from tidegate.cli.documents import as_list, dump, readable

    if view.table:
        print("\n\n".join("\n".join(_table(kind, items, view)) for kind, items in found if items), end="")
        print("\n" * any(items for _, items in found), end="")
        return
    if view.form == "name":
        for kind, items in found:
            print("".join(f"{_name(kind, item)}\n" for item in items), end="")
        return
    documents = [readable(item) for _, items in found for item in items]
    if single:
        print("".join(dump(document, view.form) for document in documents), end="")
    else:
        print(dump(as_list(documents), view.form), end="")


def _table(kind: ResourceType, items: Sequence[Document], view: View) -> Iterator[str]:
    from tidegate.cli.tables import Layout

    tables = [_as_table(item) for item in items]
    layout = Layout(_columns(tables[0], view))
    rows = [row for table in tables for row in _rows(kind, table, tables[0], view)]
    layout.widen(rows)
    yield layout.head()
    yield from map(layout.line, rows)


def _follow(session: Session, kind: ResourceType, selection: Selection, view: View) -> int:
    """Show what is there, and then each change as it comes, until somebody has seen enough."""
    with closing(session.resources.watch(kind, selection, table=view.table)) as changes:
        for text in told(kind, changes, view):
            print(text, flush=True)
    return Exit.GOOD


def told(kind: ResourceType, changes: Iterable[ResourceChange], view: View) -> Iterator[str]:
    """What is printed of each change; the head of a table before the first."""
    from tidegate.cli.documents import dump, readable
    from tidegate.cli.tables import Layout

    layout: Layout | None = None
    definitions: Document = {}
    for change in changes:
        if view.form == "name":
            yield _name(kind, change.document)
        elif view.form in ("json", "yaml"):
            yield "---\n" * (view.form == "yaml") + dump(readable(change.document), view.form).rstrip("\n")
        else:
            table = _as_table(change.document)
            definitions = table if table.get("columnDefinitions") else definitions  # only the first event has them
            rows = _rows(kind, table, definitions, view)
            if layout is None:
                layout = Layout(_columns(definitions, view))
                layout.widen(rows)
                yield layout.head()
            yield from map(layout.line, rows)


def _as_table(item: Document) -> Document:
    from tidegate.cli.tables import as_table

    return item if item.get("kind") == "Table" else as_table([item], time.time())


def _columns(table: Document, view: View) -> list[str]:
    from tidegate.cli.tables import columns_of

    return columns_of(table, wide=view.form == "wide", namespaces=view.namespaces)


def _rows(kind: ResourceType, table: Document, definitions: Document, view: View) -> list[list[object]]:
    from tidegate.cli.tables import rows_of

    prefix = kind.full_name if view.prefixed else ""
    return rows_of(table, definitions, wide=view.form == "wide", namespaces=view.namespaces, prefix=prefix)


def _name(kind: ResourceType, item: Document) -> str:
    from tidegate.cli.found import label
    from tidegate.client.resource_calls import metadata_of

    return label(kind, str(metadata_of(item).get("name")))
