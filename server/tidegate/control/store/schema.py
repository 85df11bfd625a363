"""The tables, as numbered steps: a file of an older version is brought up, one of a newer version is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tidegate.protocol.errors import StateUnusable

APPLICATION = 0x7469_6465
"""'tide': SQLite's mark of whose file it is."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE objects (
            id INTEGER PRIMARY KEY,
            api_group TEXT NOT NULL,
            kind TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            uid TEXT NOT NULL UNIQUE,
            version INTEGER NOT NULL,
            document BLOB NOT NULL,
            UNIQUE (api_group, kind, namespace, name)
        ) STRICT""",
        """CREATE TABLE owners (
            uid TEXT NOT NULL,
            object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
            PRIMARY KEY (uid, object)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX owners_of_object ON owners (object)",
        # AUTOINCREMENT: a number is not given again, though its row is pruned and the process started anew.
        """CREATE TABLE changes (
            version INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            type TEXT NOT NULL CHECK (type IN ('ADDED', 'MODIFIED', 'DELETED')),
            api_group TEXT NOT NULL,
            kind TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            old BLOB,
            new BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX changes_of_object ON changes (api_group, kind, namespace, name, version)",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('changes', 1)",  # version 0 means none to clients
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            api_group TEXT NOT NULL,
            kind TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            uid TEXT NOT NULL,
            severity TEXT NOT NULL CHECK (severity IN ('Normal', 'Warning')),
            reason TEXT NOT NULL,
            message TEXT NOT NULL,
            count INTEGER NOT NULL,
            first REAL NOT NULL,
            last REAL NOT NULL,
            UNIQUE (api_group, kind, namespace, name, uid, severity, reason)
        ) STRICT""",
        "CREATE INDEX events_by_time ON events (last, id)",
    ),
    (
        # AUTOINCREMENT for both, as above: who follows the log goes on from a number.
        """CREATE TABLE occurrences (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            at REAL NOT NULL,
            namespace TEXT NOT NULL,
            occurrence BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX occurrences_of_namespace ON occurrences (namespace, number)",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('occurrences', 0)",
        """CREATE TABLE outbox (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            lane TEXT NOT NULL,
            at REAL NOT NULL,
            due REAL NOT NULL,
            attempts INTEGER NOT NULL,
            occurrence BLOB NOT NULL,
            channel BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX outbox_by_lane ON outbox (lane, number)",
        "CREATE INDEX outbox_by_time ON outbox (at)",
    ),
)
"""A step that was released is never changed; what it got wrong is mended by the next one."""


def migrate(connection: sqlite3.Connection, file: str, now: float, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Bring the tables to the last step, each step in a transaction of its own. ``file`` is named in errors.

    Raises:
        StateUnusable: the file is of a newer version, or another program's.
    """
    done = _done(connection, file)
    if done > len(steps):
        raise StateUnusable(
            f"the state file '{file}' is from a newer tidegate (step {done}, this one knows {len(steps)}): "
            "use that one, or name another directory"
        )
    for number, statements in enumerate(steps[done:], done + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if number == 1:
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute("CREATE TABLE steps (number INTEGER PRIMARY KEY, at REAL NOT NULL) STRICT")
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO steps VALUES (?, ?)", (number, now))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _done(connection: sqlite3.Connection, file: str) -> int:
    """The last step that the file has seen."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == 0 and tables == 0:
        return 0
    if application != APPLICATION:
        raise StateUnusable(f"the state file '{file}' is another program's: name another directory")
    (done,) = connection.execute("SELECT max(number) FROM steps").fetchone()
    return int(done)
