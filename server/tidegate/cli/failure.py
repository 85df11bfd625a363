"""How a command ends badly: one line of cause, one of hint, and an exit code."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the shell sees. A process ended by a signal has 128 + its number instead."""

    GOOD = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3


class Failure(Exception):
    """A command cannot do what it was asked. ``hint`` says what to try; the user reads both and no traceback."""

    def __init__(self, cause: str, hint: str = "", code: int = Exit.FAILED) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint
        self.code = code
