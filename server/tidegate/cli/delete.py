"""``tidegate delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.apply import FILES
from tidegate.cli.failure import Exit, Failure
from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidegate.client.resource_type import ResourceType


def delete(
    words: Annotated[tuple[str, ...], Parameter(show_env_var=False)] = (),
    /,
    *,
    filename: Annotated[tuple[str, ...], FILES] = (),
    selector: Annotated[str, Parameter(alias="-l", show_default=False, show_env_var=False)] = "",
    every: Annotated[bool, Parameter(name="--all", negative=(), show_env_var=False)] = False,
    ignore_not_found: Annotated[bool, Parameter(negative=())] = False,
    cascade: Literal["background", "orphan"] = "background",
    wait: bool = True,
    timeout: str = "5m",
    target: Target = HERE,
) -> int:
    """Delete resources, and wait until they are gone.

    Parameters
    ----------
    words
        NAME…, KIND NAME… or KIND/NAME…; a KIND alone with -l or --all.
    filename
        What a file, a directory or stdin (-) describes. Once per file.
    selector
        Those of the kind whose labels fit.
    every
        All of the kind in the namespace.
    ignore_not_found
        What is not there is no fault.
    cascade
        What becomes of what belongs to them: background deletes it, orphan lets it be.
    wait
        Wait until they are gone; ends with 3 when they are not in time.
    timeout
        How long: 30s, 5m, or seconds.
    """
    from tidegate.cli.goals import Deleted
    from tidegate.cli.kinds import NAMELESS
    from tidegate.cli.waiting import parse_deadline, wait_for
    from tidegate.protocol.errors import NotFound

    if sum(map(bool, (filename, words))) != 1:
        raise Failure("either resources or -f is needed", NAMELESS, Exit.USAGE)
    deadline = parse_deadline(timeout)
    with connect(target) as session:
        gone: list[tuple[ResourceType, str, str, str]] = []
        for kind, name, where in _chosen(session, words, filename, selector, every, ignore_not_found):
            try:
                uid = str(session.resources.get(kind, name, where)["metadata"].get("uid") or "")
                session.resources.delete(kind, name, where, policy=cascade.capitalize(), uid=uid)
            except NotFound:
                if not ignore_not_found:
                    raise
                continue
            print(f'{kind.full_name} "{name}" deleted', flush=True)
            gone.append((kind, name, where, uid))
        for kind, name, where, uid in gone if wait else ():
            here = Session(session.resources, session.server, where, session.named)
            wait_for(here, kind, name, Deleted(), deadline, uid=uid)
    return Exit.GOOD


def _chosen(
    session: Session, words: Sequence[str], files: Sequence[str], selector: str, every: bool, lenient: bool
) -> Iterator[tuple[ResourceType, str, str]]:
    """Kind, name and namespace of what is to go."""
    from tidegate.cli.found import fetch, meant, space
    from tidegate.cli.kinds import NAMELESS, read_names
    from tidegate.cli.manifests import read_objects
    from tidegate.client.resource_calls import Selection

    if files:
        for written in reversed(read_objects(session, files)):
            yield written.kind, written.name, written.namespace
        return
    named = meant(session, words, read_names)
    several = bool(selector) or every
    if several == all(each.name for each in named):
        raise Failure("a KIND alone is for -l or --all, and names are without", NAMELESS, Exit.USAGE)
    for each in named:
        if each.kind is not None and several:
            where = space(session, each.kind)
            for item in session.resources.list(each.kind, Selection(where, selector)).items:
                yield each.kind, item["metadata"]["name"], where
        elif each.kind is not None:
            yield each.kind, each.name, space(session, each.kind)
        else:
            try:
                kind, _ = fetch(session, each)
            except Failure:
                if not lenient:
                    raise
                continue
            yield kind, each.name, session.namespace
