"""All that the status of a service tells of, at one look. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.control.services.book import Book
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.revision import Revision
from tidegate.control.services.wish import Wish
from tidegate.resources.actuator import Phase, Standing
from tidegate.resources.document import Document
from tidegate.resources.revision import STABLE, name_of


class Picture(msgspec.Struct, frozen=True):
    """One look at a service, after it was decided."""

    service: Document
    wish: Wish
    book: Book
    newest: Mapping[str, int]
    revisions: Mapping[int, Revision]
    standings: Mapping[int, Standing]
    replicas: Mapping[int, int]
    """How many each revision is to have."""
    failures: Mapping[str, Resolution]
    now: float
    scaled: Mapping[int, Document] = {}
    """Of each revision that scales, what is kept of that."""
    rejected: bool = False
    """Whether the newest revision was rejected by its rollout."""

    @property
    def name(self) -> str:
        name: str = self.service["metadata"]["name"]
        return name

    def named(self, number: int) -> str:
        return name_of(self.name, number) if number else ""

    def ready(self, number: int) -> int:
        """Replicas of a revision that take requests."""
        return self.standings[number].ready if number in self.standings else 0

    def answers(self, number: int) -> bool:
        """Whether a revision takes requests, awake or not."""
        return number in self.standings and self.standings[number].answers

    def asleep(self, number: int) -> bool:
        """Whether a revision has no replica because nobody uses it."""
        return number in self.standings and self.standings[number].asleep

    def failure(self, track: str) -> tuple[str, str]:
        """Why the newest revision of a track cannot be loaded, in a word and in a sentence; "" twice if it can."""
        if track == STABLE and self.rejected and self.book.rollout is not None:
            return f"Rollout{self.book.rollout.state}", self.book.rollout.message
        if track in self.failures:
            return self.failures[track].kind, self.failures[track].failure
        standing = self.standings.get(self.newest.get(track, 0))
        if standing is not None and standing.phase is Phase.FAILED:
            return "ModelLoadFailed", standing.reason
        return "", ""


def why_unready(picture: Picture) -> str:
    """Why no revision can answer, in a sentence."""
    if picture.wish.stopped:
        return "it is stopped: it is to have no replicas"
    if message := picture.failure(STABLE)[1]:
        return message
    number = picture.book.rolledout or picture.newest.get(STABLE, 0)
    standing = picture.standings.get(number)
    if standing is not None and standing.reason:
        return standing.reason
    return f"revision {number} is starting" if number else "its model is being resolved"
