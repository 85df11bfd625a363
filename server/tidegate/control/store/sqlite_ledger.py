"""The ledger in SQLite: one transaction of a connection that somebody else begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from tidegate.control.store.ledger import Entry
from tidegate.resources.document import GroupKind, Key
from tidegate.resources.store import ChangeType, Event, Severity

_OF_KIND = "api_group = ? AND kind = ?"
_OF_OBJECT = f"{_OF_KIND} AND namespace = ? AND name = ?"
# As of a version: what has not changed since, and what the rest was before its first change since. The plus keeps
# SQLite from walking all changes of the kind: few are younger than the version, and none at a list's first page.
_SCAN = """
SELECT namespace, name, document FROM objects
WHERE api_group = :group AND kind = :kind AND {beyond} AND version <= :version
UNION ALL
SELECT namespace, name, old FROM changes AS c
WHERE version > :version AND +api_group = :group AND +kind = :kind AND {beyond} AND old IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM changes AS e WHERE e.api_group = c.api_group AND e.kind = c.kind
            AND e.namespace = c.namespace AND e.name = c.name AND e.version > :version AND e.version < c.version)
ORDER BY namespace, name
"""
_BEYOND_IN_ALL = "(namespace, name) > (:after_namespace, :after_name)"
_BEYOND_IN_ONE = "namespace = :namespace AND name > :after_name"
"""Said so, and not by both conditions, or SQLite would sort what the index has in order."""
_EVENT = "api_group, kind, namespace, name, uid, severity, reason, message, count, first, last"


class SqliteLedger:
    """See ``Ledger``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def newest(self) -> int:
        return int(self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()[0])

    def floor(self) -> int:
        (oldest,) = self._execute("SELECT min(version) FROM changes").fetchone()
        return self.newest() if oldest is None else int(oldest) - 1

    def find(self, key: Key) -> bytes | None:
        row = self._execute(f"SELECT document FROM objects WHERE {_OF_OBJECT}", _flat(key)).fetchone()
        return None if row is None else row[0]

    def place(self, uid: str) -> Key | None:
        row = self._execute("SELECT api_group, kind, namespace, name FROM objects WHERE uid = ?", (uid,)).fetchone()
        return None if row is None else _key(row)

    def dependents(self, uid: str) -> list[tuple[Key, bytes]]:
        rows = self._execute(
            "SELECT api_group, kind, namespace, name, document FROM owners JOIN objects ON objects.id = owners.object "
            "WHERE owners.uid = ? ORDER BY objects.id",
            (uid,),
        )
        return [(_key(row), row[4]) for row in rows]

    def scan(
        self, kind: GroupKind, namespace: str | None, after: tuple[str, str], version: int
    ) -> Iterator[tuple[Key, bytes]]:
        values = {"group": kind.group, "kind": kind.name, "namespace": namespace, "version": version}
        values |= {"after_namespace": after[0], "after_name": after[1]}
        beyond = _BEYOND_IN_ALL if namespace is None else _BEYOND_IN_ONE
        for row in self._execute(_SCAN.format(beyond=beyond), values):
            yield Key(kind, row[0], row[1]), row[2]

    def entries(self, kind: GroupKind, namespace: str | None, after: int, limit: int) -> list[Entry]:
        only, values = ("", ()) if namespace is None else ("AND namespace = ?", (namespace,))
        rows = self._execute(
            "SELECT version, at, type, api_group, kind, namespace, name, old, new FROM changes "
            f"WHERE version > ? AND +api_group = ? AND +kind = ? {only} ORDER BY version LIMIT ?",
            (after, *kind, *values, limit),
        )
        return [Entry(row[0], row[1], ChangeType(row[2]), _key(row[3:]), row[7], row[8]) for row in rows]

    def append(self, entry: Entry, uid: str, owners: frozenset[str]) -> None:
        self._execute(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (entry.version, entry.at, entry.type, *_flat(entry.key), entry.old, entry.new),
        )
        if entry.type is ChangeType.DELETED:
            self._execute("DELETE FROM objects WHERE uid = ?", (uid,))
        elif entry.type is ChangeType.ADDED:
            row = self._execute(
                "INSERT INTO objects (api_group, kind, namespace, name, uid, version, document) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (*_flat(entry.key), uid, entry.version, entry.new),
            )
            self._own(row.fetchone()[0], owners)
        else:
            row = self._execute(
                "UPDATE objects SET version = ?, document = ? WHERE uid = ? RETURNING id",
                (entry.version, entry.new, uid),
            )
            self._own(row.fetchone()[0], owners)

    def prune(self, version: int, at: float) -> None:
        self._execute("DELETE FROM changes WHERE version <= ?", (version,))
        self._execute(
            "DELETE FROM changes WHERE version < coalesce((SELECT version FROM changes WHERE at >= ? "
            "ORDER BY version LIMIT 1), (SELECT max(version) FROM changes))",
            (at,),
        )

    def event(self, about: Key, uid: str, severity: str, reason: str) -> Event | None:
        row = self._execute(
            f"SELECT {_EVENT} FROM events WHERE {_OF_OBJECT} AND uid = ? AND severity = ? AND reason = ?",
            (*_flat(about), uid, severity, reason),
        ).fetchone()
        return None if row is None else _event(row)

    def put_event(self, event: Event) -> None:
        self._execute(  # it gets a new id, so that of two of one time the later comes first
            f"INSERT OR REPLACE INTO events ({_EVENT}, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
            "(SELECT coalesce(max(id), 0) + 1 FROM events))",
            (*_flat(event.about), *msgspec.structs.astuple(event)[1:]),
        )

    def events(self, about: Key | None, limit: int) -> list[Event]:
        where, values = ("", ()) if about is None else (f"WHERE {_OF_OBJECT}", _flat(about))
        rows = self._execute(
            f"SELECT {_EVENT} FROM events {where} ORDER BY last DESC, id DESC LIMIT ?", (*values, limit)
        )
        return [_event(row) for row in rows]

    def trim_events(self, most: int, since: float) -> None:
        self._execute("DELETE FROM events WHERE last < ?", (since,))
        self._execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY last, id "
            "LIMIT max(0, (SELECT count(*) FROM events) - ?))",
            (most,),
        )

    def _own(self, number: int, owners: frozenset[str]) -> None:
        self._execute("DELETE FROM owners WHERE object = ?", (number,))
        for uid in owners:
            self._execute("INSERT INTO owners VALUES (?, ?)", (uid, number))


def _flat(key: Key) -> tuple[str, str, str, str]:
    return (*key.kind, key.namespace, key.name)


def _key(row: Any) -> Key:
    return Key(GroupKind(row[0], row[1]), row[2], row[3])


def _event(row: Any) -> Event:
    return Event(_key(row), row[4], Severity(row[5]), *row[6:])
