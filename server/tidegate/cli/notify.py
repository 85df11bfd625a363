"""``tidegate notify``: the channels that a service tells of what happens to it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tidegate.cli.target import HERE, Target, connect


def test(
    service: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    channel: Annotated[
        int | None, Parameter(validator=Number(gte=0, lte=9999), show_default=False, show_env_var=False)
    ] = None,  # noqa: PT028 - it is a command, and no test
    target: Target = HERE,  # noqa: PT028
) -> int:
    """Send a test message to the channels of a service, and show what came of each.

    Ends with 1 if one of them did not take it.

    Parameters
    ----------
    service
        NAME or KIND/NAME.
    channel
        Only this one of `spec.notify`; the first is 0.
    """
    from tidegate.cli.failure import Exit, Failure
    from tidegate.cli.found import meant
    from tidegate.cli.kinds import read_names
    from tidegate.cli.tables import lines_of

    with connect(target) as session:
        named = meant(session, [service], read_names)[0]
        if not named.name or (named.kind is not None and named.kind.kind != "ModelService"):
            raise Failure(f"'{service}' is no ModelService, and only those have channels", "NAME", Exit.USAGE)
        tried = session.resources.try_channels(named.name, session.namespace, channel)
    rows = [[each.channel, each.name, each.outcome, each.message] for each in tried]
    print("\n".join(lines_of(["CHANNEL", "NAME", "OUTCOME", "MESSAGE"], rows)))
    return Exit.GOOD if all(each.outcome == "delivered" for each in tried) else Exit.FAILED
