"""The rollouts of a service: which there are, how far one is, and whether a service is what it is to be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.goals import Verdict, condition_of, current
from tidegate.cli.history import number_of, of_service, predictor_of, settled
from tidegate.client.resource_calls import Document
from tidegate.protocol.errors import shown
from tidegate.resources.age import span

ENDED = {
    "Succeeded": "has taken over",
    "RolledBack": "was rolled back",
    "Failed": "has failed",
    "Superseded": "was superseded",
}
"""The phases in which nothing goes on, in words."""
WORDS = {
    "Pending": "about to begin",
    "Warming": "warming up",
    "Golden": "at its golden requests",
    "Shadow": "in its shadow phase",
    "Promoting": "taking over",
    "Aborting": "going back",
}
"""The others, as they stand after "is"."""
COLUMNS = ("ROLLOUT", "REVISION", "FROM", "STRATEGY", "OUTCOME", "TOOK", "AGO", "MESSAGE")


class Judgement(NamedTuple):
    """How a change of a service stands: whether it is done, the rollout that it is about, if it is, and what a command
    ends with where that goes on no more: it has ended otherwise than well, or is paused."""

    verdict: Verdict
    rollout: Document | None = None
    failure: Failure | None = None


def judged(service: Document, rollouts: Sequence[Document], followed: str = "") -> Judgement:
    """How the newest change of a service stands. ``followed`` is the name of the rollout that is watched already:
    what becomes of that one is the answer, whatever comes after it.

    Raises:
        Failure: there is no rollout, and its model cannot be loaded.
    """
    own = of_service(rollouts, service)
    watched = next((each for each in own if each["metadata"]["name"] == followed), None)
    if watched is not None:
        return concluded(watched)
    if not current(service):
        return Judgement(settled(service))
    newest = own[-1] if own else None
    if newest is not None and under_way(newest):
        return concluded(newest)
    configured = condition_of(service, "PredictorConfigurationReady")
    if configured is not None and configured.get("status") != "True":
        return Judgement(settled(service))  # which revision the spec means is not known yet
    if strategy_of(service) == "immediate":
        return Judgement(settled(service))
    created = predictor_of(service).get("latestCreatedRevision")
    if newest is not None and revision_name(newest) == created:
        return concluded(newest)
    verdict = settled(service)
    if verdict.met and created and created != predictor_of(service).get("latestRolledoutRevision"):
        return Judgement(Verdict(False, f"the rollout of {shown(created)} has not begun yet"))
    return Judgement(verdict)


def concluded(rollout: Document) -> Judgement:
    """How a rollout stands by itself."""
    phase, message, service = phase_of(rollout), message_of(rollout), shown(service_of(rollout))
    if phase == "Succeeded":
        return Judgement(Verdict(True, f"{titled(rollout)} {ENDED[phase]}{_after(rollout)}"), rollout)
    reason = f": {message}" if message else ""
    told = Verdict(False, f"{titled(rollout)} {ENDED.get(phase) or f'is {where(rollout)}'}{reason}")
    if phase == "Paused":
        ways = f"`tidegate rollout resume {service}` goes on, `promote` takes the next step, `abort` goes back"
        return Judgement(told, rollout, Failure(f"'{service}' is not rolled out: {told.told}", ways, Exit.NOT_READY))
    if phase in ENDED:
        hint = f"`tidegate rollout retry {service}` tries it again" if phase != "Superseded" else ""
        return Judgement(told, rollout, Failure(f"'{service}' is not rolled out: {told.told}", hint))
    return Judgement(told, rollout)


def as_document(service: Document, judgement: Judgement) -> Document:
    """What programs read of it: ``-o json``."""
    rollout = judgement.rollout
    return {
        "service": service["metadata"]["name"],
        "done": judgement.verdict.met,
        "message": judgement.verdict.told,
        "rollout": None
        if rollout is None
        else {"name": rollout["metadata"]["name"], "spec": rollout["spec"], "status": status_of(rollout)},
    }


def rows_of(rollouts: Sequence[Document], now: float) -> list[tuple[object, ...]]:
    """A row of ``COLUMNS`` for each rollout."""
    rows: list[tuple[object, ...]] = []
    for each in rollouts:
        spec, status = each["spec"], status_of(each)
        ended = seconds_of(status.get("endedAt"))
        rows.append(
            (
                number_of(each),
                spec.get("revision"),
                spec.get("stable") or "-",
                spec.get("strategy"),
                _outcome(each),
                took(each, now),
                "" if ended is None else span(now - ended),
                message_of(each),
            )
        )
    return rows


def status_of(rollout: Document) -> Mapping[str, Any]:
    found = rollout.get("status")
    return found if isinstance(found, dict) else {}


def phase_of(rollout: Document) -> str:
    """Its phase; one that has no status is about to begin."""
    return str(status_of(rollout).get("phase") or "Pending")


def under_way(rollout: Document) -> bool:
    return phase_of(rollout) not in ENDED


def message_of(rollout: Document) -> str:
    return shown(status_of(rollout).get("message") or "", 300)


def service_of(rollout: Document) -> str:
    return str((rollout["spec"].get("service") or {}).get("name") or "")


def strategy_of(service: Document) -> str:
    """How the next revision of a service takes over."""
    rollout = (service.get("spec") or {}).get("rollout")
    return str((rollout if isinstance(rollout, dict) else {}).get("strategy") or "immediate")


def titled(rollout: Document) -> str:
    return f"revision {shown(rollout['spec'].get('revision'))}"


def revision_name(rollout: Document) -> str:
    """The name of the revision that is to take over."""
    from tidegate.resources.revision import name_of

    number = rollout["spec"].get("revision")
    return name_of(service_of(rollout), number) if isinstance(number, int) else ""


def where(rollout: Document) -> str:
    """How far it is, as it stands after "is": ``in step 2 of 3 (10 %)``, ``warming up``, ``paused in step 2 of 3``."""
    status, phase = status_of(rollout), phase_of(rollout)
    if phase == "Paused":
        return f"paused {_named(str(status.get('pausedPhase') or ''), status)}".rstrip()
    return _named(phase, status)


def took(rollout: Document, now: float) -> str:
    """How long it has gone on, or has taken; "" where that is not known."""
    status = status_of(rollout)
    began, ended = seconds_of(status.get("startedAt")), seconds_of(status.get("endedAt"))
    return "" if began is None else span((now if ended is None else ended) - began)


def seconds_of(timestamp: object) -> float | None:
    """Seconds since 1970 of a time of RFC 3339; None where it is none."""
    try:
        return datetime.fromisoformat(str(timestamp)).timestamp()
    except ValueError:
        return None


def _named(phase: str, status: Mapping[str, Any]) -> str:
    if phase != "Step":
        return WORDS.get(phase) or shown(phase)
    of = f" of {status['steps']}" if status.get("steps") else ""
    weight = f" ({status['weight']} %)" if status.get("weight") is not None else ""
    return shown(f"in step {status.get('step', '?')}{of}{weight}")


def _outcome(rollout: Document) -> str:
    status, phase = status_of(rollout), phase_of(rollout)
    step = f" {status['step']}/{status['steps']}" if status.get("step") and status.get("steps") else ""
    return shown(f"{phase}{step if phase == 'Step' else ''}")


def _after(rollout: Document) -> str:
    ended = seconds_of(status_of(rollout).get("endedAt"))
    return f" after {took(rollout, ended)}" if ended is not None and took(rollout, ended) else ""
