"""``tidegate rollout promote``, ``pause``, ``resume``, ``abort``, ``retry``: something is asked of a rollout.

What is asked is an annotation of the service, which the server carries out once. Here it is refused where it would
mean nothing, so that nobody waits for it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.rollouts import ENDED, message_of, phase_of, status_of, titled, under_way, where
from tidegate.cli.target import HERE, Target, connect
from tidegate.protocol.errors import shown
from tidegate.resources.rollout_command import COMMAND, Command, Verb

if TYPE_CHECKING:
    from tidegate.cli.following import Sight
    from tidegate.client.resource_calls import Document

NAME = Parameter(show_env_var=False)
GOES_ON = ("Pending", "Warming", "Golden", "Shadow", "Step", "Promoting", "Aborting", "Paused")
MEANS: Mapping[Verb, tuple[str, ...]] = {
    Verb.PROMOTE: ("Golden", "Shadow", "Step", "Paused"),
    Verb.PROMOTE_FULL: ("Golden", "Shadow", "Step", "Paused"),
    Verb.PAUSE: ("Pending", "Warming", "Golden", "Shadow", "Step", "Promoting"),
    Verb.RESUME: ("Paused",),
    Verb.ABORT: ("Pending", "Warming", "Golden", "Shadow", "Step", "Promoting", "Paused"),
    Verb.RETRY: ("RolledBack", "Failed"),
}
"""The phases in which each means something."""
WORDS = {
    Verb.PROMOTE: "take the next step",
    Verb.PROMOTE_FULL: "take all of the traffic",
    Verb.PAUSE: "pause",
    Verb.RESUME: "go on",
    Verb.ABORT: "go back",
    Verb.RETRY: "begin again",
}


def promote(
    service: Annotated[str, NAME],
    /,
    *,
    full: Annotated[bool, Parameter(negative=(), show_env_var=False)] = False,
    wait: bool = True,
    timeout: str = "30s",
    target: Target = HERE,
) -> None:
    """Have a rollout take its next step now, whatever the analysis says by now; a paused one, too.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    full
        All of the traffic, not the next step.
    wait
        Wait until it was carried out; ends with 3 when it is not in time.
    timeout
        How long: 30s, 5m, or seconds.
    """
    _ask(service, Verb.PROMOTE_FULL if full else Verb.PROMOTE, wait, timeout, target)


def pause(service: Annotated[str, NAME], /, *, wait: bool = True, timeout: str = "30s", target: Target = HERE) -> None:
    """Have a rollout stay as it is: its share of the traffic, and its replicas.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    wait
        Wait until it was carried out; ends with 3 when it is not in time.
    timeout
        How long: 30s, 5m, or seconds.
    """
    _ask(service, Verb.PAUSE, wait, timeout, target)


def resume(service: Annotated[str, NAME], /, *, wait: bool = True, timeout: str = "30s", target: Target = HERE) -> None:
    """Have a paused rollout go on.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    wait
        Wait until it was carried out; ends with 3 when it is not in time.
    timeout
        How long: 30s, 5m, or seconds.
    """
    _ask(service, Verb.RESUME, wait, timeout, target)


def abort(service: Annotated[str, NAME], /, *, wait: bool = True, timeout: str = "30s", target: Target = HERE) -> None:
    """Have a rollout go back: the revision before has all of the traffic again. What the manifest says stays.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    wait
        Wait until it was carried out; ends with 3 when it is not in time.
    timeout
        How long: 30s, 5m, or seconds.
    """
    _ask(service, Verb.ABORT, wait, timeout, target)


def retry(service: Annotated[str, NAME], /, *, wait: bool = True, timeout: str = "30s", target: Target = HERE) -> None:
    """Begin the rollout of a revision again that was rolled back or has failed.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    wait
        Wait until it has begun; ends with 3 when it has not in time.
    timeout
        How long: 30s, 5m, or seconds.
    """
    _ask(service, Verb.RETRY, wait, timeout, target)


def refusal(verb: Verb, service: str, rollouts: Sequence[Document]) -> Failure | None:
    """Why a verb means nothing by now; None where it does. ``rollouts`` are the service's, the oldest first."""
    if not rollouts:
        return _refused(f"'{shown(service)}' has no rollout", verb)
    newest = rollouts[-1]
    if phase_of(newest) in MEANS[verb]:
        return None
    if not under_way(newest):
        return _refused(f"nothing goes on: {titled(newest)} of '{shown(service)}' {ENDED[phase_of(newest)]}", verb)
    return _refused(f"the rollout of {titled(newest)} of '{shown(service)}' is {where(newest)}", verb)


def carried_out(verb: Verb, before: Document, rollouts: Sequence[Document]) -> str:
    """What came of a verb, in words; "" while nothing has. ``before`` is the rollout of which it was asked.

    Raises:
        Failure: the rollout has ended otherwise meanwhile.
    """
    name = before["metadata"]["name"]
    after = next((each for each in rollouts if each["metadata"]["name"] == name), before)
    phase, newest = phase_of(after), rollouts[-1] if rollouts else before
    told = f"{titled(newest)} is {where(newest)}"
    match verb:
        case Verb.RETRY:
            return told if under_way(newest) else ""
        case Verb.PAUSE:
            met = phase == "Paused"
        case Verb.RESUME:
            met = phase != "Paused"
        case Verb.ABORT:
            met = phase in ("Aborting", "RolledBack", "Failed")
        case Verb.PROMOTE_FULL:
            met = phase in ("Promoting", "Succeeded")
        case Verb.PROMOTE:
            met = (under_way(after) and _place(after) != _place(before)) or phase == "Succeeded"
    if met:
        return told if under_way(after) else f"{titled(after)} {ENDED[phase]}"
    if not under_way(after):
        reason = f": {message_of(after)}" if message_of(after) else ""
        raise Failure(f"it came too late to {WORDS[verb]}: {titled(after)} {ENDED[phase]}{reason}")
    return ""


def _ask(word: str, verb: Verb, wait: bool, timeout: str, target: Target) -> None:
    from tidegate.cli.following import rollouts_of, until
    from tidegate.cli.found import label, space
    from tidegate.cli.rollout import service_of
    from tidegate.cli.waiting import parse_deadline

    deadline = parse_deadline(timeout)
    with connect(target) as session:
        kind, document = service_of(session, word)
        name = document["metadata"]["name"]
        rollouts = rollouts_of(session, document)
        if (refused := refusal(verb, name, rollouts)) is not None:
            raise refused
        newest = rollouts[-1]
        patch = {"metadata": {"annotations": {COMMAND: str(Command(verb, secrets.token_hex(4)))}}}
        session.resources.patch(kind, name, patch, space(session, kind))
        asked = f"{label(kind, name)}: asked to {WORDS[verb]} with {titled(newest)}"
        if not wait:
            print(asked)
            return
        print(asked, file=sys.stderr, flush=True)
        print(f"{label(kind, name)}: {until(session, kind, name, _seen(verb, newest), deadline)}")


def _seen(verb: Verb, before: Document) -> Callable[[Sight], str]:
    return lambda sight: carried_out(verb, before, sight.rollouts)


def _refused(cause: str, verb: Verb) -> Failure:
    needed = (
        "that was rolled back or has failed" if verb is Verb.RETRY else "that is paused" if verb is Verb.RESUME else ""
    )
    hint = f"{verb} is for a rollout {needed}" if needed else "`tidegate rollout status` shows what goes on"
    return Failure(cause, hint, Exit.USAGE)


def _place(rollout: Document) -> tuple[object, ...]:
    """Where it is; a pause is where it was paused."""
    status, phase = status_of(rollout), phase_of(rollout)
    return (status.get("pausedPhase") if phase == "Paused" else phase, status.get("step"))
