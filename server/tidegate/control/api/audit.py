"""The audit log: every attempt to change something, who made it and what came of it, a line of JSON for each."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Protocol

import msgspec

log = logging.getLogger(__name__)

FILE = "audit.jsonl"


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One attempt. Dry runs are none."""

    time: str
    """RFC 3339, in UTC."""
    identity: str
    """Who: how he proved it, and his name."""
    address: str = ""
    """Where the connection came from."""
    verb: str
    group: str = ""
    resource: str
    """Plural, and the subresource if it was of that alone."""
    namespace: str = ""
    name: str = ""
    manager: str = ""
    """The program, as it calls itself."""
    before: str = ""
    """resourceVersion before; none of what was created or deleted."""
    after: str = ""
    """resourceVersion after, or of the deletion; none of what was refused."""
    code: int
    """HTTP status of the answer; 499 where the caller hung up before it, and the change may have been made."""
    reason: str = ""
    """Why it was refused."""


class Audit(Protocol):
    """Where records go."""

    def write(self, record: Record) -> None: ...


class NoAudit:
    """Nowhere."""

    def write(self, record: Record) -> None:
        pass


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the files."""

    max_bytes: int = 10 * 1024 * 1024
    """Bytes of one file, about 30,000 changes."""
    files: int = 5
    """Older files that are kept beside it; 0 keeps all in one without bound."""


class AuditLog:
    """Records in a file of a directory that only this user can read, rotated by size. A full disk stops no change:
    it is logged, and the change is made."""

    def __init__(self, directory: Path, settings: AuditSettings | None = None) -> None:
        settings = settings or AuditSettings()
        self._handler = _PrivateFile(
            directory / FILE, maxBytes=settings.max_bytes if settings.files else 0, backupCount=settings.files
        )
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, record: Record) -> None:
        line = msgspec.json.encode(record).decode()
        self._handler.handle(logging.LogRecord(__name__, logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        self._handler.close()


class _PrivateFile(RotatingFileHandler):
    def __init__(self, path: Path, maxBytes: int, backupCount: int) -> None:
        super().__init__(path, maxBytes=maxBytes, backupCount=backupCount, encoding="utf-8", delay=True)

    def _open(self) -> TextIOWrapper:
        return open(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        log.exception("a change could not be written to the audit log: %s", record.getMessage())
