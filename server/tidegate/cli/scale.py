"""``tidegate scale``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tidegate.cli.target import HERE, Target, connect

COUNT = Parameter(validator=Number(gte=0), show_env_var=False, show_default=False)


def scale(
    words: Annotated[tuple[str, ...], Parameter(show_env_var=False)],
    /,
    *,
    replicas: Annotated[int, COUNT],
    current_replicas: Annotated[int | None, COUNT] = None,
    target: Target = HERE,
) -> None:
    """Set the number of a service's replicas, which turns its autoscaling off.

    It stays at that until `spec.predictor.replicas` is taken away.

    Parameters
    ----------
    words
        NAME…, KIND NAME… or KIND/NAME….
    replicas
        How many.
    current_replicas
        Only where it has so many now; else nothing is changed.
    """
    from tidegate.cli.failure import Exit, Failure
    from tidegate.cli.found import fetch, label, meant, space
    from tidegate.cli.kinds import FORMS, read_names

    with connect(target) as session:
        for named in meant(session, words, read_names):
            if not named.name:
                raise Failure("what to scale has no name", FORMS, Exit.USAGE)
            kind = named.kind or fetch(session, named)[0]
            session.resources.scale(kind, named.name, replicas, space(session, kind), current=current_replicas)
            print(f"{label(kind, named.name)} scaled", flush=True)
