"""``tidegate rollout``: the revisions of a service, how a new one takes over, and the way back to one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.steering import abort, pause, promote, resume, retry
from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from tidegate.cli.history import Change
    from tidegate.client.resource_calls import Document
    from tidegate.client.resource_type import ResourceType

__all__ = ["abort", "history", "pause", "promote", "restart", "resume", "retry", "status", "undo"]

PATIENCE = "5m"
"""For how long what is no rollout is waited for."""
ATTEMPTS = 5
"""Writes of an undo, each after a new look at a service that somebody else has changed meanwhile."""
NAME = Parameter(show_env_var=False)
REVISION = Parameter(validator=Number(gte=1), show_default=False, show_env_var=False)


def history(
    service: Annotated[str, NAME],
    /,
    *,
    revision: Annotated[int | None, REVISION] = None,
    target: Target = HERE,
) -> None:
    """Show the revisions of a service that are kept, and how they came: the rollouts that it had.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    revision
        Show what this one is made of.
    """
    from tidegate.cli import history as revised
    from tidegate.cli import rollouts as rolled
    from tidegate.cli.documents import dump
    from tidegate.cli.following import rollouts_of
    from tidegate.cli.tables import lines_of

    with connect(target) as session:
        kind, document = service_of(session, service)
        revisions = revisions_of(session, document)
        if revision is not None:
            found = revised.chosen(document, revisions, revision)
            print(dump({"metadata": {"name": found["metadata"]["name"]}, "spec": found["spec"]}, "yaml"), end="")
            return
        if not revisions:
            print(f"{kind.kind.lower()}/{document['metadata']['name']} has no revision yet", file=sys.stderr)
            return
        now = time.time()
        lines = lines_of(revised.COLUMNS, list(revised.rows_of(document, revisions, now)))
        if rollouts := rollouts_of(session, document):
            lines += ["", *lines_of(rolled.COLUMNS, rolled.rows_of(rollouts, now))]
        print("\n".join(lines))


def status(
    service: Annotated[str, NAME],
    /,
    *,
    watch: Annotated[bool, Parameter(alias="-w")] = True,
    timeout: Annotated[str, Parameter(show_default=False)] = "",
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
    target: Target = HERE,
) -> int:
    """Show how far a change of a service is, and wait until it is done.

    Ends with 3 when it is not in time or is paused, with 1 when it cannot be or was rolled back.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    watch
        Wait until it is done.
    timeout
        How long: 30s, 5m, or seconds. Without it 5m, and as long as it takes while a rollout goes on.
    output
        How to write it: json is a line for each change.
    """
    from tidegate.cli.following import follow, look, told_of
    from tidegate.cli.found import label
    from tidegate.cli.screens import Json, Standing, screen
    from tidegate.cli.waiting import parse_deadline

    deadline = parse_deadline(timeout or PATIENCE)
    with connect(target) as session:
        kind, document = service_of(session, service)
        name = document["metadata"]["name"]
        if watch:
            with screen(output, told_of(kind, name), sys.stdout) as shows:
                judgement = follow(session, kind, name, deadline, shows, patient=not timeout)
        else:
            sight, judgement, events = look(session, kind, name)
            shows = Json(sys.stdout) if output == "json" else Standing(sys.stdout)
            shows.show(sight, judgement, events)
        if judgement.failure is not None:
            raise judgement.failure
        verdict = judgement.verdict
        if output == "text":
            print(f"{label(kind, name)} {'rolled out' if verdict.met else 'is not rolled out yet'}: {verdict.told}")
        return Exit.GOOD if verdict.met else Exit.NOT_READY


def undo(
    service: Annotated[str, NAME],
    /,
    *,
    to_revision: Annotated[int | None, REVISION] = None,
    dry_run: Annotated[bool, Parameter(negative=(), show_env_var=False)] = False,
    target: Target = HERE,
) -> None:
    """Go back to an earlier revision of a service: to its model, and to the settings that it had.

    Replicas, scaling and labels stay as they are. While that revision still runs, its answers are back at once.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    to_revision
        Which one; without it the one before.
    dry_run
        Only show what would change.
    """
    with connect(target) as session:
        print("\n".join(go_back(session, service, to_revision, dry_run)))


def go_back(session: Session, word: str, number: int | None, dry_run: bool) -> list[str]:
    """Make a service what a revision of it was, and say what that changes.

    Raises:
        Failure: there is no such service or revision.
        ResourceConflict: somebody else kept changing it meanwhile.
    """
    from tidegate.cli.found import label, space
    from tidegate.cli.history import changes, chosen, number_of
    from tidegate.cli.ownership import UNDO
    from tidegate.protocol.errors import ResourceConflict
    from tidegate.resources.revision import undone

    attempts = 0
    while True:
        attempts += 1
        kind, before = service_of(session, word)
        revision = chosen(before, revisions_of(session, before), number)
        wished = undone(before, revision)
        differences = list(changes(before["spec"], wished["spec"], "spec"))
        named = label(kind, before["metadata"]["name"])
        if not differences and is_meant(before, revision):
            return [f"{named} is what revision {number_of(revision)} was already"]
        if not dry_run:
            try:
                session.resources.replace(kind, wished, space(session, kind), manager=UNDO)
            except ResourceConflict:  # somebody was faster: what he wrote is looked at before it is written over
                if attempts == ATTEMPTS:
                    raise
                continue
        said = [f"{named} rolled back to revision {number_of(revision)}{' (dry run)' * dry_run}"]
        return said + [
            f"  {path}: {_shown(old)} → {_shown(new)}" for path, old, new in differences + _content(before, revision)
        ]


def is_meant(service: Document, revision: Document) -> bool:
    """Whether a revision is what the service's spec means already; two can differ in the model's content alone."""
    from tidegate.cli.history import number_of
    from tidegate.resources.revision import pinned

    predictor = ((service.get("status") or {}).get("components") or {}).get("predictor") or {}
    newest = str(predictor.get("latestCreatedRevision", ""))
    return newest == revision["metadata"]["name"] or pinned(service) == number_of(revision)


def restart(service: Annotated[str, NAME], /, *, target: Target = HERE) -> None:
    """Have a service's model looked up again; if it is another one by now, that is a new revision.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    """
    from tidegate.cli.found import label, space
    from tidegate.resources.revision import RESTARTED_AT, timestamp

    with connect(target) as session:
        kind, document = service_of(session, service)
        name = document["metadata"]["name"]
        patch = {"metadata": {"annotations": {RESTARTED_AT: timestamp(time.time())}}}
        session.resources.patch(kind, name, patch, space(session, kind))
        print(f"{label(kind, name)} restarted")


def service_of(session: Session, word: str) -> tuple[ResourceType, Document]:
    """The service that a person means.

    Raises:
        Failure: there is none, or it is something else.
    """
    from tidegate.cli.found import fetch, meant
    from tidegate.cli.kinds import SERVICES, read_names

    named = meant(session, [word], read_names)[0]
    kind, document = fetch(session, named) if named.name else (named.kind, {})
    if kind is None or kind.kind not in SERVICES or not document:
        raise Failure(f"'{word}' is no service, and only services have revisions", "NAME or KIND/NAME", Exit.USAGE)
    return kind, document


def revisions_of(session: Session, service: Document) -> list[Document]:
    """The revisions of a service that are kept, the oldest first."""
    from tidegate.cli.history import SERVICE_LABEL, of_service
    from tidegate.cli.kinds import find_type, known_types
    from tidegate.client.resource_calls import Selection

    kind = find_type("ServingRevision", known_types())
    metadata = service["metadata"]
    selection = Selection(metadata.get("namespace") or session.namespace, f"{SERVICE_LABEL}={metadata['name']}")
    return of_service(session.resources.list(kind, selection).items, service)


def _content(service: Document, revision: Document) -> list[Change]:
    """What becomes of the model's content, which need not stand in the spec."""
    from tidegate.cli.history import Change

    now = ((service.get("status") or {}).get("resolved") or {}).get("digest")
    then = (revision["spec"].get("resolved") or {}).get("digest")
    return [Change("the model's content", now, then)] if now and then and now != then else []


def _shown(value: Any) -> str:
    import msgspec

    from tidegate.protocol.errors import shown

    if value is None:
        return "none"
    return shown(value if isinstance(value, str) else msgspec.json.encode(value).decode(), 200)
