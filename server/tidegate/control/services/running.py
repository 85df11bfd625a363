"""Which revisions of a service run, with how many replicas, and which are kept without running. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.control.services.book import Book
from tidegate.control.services.wish import Wish
from tidegate.resources.actuator import Standing
from tidegate.resources.revision import STABLE


def runs(
    wish: Wish, book: Book, newest: Mapping[str, int], standings: Mapping[int, Standing], now: float
) -> dict[int, int]:
    """Replicas by revision. Who has traffic runs; so do those that are to have it, and the previous one for a while.

    By KServe's rule the stable revision has fewer replicas by those of ready canaries, but one at least.
    """
    if wish.stopped:
        return {}
    canaries = {track.name: _of_track(track.name, book, newest) for track in wish.canaries}
    stable = [newest.get(STABLE, 0), book.rolledout, *book.with_traffic]
    if book.kept_until is not None and now < book.kept_until:
        stable.append(book.previous)
    full = wish.stable.replicas
    beside = {number for numbers in canaries.values() for number in numbers} - {book.rolledout, newest.get(STABLE, 0)}
    if not wish.fixed:
        full = max(full - sum(standings[number].ready for number in beside if number in standings), 1)
    wanted = dict.fromkeys(stable, full)
    for track in wish.canaries:
        wanted |= dict.fromkeys(beside & canaries[track.name], track.replicas)
    return {number: replicas for number, replicas in wanted.items() if number}


def sleepers(wish: Wish, book: Book, newest: Mapping[str, int], running: Iterable[int]) -> frozenset[int]:
    """Of the revisions that run, those that may have no replica while nobody uses them."""
    of_canary = {number: track.sleeps for track in wish.canaries for number in _of_track(track.name, book, newest)}
    own = {book.rolledout, newest.get(STABLE, 0)}
    return frozenset(
        number
        for number in running
        if (wish.stable.sleeps if number in own else of_canary.get(number, wish.stable.sleeps))
    )


def _of_track(name: str, book: Book, newest: Mapping[str, int]) -> set[int]:
    """The revision that a canary means, and the one that has its traffic until that is ready."""
    track = book.tracks.get(name)
    return {newest.get(name, 0), *({track.ready} if track else ())} - {0}


def forgotten(kept: Iterable[int], needed: Iterable[int], history: int) -> list[int]:
    """Old revisions beyond the history, the oldest first: those that are needed are not old."""
    old = sorted(set(kept) - set(needed))
    return old[: max(len(old) - history, 0)]
