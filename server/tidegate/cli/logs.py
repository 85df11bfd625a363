"""``tidegate logs``."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tidegate.cli.target import HERE, Target, connect

ONE = Parameter(validator=Number(gte=1), show_default=False, show_env_var=False)


def logs(
    service: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    revision: Annotated[int | None, ONE] = None,
    follow: Annotated[bool, Parameter(alias="-f", negative=())] = False,
    tail: Annotated[int | None, Parameter(validator=Number(gte=0), show_default=False)] = None,
    prefix: Annotated[bool, Parameter(negative=())] = False,
    timestamps: Annotated[bool, Parameter(negative=())] = False,
    target: Target = HERE,
) -> None:
    """Show what the replicas of a service have written, as far as it is kept.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    revision
        Only of replicas of this revision.
    follow
        Go on with what they write.
    tail
        Only so many of the last lines.
    prefix
        Say before each line which revision and replica wrote it.
    timestamps
        Say before each line when.
    """
    from tidegate.cli.failure import Exit, Failure
    from tidegate.cli.found import meant
    from tidegate.cli.kinds import SERVICES, read_names

    with connect(target) as session:
        named = meant(session, [service], read_names)[0]
        if not named.name or (named.kind is not None and named.kind.kind not in SERVICES):
            raise Failure(f"'{service}' is no service, and only services have logs", "NAME or KIND/NAME", Exit.USAGE)
        following = session.resources.logs(named.name, session.namespace, revision=revision, tail=tail, follow=follow)
        with closing(following) as lines:
            for each in lines:
                when = f"{shown_time(each.time)} " if timestamps else ""
                who = f"[{each.revision}/{each.replica}] " if prefix else ""
                print(f"{when}{who}{printable(each.line)}", flush=follow)


def shown_time(seconds: float) -> str:
    """RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(line: str) -> str:
    """A line of somebody else's program, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign == "\t" else repr(sign)[1:-1] for sign in line)
