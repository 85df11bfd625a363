"""The Store in SQLite: opened on a state directory, or in memory for a server that is to leave nothing behind."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tidegate.control.store.database import DatabaseThread, transaction, undone
from tidegate.control.store.directory import StateDirectory
from tidegate.control.store.ledger import Ledger
from tidegate.control.store.local import LocalStore, Work, new_uid
from tidegate.control.store.schema import migrate
from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.sqlite_ledger import SqliteLedger

T = TypeVar("T")
FILE = "state.db"
MEMORY = Path(":memory:")
"""What SQLite calls a database that ends with its connection."""


class SqliteStore(LocalStore):
    """Its file and its lock are this process' from ``open`` to ``close``, or the end of ``async with``."""

    def __init__(
        self,
        directory: StateDirectory | None,
        writer: DatabaseThread,
        reader: DatabaseThread,
        settings: StoreSettings,
        clock: Callable[[], float],
        new_uid: Callable[[], str],
        newest: tuple[int, int],
    ) -> None:
        super().__init__(settings, clock=clock, new_uid=new_uid, newest=newest[0], newest_told=newest[1])
        self._directory = directory
        self._writer = writer
        self._reader = reader
        self._closing = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        path: Path | None,
        settings: StoreSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        new_uid: Callable[[], str] = new_uid,
    ) -> Self:
        """Open the state in a directory, which is made where there is none; None is a state in memory.

        Raises:
            StateUnusable: another process has it, or its file is another program's, a newer version's, or damaged.
            StateUnavailable: SQLite cannot read or write it now.
        """
        settings = settings or StoreSettings()
        directory = None
        file = MEMORY
        if path is not None:
            directory = StateDirectory(path)  # in this thread: a call that is cancelled must not leave a lock behind
            try:
                file = directory.file(FILE)
            except BaseException:
                directory.release()
                raise
        writer = DatabaseThread(file, "writer", settings)
        # A database in memory is its connection's alone, so both are one thread.
        reader = writer if directory is None else DatabaseThread(file, "reader", settings)
        try:
            newest = await writer.call(lambda connection: _prepared(connection, str(file), clock()))
        except BaseException:
            await writer.close()
            if directory is not None:
                directory.release()
            raise
        return cls(directory, writer, reader, settings, clock, new_uid, newest)

    async def close(self) -> None:
        self._end_watches()
        async with self._closing:  # whoever closes it, too, returns when it is closed
            await self._reader.close()
            await self._writer.close()
            if self._directory is not None:
                self._directory.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self, work: Callable[[Ledger], T]) -> T:
        def reading(connection: sqlite3.Connection) -> T:
            with transaction(connection, "BEGIN"):
                return work(SqliteLedger(connection))

        return await self._reader.call(reading)

    async def _write(self, work: Work[T], keep: bool) -> T:
        loop = asyncio.get_running_loop()

        def writing(connection: sqlite3.Connection) -> T:
            if not keep:
                with undone(connection):
                    return work(SqliteLedger(connection))[0]
            with transaction(connection, "BEGIN IMMEDIATE"):
                answer, committed = work(SqliteLedger(connection))
            # From this thread: in the order of the commits, and also if the caller was cancelled meanwhile.
            loop.call_soon_threadsafe(self._publish, committed)
            return answer

        return await self._writer.call(writing)


def _prepared(connection: sqlite3.Connection, file: str, now: float) -> tuple[int, int]:
    """The newest version, and the newest occurrence."""
    migrate(connection, file, now)
    ledger = SqliteLedger(connection)
    return ledger.newest(), ledger.newest_told()
