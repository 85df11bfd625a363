"""What becomes of a field of KServe's here: it is honoured, becomes another field, or is not honoured for a reason.

The fate stands in the field's annotation, so that a field without one is seen (a test looks), and the page that lists
them cannot tell anything else than what ``translate`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Honoured:
    """ModelService has the same field with the same meaning; so for what is below it, unless that says otherwise."""

    note: str = ""


@dataclass(frozen=True)
class Translated:
    """It becomes another field of ModelService."""

    to: str
    """Its path, from the field's own section; an absolute one begins with ``spec.``."""
    note: str = ""


@dataclass(frozen=True)
class NotHonoured:
    """It has no effect, with all that is below it. ``reason`` reads on from "…: "."""

    reason: str


Fate = Honoured | Translated | NotHonoured


def fate_of(field: FieldInfo) -> Fate | None:
    """What the field's annotation says."""
    return next((each for each in field.metadata if isinstance(each, Fate)), None)


IN_A_CLUSTER = Honoured("part of the pod; on a laptop a replica is a process and has none")
OF_A_CONTAINER = Honoured("part of the container")
