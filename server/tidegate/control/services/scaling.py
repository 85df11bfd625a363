"""From a service's documents to what its revisions are scaled by, and back to their sizes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.control.scaling.record import FIELD, desired_in
from tidegate.control.scaling.record import read as read_record
from tidegate.control.scaling.scale import Scale
from tidegate.control.services.revision import service_of
from tidegate.control.services.running import Size
from tidegate.resources.actuator import RevisionId, Standing
from tidegate.resources.document import Document, key_of, version_of
from tidegate.resources.parts import part


def desired_of(revisions: Iterable[Document], decided: Mapping[int, int]) -> dict[int, int]:
    """Replicas by revision: what was decided, and never fewer than what is written down, whoever wrote it."""
    desired = dict(decided)
    for document in revisions:
        stored = desired_in(part(document, "status", FIELD))
        if stored is not None:
            number = _number(document)
            desired[number] = max(stored, desired.get(number, 0))
    return desired


def recorded(revisions: Iterable[Document], number: int) -> Document:
    """What is kept of the scaling of a revision; {} where nothing is."""
    return next((part(each, "status", FIELD) for each in revisions if _number(each) == number), {})


def scales_of(
    sizes: Mapping[int, Size], revisions: Iterable[Document], standings: Mapping[int, Standing]
) -> tuple[Scale, ...]:
    """Those that are scaled. One that is not kept yet is none of them until it is."""
    kept = {_number(document): document for document in revisions}
    return tuple(
        Scale(
            revision=_id(kept[number]),
            uid=kept[number]["metadata"]["uid"],
            scaling=size.scaling.guessing(_start_before(kept, number)),
            wanted=size.replicas,
            ready=standings[number].ready if number in standings else 0,
            asleep=number in standings and standings[number].asleep,
            falls=size.falls,
            stored=part(kept[number], "status", FIELD),
            version=int(version_of(kept[number])),
        )
        for number, size in sizes.items()
        if size.scaling is not None and number in kept
    )


def _start_before(kept: Mapping[int, Document], number: int) -> float | None:
    """What starts of the last revision before this one took that had any, in seconds: the first guess of its own."""
    for before in sorted((each for each in kept if each < number), reverse=True):
        record = read_record(part(kept[before], "status", FIELD))
        if record is not None and record.starts is not None and record.starts.p50 is not None:
            return record.starts.usual
    return None


def _number(document: Document) -> int:
    return service_of(document["metadata"]["name"])[1]


def _id(document: Document) -> RevisionId:
    key = key_of(document)
    return RevisionId(key.namespace, *service_of(key.name))
