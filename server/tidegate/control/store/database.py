"""One SQLite file, with a thread that writes and one that reads.

A transaction is one call in one thread, so it cannot be left open half-way by a task that is cancelled, and costs one
change of thread, not one per statement. Reads have a connection of their own: they do not wait for the disk of a write.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import Overloaded, ShuttingDown, StateUnavailable, StateUnusable

T = TypeVar("T")
WAL_KEPT = 64 * 1024 * 1024
"""Bytes that the write-ahead log keeps on disk once it was larger."""


class DatabaseThread:
    """A thread with its connection, and a bounded number of calls that wait for it."""

    def __init__(self, file: Path, name: str, settings: StoreSettings) -> None:
        self._file = file
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, f"tidegate-store-{name}")
        self._waiting = 0
        self._connection: sqlite3.Connection | None = None
        self._closing = False
        self._ended = False

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do it in the thread. A call that is cancelled before its turn is not done; once it is, it is done whole.

        Raises:
            Overloaded: too many wait.
            ShuttingDown: it is closed.
            StateUnavailable: SQLite cannot do it now.
            StateUnusable: the file is damaged.
        """
        if self._closing:
            raise ShuttingDown
        if self._waiting >= self._settings.max_waiting:
            raise Overloaded(f"{self._waiting} calls wait for the state's disk, there is no room now", retry_after=1.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Let what waits be done, then close the connection and the thread. It may be called again."""
        self._closing = True
        if not self._ended:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            self._ended = True
            self._thread.shutdown()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self._file):
            if self._connection is None:
                self._connection = _connect(self._file, self._settings.busy_timeout)
            return work(self._connection)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Commit at the end, undo if anything is raised."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors have undone it already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def undone(connection: sqlite3.Connection) -> Iterator[None]:
    """What is written is seen here, and by nobody else ever."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


@contextmanager
def translated(file: Path) -> Iterator[None]:
    """SQLite's errors as ours. Operational ones are the disk's or another program's, and can be over in a moment.

    Its other subclasses of DatabaseError tell faults of ours, and stay what they are.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StateUnavailable(f"the state file '{file}' cannot be used now: {error}", retry_after=1.0) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise StateUnusable(f"the state file '{file}' is damaged: {error}") from error


def _connect(file: Path, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=busy_timeout, isolation_level=None)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # a write that was acknowledged is on the disk, also when the power goes
        "foreign_keys = ON",
        f"journal_size_limit = {WAL_KEPT}",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection
