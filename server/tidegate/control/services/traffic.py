"""Who gets the requests of a service: KServe's meaning of ``canaryTrafficPercent`` and ``spec.canary``. Pure.

A new revision takes over once it is ready, and is *rolled out* then. With ``canaryTrafficPercent`` and a revision that
is rolled out already, the newest one gets that share instead, and the rolled-out one the rest; taking the field away
promotes, and setting it on a service whose newest revision is rolled out goes back to the one before. The first
revision ignores it.

In what follows 0 is no revision. What is not ready gets no share: the rest keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.control.services.book import Book, TrackBook
from tidegate.resources.revision import STABLE
from tidegate.resources.traffic import Share


class CanaryShare(msgspec.Struct, frozen=True):
    """An entry of ``spec.canary``."""

    track: str
    percent: int


class Situation(msgspec.Struct, frozen=True):
    """What the shares depend on, beside what was before."""

    newest: int
    """The revision that the spec means; 0 while that is not known."""
    percent: int | None
    canaries: tuple[CanaryShare, ...]
    kept: frozenset[int]
    """Revisions that are not forgotten."""
    running: frozenset[int]
    """Revisions that run and are not ending."""
    ready: frozenset[int]
    """Those of them that have a ready replica."""
    stopped: bool = False
    takes_over: bool = True
    """Whether the newest is rolled out once it is ready; else its rollout decides when."""
    weight: int = 0
    """Per cent that the newest has by its rollout."""
    salt: str = ""
    """What a split that begins now is hashed with; "" for the stable revision's number."""


def decide(book: Book, tracks: Mapping[str, TrackBook], now: Situation, at: float, keep: float) -> Book:
    """The book after this look. ``tracks`` is what is known of each track now, ``at`` the time, ``keep`` how many
    seconds the revision that was rolled out before keeps its replicas."""
    tracks = {name: _readied(track, now) for name, track in tracks.items()}
    if now.stopped:
        return msgspec.structs.replace(book, tracks=tracks, shares=())
    rolledout, previous = _rolled_out(book, now)
    shares = _shares(book, tracks, rolledout, now)
    return msgspec.structs.replace(
        book,
        tracks=tracks,
        rolledout=rolledout,
        previous=previous,
        kept_until=_kept_until(book, rolledout, previous, shares, at + keep),
        percent=now.percent,
        shares=shares,
        salt=_salt(book, now.salt or str(rolledout), shares),
    )


def candidate(book: Book) -> int:
    """What the tag ``latest`` means: the newest revision that was ready once."""
    track = book.tracks.get(STABLE)
    return track.ready if track else 0


def _readied(track: TrackBook, now: Situation) -> TrackBook:
    if track.created in now.ready:
        return msgspec.structs.replace(track, ready=track.created)
    return track if track.ready in now.kept | now.running else msgspec.structs.replace(track, ready=0)


def _rolled_out(book: Book, now: Situation) -> tuple[int, int]:
    """The revision that is rolled out now, and the one that was before."""
    rolledout = book.rolledout if book.rolledout in now.kept | now.running else 0
    previous = book.previous if book.previous in now.kept else 0
    if _splits(now.percent):
        before = book.tracks.get(STABLE)
        was_newest = before is not None and before.created == now.newest
        if rolledout and previous and now.newest == rolledout and was_newest and not _splits(book.percent):
            return previous, previous  # KServe leaves it so: what went back has no other before it
        if rolledout:
            return rolledout, previous
    if now.newest in now.ready and now.newest != rolledout and (now.takes_over or not rolledout):
        return now.newest, rolledout
    return rolledout, previous


def _splits(percent: int | None) -> bool:
    return percent is not None and percent < 100


def _shares(book: Book, tracks: Mapping[str, TrackBook], rolledout: int, now: Situation) -> tuple[Share, ...]:
    wanted = _wanted(tracks, rolledout, now)
    if rolledout in now.ready:
        wanted = {rolledout: 0} | wanted  # it takes what others lose
    if held := {number: percent for number, percent in wanted.items() if number in now.ready}:
        return _filled(held, rolledout)
    if held := {share.revision: share.percent for share in book.shares if share.revision in now.ready}:
        return _filled(held, rolledout)  # what takes over is not ready: what has the traffic keeps it
    return (Share(rolledout, 100),) if rolledout in now.running else ()


def _wanted(tracks: Mapping[str, TrackBook], rolledout: int, now: Situation) -> dict[int, int]:
    """Per cent by revision, as the spec has it: the rolled-out one first, and none with 0."""
    wanted = {rolledout: 100}
    split = [CanaryShare(STABLE, (now.percent or 0) if _splits(now.percent) else now.weight)]
    for canary in (*split, *now.canaries):
        track = tracks.get(canary.track)
        number = track.ready if track else 0
        if number and number != rolledout:
            wanted[number] = wanted.get(number, 0) + canary.percent
            wanted[rolledout] -= canary.percent
    return {number: percent for number, percent in wanted.items() if number and percent > 0}


def _filled(held: Mapping[int, int], stable: int) -> tuple[Share, ...]:
    """The shares of these, filled up to 100: by the stable one if it is among them, else by all in proportion."""
    missing = 100 - sum(held.values())
    if stable in held:
        held = {**held, stable: held[stable] + missing}
    elif missing:
        held = _in_proportion(held)
    return tuple(Share(number, percent) for number, percent in held.items() if percent)


def _in_proportion(held: Mapping[int, int]) -> dict[int, int]:
    """Whole per cent that sum to 100, by the largest remainders (Hamilton's method)."""
    whole = sum(held.values())
    shares = {number: percent * 100 // whole for number, percent in held.items()}
    by_remainder = sorted(held, key=lambda number: -(held[number] * 100 % whole))
    for number in by_remainder[: 100 - sum(shares.values())]:
        shares[number] += 1
    return shares


def _kept_until(book: Book, rolledout: int, previous: int, shares: tuple[Share, ...], until: float) -> float | None:
    """Until when the previous one keeps its replicas, if it lost its traffic at this look or before."""
    if previous in (0, rolledout) or any(share.revision == previous for share in shares):
        return None
    lost = previous != book.previous or previous in book.with_traffic or book.kept_until is None
    return until if lost else book.kept_until


def _salt(book: Book, new: str, shares: tuple[Share, ...]) -> str:
    """A new one where a split begins: as long as it goes on, a caller's place among the shares is the same."""
    if len(shares) > 1 and (len(book.shares) < 2 or not book.salt):
        return new
    return book.salt
