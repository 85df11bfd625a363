"""``tidegate diff``: what ``apply`` would change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidegate.cli.apply import FILES
from tidegate.cli.failure import Exit, Failure
from tidegate.cli.target import HERE, Session, Target, connect

if TYPE_CHECKING:
    from tidegate.cli.manifests import Object
    from tidegate.client.resource_calls import Document


def diff(
    *,
    filename: Annotated[tuple[str, ...], FILES] = (),
    force_conflicts: Annotated[bool, Parameter(negative=())] = False,
    target: Target = HERE,
) -> int:
    """Show what `apply` would change; ends with 1 if that is anything, with 2 if it cannot be told.

    Parameters
    ----------
    filename
        A file, a directory (its .yaml, .yml and .json), or - for stdin. Once per file.
    force_conflicts
        As if fields that somebody else has set were taken over.
    """
    from tidegate.cli.manifests import read_objects
    from tidegate.protocol.errors import TidegateError

    different = False
    try:
        with connect(target) as session:
            for each in read_objects(session, filename):
                try:
                    lines = list(_diff(session, each, force_conflicts))
                except TidegateError as error:
                    raise Failure(f"{each.source}:{each.line}: {each.label}: {error.message}") from error
                different = different or bool(lines)
                sys.stdout.writelines(lines)
    except (Failure, TidegateError) as error:
        # As with diff itself, 1 says that something differs, so what went wrong needs another code.
        cause, hint = (error.cause, error.hint) if isinstance(error, Failure) else (error.message, "")
        raise Failure(cause, hint, Exit.USAGE) from error
    return Exit.FAILED if different else Exit.GOOD


def _diff(session: Session, each: Object, force: bool) -> Iterator[str]:
    from tidegate.cli.ownership import taken_back
    from tidegate.protocol.errors import NotFound

    try:
        live: Document | None = session.resources.get(each.kind, each.name, each.namespace)
    except NotFound:
        live = None
    force = force or (live is not None and taken_back(live) is not None)
    merged = session.resources.apply(each.kind, each.document, each.namespace, force=force, dry_run=True).document
    place = f"{each.namespace}/{each.label}" if each.namespace else each.label
    return differences(live, merged, place)


def differences(live: Document | None, merged: Document, name: str) -> Iterator[str]:
    """The unified diff of what is and what would be; without status and bookkeeping, which nobody applies."""
    from tidegate.cli.documents import dump, wanted

    before = dump(wanted(live), "yaml").splitlines(keepends=True) if live else []
    after = dump(wanted(merged), "yaml").splitlines(keepends=True)
    return unified_diff(before, after, f"live/{name}", f"merged/{name}")
