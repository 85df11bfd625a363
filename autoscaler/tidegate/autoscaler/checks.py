"""Settings that a policy cannot compute with are refused where they are made, in one sentence."""

from __future__ import annotations

import msgspec

from tidegate.protocol.errors import InvalidRequest


def above(least: float, settings: msgspec.Struct, *names: str) -> None:
    """Each of these fields is more than ``least``.

    Raises:
        InvalidRequest: one is not.
    """
    for name in names:
        if not (value := getattr(settings, name)) > least:
            raise InvalidRequest(f"{_told(settings, name, value)}, expected more than {least:g}")


def from_(least: float, settings: msgspec.Struct, *names: str) -> None:
    """Each of these fields is ``least`` or more.

    Raises:
        InvalidRequest: one is not.
    """
    for name in names:
        if not (value := getattr(settings, name)) >= least:
            raise InvalidRequest(f"{_told(settings, name, value)}, expected {least:g} or more")


def _told(settings: msgspec.Struct, name: str, value: float) -> str:
    return f"{type(settings).__name__}: {name!r} is {value:g}"
