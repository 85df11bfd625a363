"""The revisions of a service: which there are, which have its traffic, which one an undo goes back to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tidegate.cli.failure import Failure
from tidegate.cli.goals import Verdict, condition_of, current
from tidegate.client.resource_calls import Document
from tidegate.protocol.errors import shown
from tidegate.resources.age import age
from tidegate.resources.revision import CHANGE_CAUSE
from tidegate.resources.revision import SERVICE_LABEL as SERVICE_LABEL  # of all of these revisions

COLUMNS = ("REVISION", "TRAFFIC", "READY", "MODEL", "VERSION", "AGE", "CHANGE-CAUSE")


class Change(NamedTuple):
    """A field that is another after a write; None for what is not there."""

    path: str
    before: Any
    after: Any


def number_of(revision: Document) -> int:
    """Which one of its service a revision is; 0 where it does not say."""
    number = revision.get("spec", {}).get("number")
    return number if isinstance(number, int) else 0


def of_service(revisions: Sequence[Document], service: Document) -> list[Document]:
    """Those of a service, the oldest first."""
    name, kind = service["metadata"]["name"], service.get("kind")
    own = [each for each in revisions if each.get("spec", {}).get("service") == {"kind": kind, "name": name}]
    return sorted(own, key=number_of)


def traffic_of(service: Document) -> dict[str, int]:
    """The per cent of the traffic that each revision has, by their names."""
    told = predictor_of(service).get("traffic") or ()
    return {str(each.get("revisionName")): each.get("percent") or 0 for each in told if isinstance(each, dict)}


def rows_of(service: Document, revisions: Sequence[Document], now: float) -> Iterator[tuple[object, ...]]:
    """A row of ``COLUMNS`` for each revision."""
    traffic = traffic_of(service)
    for each in revisions:
        name = each["metadata"]["name"]
        resolved = each["spec"].get("resolved") or {}
        ready = condition_of(each, "Ready")
        yield (
            number_of(each),
            f"{traffic[name]}%" if name in traffic else "-",
            "" if ready is None else ready.get("status"),
            str(resolved.get("digest") or "").removeprefix("sha256:")[:12],
            resolved.get("version") or "",
            age(each["metadata"].get("creationTimestamp"), now),
            (each["metadata"].get("annotations") or {}).get(CHANGE_CAUSE) or "",
        )


def chosen(service: Document, revisions: Sequence[Document], number: int | None) -> Document:
    """The revision to go back to: the one of that number, or else the one before what the service is now.

    Raises:
        Failure: there is none.
    """
    name = service["metadata"]["name"]
    by_number = {number_of(each): each for each in revisions}
    if number is None:
        number = _previous(service, revisions)
        if number is None:
            raise Failure(f"'{shown(name)}' has no earlier revision", "`tidegate rollout history` shows what there is")
    if number not in by_number:
        kept = ", ".join(map(str, by_number)) or "none"
        raise Failure(f"'{shown(name)}' has no revision {number} any more; there are {kept}")
    return by_number[number]


def settled(service: Document) -> Verdict:
    """Whether the newest revision of a service is ready, and has the traffic that it is to have.

    Raises:
        Failure: it cannot be loaded.
    """
    if not current(service):
        return Verdict(False, "the server has not looked at its latest change yet")
    latest = condition_of(service, "LatestDeploymentReady") or condition_of(service, "Ready")
    if latest is None:
        return Verdict(False, "its revision is being made")
    message = shown(latest.get("message") or latest.get("reason") or "", 300)
    if latest.get("status") == "False":
        raise Failure(f"'{shown(service['metadata']['name'])}' is not rolled out: {message}")
    if latest.get("status") != "True":
        return Verdict(False, message or "its newest revision is not ready")
    shares = [f"{percent} % to {shown(name)}" for name, percent in traffic_of(service).items() if percent]
    return Verdict(True, ", ".join(shares) or "no traffic yet")


def changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """What differs between two documents; lists are compared as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in (*before, *(each for each in after if each not in before)):
            place = f"{path}.{name}" if path else str(name)
            yield from changes(before.get(name), after.get(name), place)
    elif before != after or type(before) is not type(after):
        yield Change(path, before, after)


def _previous(service: Document, revisions: Sequence[Document]) -> int | None:
    stable = [each for each in revisions if not each["spec"].get("track")]
    numbers = {each["metadata"]["name"]: number_of(each) for each in stable}
    predictor = predictor_of(service)
    now = numbers.get(predictor.get("latestCreatedRevision"), max(numbers.values(), default=0))
    for field in ("latestRolledoutRevision", "previousRolledoutRevision"):
        before = numbers.get(predictor.get(field))
        if before is not None and before != now:
            return before
    return max((number for number in numbers.values() if number < now), default=None)


def predictor_of(service: Document) -> Document:
    """What its status tells of the predictor."""
    found = ((service.get("status") or {}).get("components") or {}).get("predictor")
    return found if isinstance(found, dict) else {}
