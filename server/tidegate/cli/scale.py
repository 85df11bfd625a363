"""``tidegate scale``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from tidegate.cli.target import HERE, Target, connect

if TYPE_CHECKING:
    from tidegate.client.resource_calls import Document

COUNT = Parameter(validator=Number(gte=0), show_env_var=False, show_default=False)


def scale(
    words: Annotated[tuple[str, ...], Parameter(show_env_var=False)],
    /,
    *,
    replicas: Annotated[int | None, COUNT] = None,
    least: Annotated[int | None, COUNT, Parameter(name="--min")] = None,
    most: Annotated[int | None, COUNT, Parameter(name="--max")] = None,
    auto: Annotated[bool, Parameter(negative=(), show_env_var=False, show_default=False)] = False,
    current_replicas: Annotated[int | None, COUNT] = None,
    target: Target = HERE,
) -> None:
    """Set the number of a service's replicas, or within which bounds it follows the load.

    Parameters
    ----------
    words
        NAME…, KIND NAME… or KIND/NAME….
    replicas
        So many, whatever the load; it stays at that until --auto.
    least
        At least so many; 0 lets it sleep while nobody asks.
    most
        At most so many.
    auto
        As many as the load needs again, instead of a fixed number.
    current_replicas
        With --replicas: only where it has so many now; else nothing is changed.
    """
    from tidegate.cli.failure import Exit, Failure
    from tidegate.cli.found import fetch, label, meant, space
    from tidegate.cli.kinds import FORMS, read_names
    from tidegate.client.async_resources import SCALER

    bounds = {name: value for name, value in (("minReplicas", least), ("maxReplicas", most)) if value is not None}
    check(replicas, bounds, auto=auto, current=current_replicas)
    with connect(target) as session:
        for named in meant(session, words, read_names):
            if not named.name:
                raise Failure("what to scale has no name", FORMS, Exit.USAGE)
            kind = named.kind
            if replicas is not None:
                kind = kind or fetch(session, named)[0]
                session.resources.scale(kind, named.name, replicas, space(session, kind), current=current_replicas)
            else:
                kind, document = fetch(session, named)
                patch = change_of(label(kind, named.name), document, bounds, auto=auto)
                session.resources.patch(kind, named.name, patch, space(session, kind), manager=SCALER)
            print(f"{label(kind, named.name)} scaled", flush=True)


def check(replicas: int | None, bounds: dict[str, int], *, auto: bool, current: int | None) -> None:
    """Whether these options have a meaning together.

    Raises:
        Failure: they have none.
    """
    from tidegate.cli.failure import Exit, Failure

    if replicas is None and not bounds and not auto:
        raise Failure("nothing says how to scale", "--replicas N fixes it; --min N, --max N, --auto", Exit.USAGE)
    if replicas is not None and (bounds or auto):
        raise Failure(
            "--replicas fixes the number, and --min, --max and --auto let it follow the load",
            "leave out the one or the others",
            Exit.USAGE,
        )
    if current is not None and replicas is None:
        raise Failure("--current-replicas is a condition of --replicas", "add --replicas N", Exit.USAGE)
    if (least := bounds.get("minReplicas", 0)) > (most := bounds.get("maxReplicas", 0)) > 0:
        raise Failure(f"--min {least} is more than --max {most}", "give a --max of at least --min", Exit.USAGE)


def change_of(name: str, service: Document, bounds: dict[str, int], *, auto: bool) -> dict[str, Any]:
    """The merge patch that has a service follow the load within ``bounds``.

    Raises:
        Failure: it would have no effect.
    """
    from tidegate.cli.failure import Failure

    predictor = (service.get("spec") or {}).get("predictor") or {}
    fixed = predictor.get("replicas")
    if fixed is not None and not auto:
        raise Failure(
            f"{name}: it has {fixed} replicas whatever its bounds are, by spec.predictor.replicas",
            "--auto takes that away",
        )
    after = {**predictor, **bounds}
    least, most = after.get("minReplicas", 1), after.get("maxReplicas", 0)
    said = any(after.get(field) is not None for field in ("scalePolicy", "scaleMetric", "scaleTarget"))
    if auto and not (said or most > least or least == 0):
        raise Failure(
            f"{name}: it would not follow the load: minReplicas is {least}, and there is neither a maxReplicas above "
            "it nor a scalePolicy",
            "add --max N",
        )
    return {"spec": {"predictor": {**bounds, **({"replicas": None} if fixed is not None else {})}}}
