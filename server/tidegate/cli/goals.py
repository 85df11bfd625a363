"""What is waited for: whether a resource, as it is now, is what somebody wants it to be. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from tidegate.cli.failure import Exit, Failure
from tidegate.client.resource_calls import Document
from tidegate.protocol.errors import quoted, shown

FORMS = "it is condition=NAME, condition=NAME=STATUS, delete, create, or jsonpath={.status.url}=VALUE"
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d{1,9})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_ABSENT = object()


class Verdict(NamedTuple):
    """Whether it is so, and the sentence that tells how it is."""

    met: bool
    told: str


class Condition(msgspec.Struct, frozen=True):
    """One of ``status.conditions`` has a status. What was said of an earlier generation says nothing."""

    name: str
    status: str = "True"


class Deleted(msgspec.Struct, frozen=True):
    """There is no such resource any more; one that was made anew in its place is another one."""


class Created(msgspec.Struct, frozen=True):
    """There is one."""


class Value(msgspec.Struct, frozen=True):
    """A field has a value, or with None any."""

    steps: tuple[str | int, ...]
    path: str
    wanted: str | None


Goal = Condition | Deleted | Created | Value


def parse_goal(text: str) -> Goal:
    """What ``--for`` says.

    Raises:
        Failure: it says nothing that can be waited for.
    """
    word, equals, rest = text.partition("=")
    match word.lower():
        case "delete" | "create" if not equals:
            return Deleted() if word.lower() == "delete" else Created()
        case "condition" if rest:
            name, _, status = rest.partition("=")
            return Condition(name, status or "True")
        case "jsonpath" if rest:
            return _value(rest)
    raise Failure(f"'{shown(text)}' is nothing to wait for", FORMS, Exit.USAGE)


def judge(goal: Goal, document: Document | None, uid: str = "") -> Verdict:
    """Whether the goal is reached. ``document`` is the resource as it is, None where there is none; ``uid`` is the one
    that was there when the waiting began."""
    if isinstance(goal, Deleted):
        other = document is not None and uid and document.get("metadata", {}).get("uid") != uid
        return Verdict(document is None or bool(other), "it is there still")
    if document is None:
        return Verdict(False, "there is no such resource")
    match goal:
        case Created():
            return Verdict(True, "it is there")
        case Condition(name, status):
            return _condition(document, name, status)
        case Value(steps, path, wanted):
            found = look(document, steps)
            if found is _ABSENT:
                return Verdict(False, f"{path} is not there")
            met = wanted is None or _text(found) == wanted
            return Verdict(met, f"{path} is {quoted(found)}")


def look(document: Any, steps: tuple[str | int, ...]) -> Any:
    """What stands at the end of a path."""
    for step in steps:
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and step < len(document) else _ABSENT
        else:
            document = document.get(step, _ABSENT) if isinstance(document, dict) else _ABSENT
    return document


def current(document: Document) -> bool:
    """Whether the status speaks of the resource as it is now, and not of an earlier generation."""
    generation = document.get("metadata", {}).get("generation")
    observed = (document.get("status") or {}).get("observedGeneration")
    return generation is None or (isinstance(observed, int) and observed >= generation)


def condition_of(document: Document, name: str) -> Document | None:
    """The condition of that name, in any case."""
    for each in (document.get("status") or {}).get("conditions") or ():
        if isinstance(each, dict) and str(each.get("type")).lower() == name.lower():
            return each
    return None


def _condition(document: Document, name: str, status: str) -> Verdict:
    found = condition_of(document, name)
    if not current(document):
        return Verdict(False, "the server has not looked at its latest change yet")
    if found is None:
        return Verdict(False, f"it has no condition {shown(name)} yet")
    held = found.get("observedGeneration")
    generation = document.get("metadata", {}).get("generation")
    if isinstance(held, int) and isinstance(generation, int) and held < generation:
        return Verdict(False, f"{shown(found.get('type'))} is of an earlier generation")
    reason = ": ".join(shown(found[part], 300) for part in ("reason", "message") if found.get(part))
    told = f"{shown(found.get('type'))} is {shown(found.get('status'))}" + (f" ({reason})" if reason else "")
    return Verdict(str(found.get("status")).lower() == status.lower(), told)


def _value(text: str) -> Value:
    path, wanted = text, None
    bare = re.fullmatch(r"\{([^{}]*)\}(?:=(.*))?", text, re.DOTALL) or re.fullmatch(
        r"([^=]*)(?:=(.*))?", text, re.DOTALL
    )
    if bare:
        path, wanted = bare[1], bare[2]
    whole = path if path.startswith((".", "[")) else f".{path}"
    steps: list[str | int] = []
    at = 0
    while at < len(whole):
        step = _STEP.match(whole, at)
        if step is None:
            raise Failure(f"'{shown(path)}' is no path of a field", "like .status.conditions[0].status", Exit.USAGE)
        name = next((each for each in (step[1], step[3], step[4]) if each is not None), None)
        steps.append(int(step[2]) if name is None else name)
        at = step.end()
    return Value(tuple(steps), whole, wanted.strip("'\"") if wanted is not None else None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
