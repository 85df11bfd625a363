"""What stands after the ``?`` of a request, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from tidegate.control.api.admission import FieldValidation
from tidegate.control.api.table import Include
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.resources.selector import EVERYTHING, Selector, parse_selector
from tidegate.resources.store import ANY, Cascade, Preconditions

Texts = Mapping[str, str]
Choice = TypeVar("Choice", bound=StrEnum)
MAX_LIMIT = 1_000_000
MANAGER_LENGTH = 128
_CASCADES = {"Background": Cascade.BACKGROUND, "Foreground": Cascade.BACKGROUND, "Orphan": Cascade.ORPHAN}
"""Foreground is Background here: what is owned goes in the same transaction as its owner."""


class ListOptions(msgspec.Struct, frozen=True):
    """Of lists and watches. ``timeout`` is in seconds; None for a watch that nobody ends."""

    selector: Selector = EVERYTHING
    limit: int | None = None
    more: str | None = None
    version: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial: bool | None = None
    """Whether a watch begins with what is there; None leaves that to its resourceVersion."""
    timeout: float | None = None
    include: Include = Include.METADATA


class WriteOptions(msgspec.Struct, frozen=True):
    """Of creations, updates and patches."""

    dry_run: bool = False
    manager: str = ""
    force: bool = False
    validation: FieldValidation = FieldValidation.WARN


class DeleteOptions(msgspec.Struct, frozen=True):
    preconditions: Preconditions = ANY
    cascade: Cascade = Cascade.BACKGROUND
    dry_run: bool = False


def list_options(texts: Texts) -> ListOptions:
    """Raises:
    InvalidRequest: one of them has a value that it cannot have.
    """
    limit = _number(texts, "limit", MAX_LIMIT)
    timeout = _number(texts, "timeoutSeconds", MAX_LIMIT)
    match = texts.get("resourceVersionMatch", "")
    if match not in ("", "NotOlderThan"):
        raise InvalidRequest(f"resourceVersionMatch is '{shown(match)}', expected NotOlderThan or none")
    initial = _truth(texts, "sendInitialEvents") if "sendInitialEvents" in texts else None
    return ListOptions(
        parse_selector(texts.get("labelSelector", ""), texts.get("fieldSelector", "")),
        limit or None,
        texts.get("continue") or None,
        texts.get("resourceVersion", ""),
        _truth(texts, "watch"),
        _truth(texts, "allowWatchBookmarks"),
        initial,
        float(timeout) if timeout else None,
        _choice(texts, "includeObject", Include.METADATA),
    )


def write_options(texts: Texts, agent: str) -> WriteOptions:
    """``agent`` is the User-Agent: its product manages the fields of a writer who does not name himself.

    Raises:
        InvalidRequest: one of them has a value that it cannot have.
    """
    manager = texts.get("fieldManager", "")
    if len(manager) > MANAGER_LENGTH or not manager.isprintable():
        raise InvalidRequest(f"fieldManager has {len(manager)} characters, expected at most 128 that can be printed")
    return WriteOptions(
        dry_run(texts.get("dryRun", "")),
        manager or agent.split("/")[0].strip()[:MANAGER_LENGTH] or "unknown",
        _truth(texts, "force"),
        _choice(texts, "fieldValidation", FieldValidation.WARN),
    )


def delete_options(texts: Texts, body: object) -> DeleteOptions:
    """Options of a deletion, in the query or in a body of kind DeleteOptions; the body goes first.

    Raises:
        InvalidRequest: one of them has a value that it cannot have.
    """
    told = body if isinstance(body, dict) else {}
    dry = told.get("dryRun") or ([texts["dryRun"]] if texts.get("dryRun") else [])
    if not isinstance(dry, list):
        raise InvalidRequest(f"dryRun is '{shown(dry)}', expected a list that holds All")
    policy = told.get("propagationPolicy") or texts.get("propagationPolicy") or "Background"
    if told.get("orphanDependents") is True:
        policy = "Orphan"
    if policy not in _CASCADES:
        raise InvalidRequest(f"propagationPolicy is '{shown(policy)}', expected one of {', '.join(_CASCADES)}")
    held = told.get("preconditions") or {}
    uid, version = (held.get("uid"), held.get("resourceVersion")) if isinstance(held, dict) else (None, None)
    for field, value in (("uid", uid), ("resourceVersion", version)):
        if not isinstance(value, str | None):
            raise InvalidRequest(f"preconditions.{field} is '{shown(value)}', expected text")
    return DeleteOptions(Preconditions(uid, version), _CASCADES[policy], any(dry_run(each) for each in dry))


def dry_run(text: object) -> bool:
    """Raises:
    InvalidRequest: it is neither nothing nor ``All``.
    """
    if text not in ("", "All"):
        raise InvalidRequest(f"dryRun is '{shown(text)}', expected All")
    return text == "All"


def _truth(texts: Texts, name: str) -> bool:
    text = texts.get(name, "").lower()
    if text in ("", "0", "f", "false"):
        return False
    if text in ("1", "t", "true"):
        return True
    raise InvalidRequest(f"{name} is '{shown(text)}', expected true or false")


def _number(texts: Texts, name: str, most: int) -> int | None:
    text = texts.get(name, "")
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= most:
        return int(text)
    raise InvalidRequest(f"{name} is '{shown(text)}', expected a whole number from 0 to {most}")


def _choice(texts: Texts, name: str, default: Choice) -> Choice:
    text = texts.get(name, "")
    if not text:
        return default
    try:
        return type(default)(text)
    except ValueError:
        raise InvalidRequest(f"{name} is '{shown(text)}', expected one of {', '.join(type(default))}") from None
