"""Which revisions of a service run, with how many replicas, and which are kept without running. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

import msgspec

from tidegate.autoscaler.policy import within
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.state import State
from tidegate.control.scaling.scale import Scaling
from tidegate.control.services.book import Book
from tidegate.control.services.wish import Track, Wish
from tidegate.resources.actuator import Standing
from tidegate.resources.revision import STABLE


class Size(msgspec.Struct, frozen=True):
    """Of one revision that runs."""

    replicas: int
    scaling: Scaling | None = None
    """How it is scaled from now on, within the bounds that hold now; None where it is not."""
    falls: bool = True
    """Whether it may have fewer replicas than it has."""


def runs(
    wish: Wish,
    book: Book,
    newest: Mapping[str, int],
    standings: Mapping[int, Standing],
    now: float,
    desired: Mapping[int, int] | None = None,
    most: int = 1,
) -> dict[int, Size]:
    """Replicas by revision. Who has traffic runs; so do those that are to have it, and the previous one for a while.

    ``desired`` is what scaling found for revisions, ``most`` their bound where the service has none. By KServe's rule
    the stable revision has fewer replicas by those of ready canaries, but one at least, unless it is scaled.
    """
    if wish.stopped:
        return {}
    canaries = {track.name: _of_track(track.name, book, newest) for track in wish.canaries}
    stable = [newest.get(STABLE, 0), book.rolledout, *book.with_traffic]
    if book.kept_until is not None and now < book.kept_until:
        stable.append(book.previous)
    beside = {number for numbers in canaries.values() for number in numbers} - {book.rolledout, newest.get(STABLE, 0)}
    full = wish.stable.replicas
    if not wish.fixed and wish.stable.scaling is None:
        full = max(full - sum(standings[number].ready for number in beside if number in standings), 1)
    tracks = dict.fromkeys(stable, msgspec.structs.replace(wish.stable, replicas=full))
    for track in wish.canaries:
        tracks |= dict.fromkeys(beside & canaries[track.name], track)
    told = desired or {}
    sizes = {number: _size(track, told.get(number), most) for number, track in tracks.items() if number}
    return _for_rollout(sizes, wish, book, newest)


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


def _size(track: Track, desired: int | None, most: int) -> Size:
    if track.scaling is None:
        return Size(track.replicas)
    scaling = track.scaling.bounded_by(most)
    return Size(within(track.replicas if desired is None else desired, scaling.config), scaling)


def _for_rollout(sizes: dict[int, Size], wish: Wish, book: Book, newest: Mapping[str, int]) -> dict[int, Size]:
    """The new revision has what it needs before it gets the traffic; the one that it comes from keeps what it has.

    The previous one, which runs without traffic so that going back is a switch, keeps what it had, and is not scaled.
    """
    number, stable, rollout = newest.get(STABLE, 0), book.rolledout, book.rollout
    previous = book.previous
    if previous in sizes and previous not in (*book.with_traffic, stable, number):
        sizes[previous] = Size(sizes[previous].replicas)
    candidate, old = sizes.get(number), sizes.get(stable)
    if candidate is None or candidate.scaling is None or old is None or number == stable:
        return sizes
    needed = ceil(old.replicas * share_ahead(wish, rollout) / 100)
    scaling = candidate.scaling.at_least(max(needed, candidate.scaling.config.least))
    sizes[number] = Size(within(candidate.replicas, scaling.config), scaling)
    if rollout is not None and not rollout.ended and stable == rollout.stable:
        sizes[stable] = msgspec.structs.replace(old, falls=False)
    return sizes


def share_ahead(wish: Wish, rollout: Rollout | None) -> int:
    """Per cent of the traffic that the newest revision is to be ready for: what it gets next.

    With replicas for the share that it has, each step would begin with requests that wait for a start, and be judged
    by them.
    """
    if wish.course is None:
        return 100 if wish.percent is None else wish.percent
    if rollout is None or rollout.ended:
        return 0
    weights = wish.course.weights
    if rollout.at is State.PROMOTING:
        return 100
    ahead = rollout.step + 1 if rollout.at is State.STEP else 0
    return weights[ahead] if ahead < len(weights) else 100


def for_all(wish: Wish, book: Book, desired: Mapping[int, int], most: int) -> int:
    """Ready replicas that a new revision needs before all of the traffic is its own; 0 for as many as it is to have."""
    if wish.stable.scaling is None or not book.rolledout:
        return 0
    return _size(wish.stable, desired.get(book.rolledout), most).replicas


def forgotten(kept: Iterable[int], needed: Iterable[int], history: int) -> list[int]:
    """Old revisions beyond the history, the oldest first: those that are needed are not old."""
    old = sorted(set(kept) - set(needed))
    return old[: max(len(old) - history, 0)]
