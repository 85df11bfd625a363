"""The ledger in SQLite: one transaction of a connection that somebody else begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from tidegate.control.store.ledger import Entry, Waiting
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

_WAITING = "number, lane, at, due, attempts, occurrence, channel"
_HEADS = "SELECT min(number) FROM outbox GROUP BY lane"


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

    def newest_told(self) -> int:
        return int(self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'occurrences'").fetchone()[0])

    def told_floor(self) -> int:
        (oldest,) = self._execute("SELECT min(number) FROM occurrences").fetchone()
        return self.newest_told() if oldest is None else int(oldest) - 1

    def is_told(self, identity: str) -> bool:
        return self._execute("SELECT 1 FROM occurrences WHERE id = ?", (identity,)).fetchone() is not None

    def put_told(self, identity: str, at: float, namespace: str, occurrence: bytes) -> int:
        row = self._execute(
            "INSERT INTO occurrences (id, at, namespace, occurrence) VALUES (?, ?, ?, ?) RETURNING number",
            (identity, at, namespace, occurrence),
        )
        return int(row.fetchone()[0])

    def told(self, namespace: str | None, after: int, limit: int) -> list[tuple[int, bytes]]:
        only, values = _only(namespace)
        rows = self._execute(
            f"SELECT number, occurrence FROM occurrences WHERE number > ? {only} ORDER BY number LIMIT ?",
            (after, *values, limit),
        )
        return rows.fetchall()

    def last_told(self, namespace: str | None, limit: int) -> list[tuple[int, bytes]]:
        only, values = _only(namespace)
        rows = self._execute(
            f"SELECT number, occurrence FROM occurrences WHERE number > 0 {only} ORDER BY number DESC LIMIT ?",
            (*values, limit),
        )
        return rows.fetchall()[::-1]

    def trim_told(self, most: int, since: float) -> None:
        self._execute("DELETE FROM occurrences WHERE number <= ?", (self.newest_told() - most,))
        # In the order of the log, so that no gap comes into it: a clock may have gone back.
        self._execute(
            "DELETE FROM occurrences WHERE number < coalesce((SELECT number FROM occurrences WHERE at >= ? "
            "ORDER BY number LIMIT 1), ?)",
            (since, self.newest_told() + 1),
        )

    def put_waiting(self, lane: str, at: float, occurrence: bytes, channel: bytes) -> None:
        self._execute(
            "INSERT INTO outbox (lane, at, due, attempts, occurrence, channel) VALUES (?, ?, ?, 0, ?, ?)",
            (lane, at, at, occurrence, channel),
        )

    def waiting(self, number: int) -> Waiting | None:
        row = self._execute(f"SELECT {_WAITING} FROM outbox WHERE number = ?", (number,)).fetchone()
        return None if row is None else Waiting(*row)

    def postpone(self, number: int, due: float) -> None:
        self._execute("UPDATE outbox SET due = ?, attempts = attempts + 1 WHERE number = ?", (due, number))

    def drop(self, number: int) -> None:
        self._execute("DELETE FROM outbox WHERE number = ?", (number,))

    def heads_due(self, now: float, limit: int) -> list[Waiting]:
        rows = self._execute(
            f"SELECT {_WAITING} FROM outbox WHERE number IN ({_HEADS}) AND due <= ? ORDER BY due, number LIMIT ?",
            (now, limit),
        )
        return [Waiting(*row) for row in rows]

    def next_due(self, now: float) -> float | None:
        (due,) = self._execute(f"SELECT min(due) FROM outbox WHERE number IN ({_HEADS}) AND due > ?", (now,)).fetchone()
        return None if due is None else float(due)

    def surplus(self, most: int, since: float) -> list[Waiting]:
        rows = self._execute(f"SELECT {_WAITING} FROM outbox WHERE at < ? ORDER BY number", (since,))
        found = [Waiting(*row) for row in rows]
        (count,) = self._execute("SELECT count(*) FROM outbox WHERE at >= ?", (since,)).fetchone()
        if count > most:
            rows = self._execute(
                f"SELECT {_WAITING} FROM outbox WHERE at >= ? AND lane = (SELECT lane FROM outbox WHERE at >= ? "
                "GROUP BY lane ORDER BY count(*) DESC, min(number) LIMIT 1) ORDER BY number LIMIT ?",
                (since, since, count - most),
            )
            found += [Waiting(*row) for row in rows]
        return found

    def _own(self, number: int, owners: frozenset[str]) -> None:
        self._execute("DELETE FROM owners WHERE object = ?", (number,))
        for uid in owners:
            self._execute("INSERT INTO owners VALUES (?, ?)", (uid, number))


def _only(namespace: str | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if namespace is None else ("AND namespace = ?", (namespace,))


def _flat(key: Key) -> tuple[str, str, str, str]:
    return (*key.kind, key.namespace, key.name)


def _key(row: Any) -> Key:
    return Key(GroupKind(row[0], row[1]), row[2], row[3])


def _event(row: Any) -> Event:
    return Event(_key(row), row[4], Severity(row[5]), *row[6:])
