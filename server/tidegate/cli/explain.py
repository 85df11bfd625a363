"""``tidegate explain``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure


def explain(
    path: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    output: Annotated[Literal["text", "openapi"], Parameter(alias="-o")] = "text",
) -> None:
    """Explain a kind of resource, or a field of it: its meaning, type and default, and what is below it.

    Parameters
    ----------
    path
        A kind, and its fields with dots: modelservice.spec.predictor.
    output
        How to write it; openapi is the schema of the whole kind, in JSON.
    """
    from tidegate.resources.explain import explain as explained

    if output == "text":
        print(explained(path))
        return
    import json

    from tidegate.resources.kinds import find_kind
    from tidegate.resources.openapi import schema_of

    kind = find_kind(path)
    if kind is None:
        hint = "it takes a kind alone, as `tidegate explain modelservice -o openapi`"
        raise Failure(f"'{path}' is no kind", hint, Exit.USAGE)
    print(json.dumps(schema_of(kind, whole=True), indent=2))
