"""``tidegate apply``: manifests made true at a server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from tidegate.cli.manifests import Object
    from tidegate.cli.waiting import Deadline
    from tidegate.client.resource_calls import Document

PATIENCE = "5m"
"""For how long what is no rollout is waited for."""
FILES = Parameter(alias="-f", negative=(), show_default=False, show_env_var=False, allow_leading_hyphen=True)
"""How a command is given manifests."""


def apply(
    *,
    filename: Annotated[tuple[str, ...], FILES] = (),
    dry_run: Annotated[Literal["none", "client", "server"], Parameter()] = "none",
    force_conflicts: Annotated[bool, Parameter(negative=())] = False,
    wait: Annotated[bool, Parameter(negative=())] = False,
    timeout: Annotated[str, Parameter(show_default=False)] = "",
    target: Target = HERE,
) -> int:
    """Make resources as manifests describe them; fields that others have set are let be.

    Parameters
    ----------
    filename
        A file, a directory (its .yaml, .yml and .json), or - for stdin. Once per file.
    dry_run
        client: only say what would be sent; server: let the server check it all, and write nothing.
    force_conflicts
        Take over fields that somebody else has set.
    wait
        Wait until the services are ready, and what they changed is rolled out; ends with 3 when they are not in time,
        or paused, with 1 when a change was rolled back.
    timeout
        How long: 30s, 5m, or seconds. Without it 5m, and as long as it takes while a rollout goes on.
    """
    from tidegate.cli.manifests import read_objects
    from tidegate.cli.waiting import parse_deadline
    from tidegate.client import ServerUnreachable
    from tidegate.protocol.errors import TidegateError, Unauthenticated

    deadline = parse_deadline(timeout or PATIENCE)
    with connect(target) as session:
        objects = read_objects(session, filename)
        failed = 0
        for each in objects:
            try:
                done = _apply(session, each, dry_run, force_conflicts)
                print(f"{each.label} {done}", flush=True)
                if done in ("created", "configured") and goes_by_steps(each.document) and not wait:
                    print(_follow_hint(session, each), file=sys.stderr)
            except (ServerUnreachable, Unauthenticated):  # so will it be with the rest
                raise
            except TidegateError as error:
                failed += 1
                _tell(each, error)
        if failed:
            raise Failure(f"{failed} of {len(objects)} resource{'s' * (len(objects) > 1)} not applied", _hint(objects))
        if wait and dry_run == "none":
            _wait(session, objects, deadline, patient=not timeout)
    return Exit.GOOD


def _apply(session: Session, each: Object, dry_run: str, force: bool) -> str:
    """What became of it, in kubectl's words."""
    from tidegate.cli.ownership import taken_back
    from tidegate.client.resource_calls import version_of
    from tidegate.protocol.errors import NotFound

    resources, where = session.resources, each.namespace
    try:
        before = resources.get(each.kind, each.name, where)
    except NotFound:
        before = None
    if dry_run == "client":
        return f"{'created' if before is None else 'configured'} (dry run)"
    if before is not None and (managed := taken_back(before)) is not None:
        if dry_run == "server":
            force = True
        else:
            change = [
                {"op": "replace", "path": "/metadata/managedFields", "value": managed},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": version_of(before)},
            ]
            resources.patch(each.kind, each.name, change, where)
    written = resources.apply(each.kind, each.document, where, force=force, dry_run=dry_run == "server")
    for warning in written.warnings:
        print(f"warning: {each.label}: {warning}", file=sys.stderr)
    return outcome(before, written.document) + (" (server dry run)" if dry_run == "server" else "")


def outcome(before: Document | None, after: Document) -> str:
    """Whether a resource is new, was changed in what somebody wants of it, or is as it was."""
    from tidegate.cli.documents import wanted

    if before is None:
        return "created"
    return "unchanged" if wanted(before) == wanted(after) else "configured"


def _tell(each: Object, error: Exception) -> None:
    """All causes, a line each, where the manifest has them; or the sentence."""
    from tidegate.client import Rejected
    from tidegate.protocol.errors import FieldConflict

    place = f"{each.source}:{each.line}"
    if isinstance(error, FieldConflict):
        for field, owner in error.conflicts:
            print(f"{place}: error: {each.label}: {field.lstrip('.')}: {owner}", file=sys.stderr)
        print(f"{place}: hint: --force-conflicts takes these fields over", file=sys.stderr)
    elif isinstance(error, Rejected) and error.causes:
        for cause in error.causes:
            known = cause.field and not cause.message.startswith(cause.field)
            told = f"{cause.field}: {cause.message}" if known else cause.message
            print(f"{place}: error: {told}", file=sys.stderr)
    else:
        print(f"{place}: error: {each.label}: {error}", file=sys.stderr)


def _hint(objects: list[Object]) -> str:
    return "the others were" if len(objects) > 1 else ""


def goes_by_steps(document: Document) -> bool:
    """Whether it is a service whose changes take over by a rollout, and not at once."""
    from tidegate.cli.rollouts import strategy_of

    return document.get("kind") == "ModelService" and strategy_of(document) != "immediate"


def _follow_hint(session: Session, each: Object) -> str:
    where = f" -n {each.namespace}" if session.named else ""
    return f"hint: `tidegate rollout status {each.name}{where}` shows how it is rolled out"


def _wait(session: Session, objects: list[Object], deadline: Deadline, *, patient: bool) -> None:
    from tidegate.cli.following import follow, told_of
    from tidegate.cli.goals import Condition
    from tidegate.cli.kinds import SERVICES
    from tidegate.cli.screens import Printed
    from tidegate.cli.waiting import wait_for

    for each in objects:
        if each.kind.kind not in SERVICES:
            continue
        here = Session(session.resources, session.server, each.namespace, session.named)
        if goes_by_steps(each.document):
            shows = Printed(sys.stderr, told_of(each.kind, each.name))
            judgement = follow(here, each.kind, each.name, deadline, shows, patient=patient)
            print(f"{each.label} rolled out: {judgement.verdict.told}", flush=True)
        wait_for(here, each.kind, each.name, Condition("Ready"), deadline)
        print(f"{each.label} ready", flush=True)
