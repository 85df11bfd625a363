"""The log of a process: one stream, one form, either for a person at a terminal or as one JSON object per line."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

LogFormat = Literal["plain", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

ACCESS = "uvicorn.access"
"""The logger of the HTTP listener's access log."""


class LogSettings(msgspec.Struct, frozen=True):
    level: LogLevel = "warning"
    """The least serious message that is written. The server's own life is announced, not logged, so a quiet log is
    the normal one."""
    format: LogFormat = "plain"
    """plain for people, json for a collector."""
    access: bool = False
    """Whether requests are written, whatever the level. The listener must be told, too, to log them at all."""


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time (RFC 3339, UTC), level, logger, message; a traceback if there is one.

    What a record carries as ``extra={"fields": {...}}`` stands under ``fields``.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if fields is not None:
            entry["fields"] = fields
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def plain_formatter() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")


def configure(settings: LogSettings, stream: TextIO) -> None:
    """Send every logger of this process to ``stream``. Called once, by the role that owns the process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else plain_formatter())
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    logging.getLogger(ACCESS).setLevel(logging.INFO if settings.access else logging.NOTSET)
