"""What stands after the ``?`` of a request, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from tidegate.control.api.admission import FieldValidation
from tidegate.control.api.table import Include
from tidegate.protocol.errors import InvalidRequest, quoted, shown
from tidegate.resources.selector import EVERYTHING, Selector, parse_selector
from tidegate.resources.store import ANY, Cascade, Preconditions

Texts = Mapping[str, str]
Choice = TypeVar("Choice", bound=StrEnum)
MAX_LIMIT = 1_000_000
MANAGER_LENGTH = 128
DRY = "All"
"""The one value of ``dryRun``."""
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
    """Options of a deletion, in the query, in a body of kind DeleteOptions, or in both where they agree.

    It is a dry run where one of them says so.

    Raises:
        InvalidRequest: one of them has a value that it cannot have, or the two disagree.
    """
    if not isinstance(body, dict | None):
        raise InvalidRequest(f"the body is {quoted(body)}, expected an object of kind DeleteOptions")
    told = body or {}
    if told.get("kind") not in (None, "DeleteOptions"):
        raise InvalidRequest(f"kind is {quoted(told['kind'])}, expected DeleteOptions")
    dry = told.get("dryRun")
    if not isinstance(dry, list | None):
        raise InvalidRequest(f"dryRun is {quoted(dry)}, expected a list that holds {DRY}")
    for each in dry or ():
        if each != DRY:
            raise InvalidRequest(f"dryRun holds {quoted(each)}, expected {DRY}")
    _number(texts, "gracePeriodSeconds", MAX_LIMIT)  # nothing here takes time to end once it is deleted
    grace = told.get("gracePeriodSeconds")
    if not isinstance(grace, int | None) or isinstance(grace, bool) or (grace or 0) < 0:
        raise InvalidRequest(f"gracePeriodSeconds is {quoted(grace)}, expected a whole number of 0 or more")
    return DeleteOptions(_preconditions(told), _cascade(texts, told), dry_run(texts.get("dryRun", "")) or bool(dry))


def _preconditions(told: Mapping[str, object]) -> Preconditions:
    held = told.get("preconditions")
    if held is None:
        return ANY
    if not isinstance(held, dict):
        raise InvalidRequest(f"preconditions is {quoted(held)}, expected an object with uid or resourceVersion")
    for field in ("uid", "resourceVersion"):
        if not isinstance(held.get(field), str | None):
            raise InvalidRequest(f"preconditions.{field} is {quoted(held[field])}, expected text")
    return Preconditions(held.get("uid"), held.get("resourceVersion"))


def _cascade(texts: Texts, told: Mapping[str, object]) -> Cascade:
    """What becomes of dependents: what is said of it in one place or the other, and in one form or the other."""
    said: dict[str, Cascade] = {}
    for place, policy in (("the body", told.get("propagationPolicy")), ("the query", texts.get("propagationPolicy"))):
        if policy:
            if not isinstance(policy, str) or policy not in _CASCADES:
                raise InvalidRequest(f"propagationPolicy is {quoted(policy)}, expected one of {', '.join(_CASCADES)}")
            said[f"propagationPolicy in {place}"] = _CASCADES[policy]
    orphan = told.get("orphanDependents")
    if not isinstance(orphan, bool | None):
        raise InvalidRequest(f"orphanDependents is {quoted(orphan)}, expected true or false")
    asked = _truth(texts, "orphanDependents") if texts.get("orphanDependents") else None
    for place, each in (("the body", orphan), ("the query", asked)):
        if each is not None:
            said[f"orphanDependents in {place}"] = Cascade.ORPHAN if each else Cascade.BACKGROUND
    if len(set(said.values())) > 1:
        raise InvalidRequest(f"{' and '.join(said)} disagree, expected one of them, or the same in each")
    return next(iter(said.values()), Cascade.BACKGROUND)


def dry_run(text: object) -> bool:
    """Raises:
    InvalidRequest: it is neither nothing nor ``All``.
    """
    if text not in ("", DRY):
        raise InvalidRequest(f"dryRun is '{shown(text)}', expected {DRY}")
    return text == DRY


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
