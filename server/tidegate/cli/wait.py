"""``tidegate wait``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tidegate.cli.target import HERE, Target, connect


def wait(
    words: Annotated[tuple[str, ...], Parameter(show_env_var=False)],
    /,
    *,
    condition: Annotated[str, Parameter(name="--for")] = "condition=Ready",
    timeout: str = "30s",
    target: Target = HERE,
) -> None:
    """Wait until resources are as they are wanted; ends with 3 when they are not in time.

    Parameters
    ----------
    words
        NAME…, KIND NAME… or KIND/NAME….
    condition
        condition=NAME, condition=NAME=STATUS, delete, create, or jsonpath={.status.url}=VALUE.
    timeout
        For all of them together: 30s, 5m, or seconds; 0 looks once.
    """
    from tidegate.cli.failure import Exit, Failure
    from tidegate.cli.found import fetch, label, meant, services
    from tidegate.cli.goals import Created, Deleted, parse_goal
    from tidegate.cli.kinds import read_names
    from tidegate.cli.waiting import parse_deadline, wait_for
    from tidegate.protocol.errors import NotFound

    goal, deadline = parse_goal(condition), parse_deadline(timeout)
    with connect(target) as session:
        for named in meant(session, words, read_names):
            if not named.name:
                raise Failure("what to wait for has no name", "KIND/NAME", Exit.USAGE)
            kind, uid = named.kind or services()[0], ""
            if not isinstance(goal, Created):
                try:
                    kind, document = fetch(session, named)
                except (NotFound, Failure):
                    if not isinstance(goal, Deleted):
                        raise
                else:
                    uid = str(document.get("metadata", {}).get("uid") or "")
            wait_for(session, kind, named.name, goal, deadline, uid=uid)
            print(f"{label(kind, named.name)} condition met", flush=True)
