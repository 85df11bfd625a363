"""KServe's ``modelStatus``: what becomes of the newest revision's model, beside the one that answers. Pure."""

from __future__ import annotations

from tidegate.control.services.picture import Picture
from tidegate.resources.actuator import Phase
from tidegate.resources.document import Document
from tidegate.resources.parts import part
from tidegate.resources.revision import STABLE, timestamp

LOAD_FAILED = "ModelLoadFailed"
"""KServe's word for a revision whose model cannot be loaded."""


def model_status(picture: Picture, track: str, before: Document) -> Document:
    """Of one track; ``before`` is what was told of it."""
    number = picture.newest.get(track, 0)
    reason, message = picture.failure(track)
    active = picture.book.rolledout if track == STABLE else _active(picture, track)
    standing = picture.standings.get(number)
    told: Document = {
        "transitionStatus": "BlockedByFailedLoad" if reason else _transition(picture, number),
        "states": {
            "activeModelState": _state(picture, active),
            "targetModelState": "FailedToLoad" if reason else _state(picture, number),
        },
        "copies": {
            "failedCopies": standing.wanted - standing.ready if reason and standing else 0,
            "totalCopies": picture.replicas.get(number, 0),
        },
    }
    if reason:
        word = reason if track == STABLE and picture.rejected else LOAD_FAILED
        told["lastFailureInfo"] = _failure(picture, number, word, message, part(before, "lastFailureInfo"))
    return told


def _transition(picture: Picture, number: int) -> str:
    settled = picture.answers(number) or (picture.wish.stopped and number)
    return "UpToDate" if settled else "InProgress"


def _active(picture: Picture, track: str) -> int:
    told = picture.book.tracks.get(track)
    return told.ready if told else 0


def _state(picture: Picture, number: int) -> str:
    """KServe's word for the model of a revision."""
    if not number:
        return "Pending"
    if picture.wish.stopped or picture.asleep(number):
        return "Standby"
    if picture.ready(number):
        return "Loaded"
    standing = picture.standings.get(number)
    return "FailedToLoad" if standing is not None and standing.phase is Phase.FAILED else "Loading"


def _failure(picture: Picture, number: int, reason: str, message: str, before: Document) -> Document:
    """What failed; the same failure once more is told with the time of the first."""
    told: Document = {"location": "predictor", "reason": reason, "message": message}
    if number:
        told["modelRevisionName"] = picture.named(number)
    if {**before, "time": ""} == {**told, "time": ""}:
        return before
    return told | {"time": timestamp(picture.now)}
