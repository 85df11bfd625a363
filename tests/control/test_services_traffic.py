"""Who gets the requests of a service, as a table of situations that follow each other."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.control.services.book import Book, TrackBook, read, write
from tidegate.control.services.traffic import CanaryShare, Situation, candidate, decide
from tidegate.resources.revision import STABLE
from tidegate.resources.traffic import Share

KEEP = 600.0


class Story:
    """Looks at one service, one after the other. Revisions that were named once are kept and run from then on."""

    def __init__(self) -> None:
        self.book = Book()
        self.known: set[int] = set()
        self.at = 1000.0

    def look(
        self,
        newest: int,
        ready: set[int],
        percent: int | None = None,
        canaries: Mapping[str, tuple[int, int]] | None = None,
        *,
        stopped: bool = False,
        gone: set[int] | None = None,
    ) -> dict[int, int]:
        """Shares by revision. ``canaries``: percent and revision by track."""
        canaries = canaries or {}
        tracks = {name: number for name, (_, number) in canaries.items()} | {STABLE: newest}
        self.known |= {number for number in tracks.values() if number}
        books = {
            name: msgspec.structs.replace(self.book.tracks.get(name, TrackBook("r")), created=number)
            if number
            else self.book.tracks.get(name, TrackBook("r"))
            for name, number in tracks.items()
        }
        known = frozenset(self.known - (gone or set()))
        situation = Situation(
            newest=newest,
            percent=percent,
            canaries=tuple(CanaryShare(name, share) for name, (share, _) in canaries.items()),
            kept=known,
            running=known,
            ready=frozenset(ready),
            stopped=stopped,
        )
        self.book = decide(self.book, books, situation, self.at, KEEP)
        return {share.revision: share.percent for share in self.book.shares}

    def rolled(self) -> tuple[int, int]:
        """The revision that is rolled out, and the one before."""
        return self.book.rolledout, self.book.previous


def rolled_out(*numbers: int) -> Story:
    """A service whose revisions took over one after the other."""
    story = Story()
    for number in numbers:
        story.look(number, {number})
    return story


def test_nothing_goes_to_what_is_not_ready() -> None:
    """Before the first revision is ready none has a share that could be met; then it has all."""
    story = Story()
    assert story.look(0, set()) == {}
    assert story.look(1, set()) == {}
    assert story.rolled() == (0, 0)
    assert story.look(1, {1}) == {1: 100}
    assert story.rolled() == (1, 0)


@pytest.mark.parametrize("percent", [0, 10, 100])
def test_the_first_revision_ignores_the_percentage(percent: int) -> None:
    """There is nobody to share with."""
    story = Story()
    assert story.look(1, {1}, percent) == {1: 100}
    assert story.look(1, {1}, percent) == {1: 100}
    assert story.rolled() == (1, 0)


def test_a_new_revision_takes_over_once_it_is_ready() -> None:
    """Until then the one before keeps all, and from then on is the previous one."""
    story = rolled_out(1)
    assert story.look(0, {1}) == {1: 100}
    assert story.look(2, {1}) == {1: 100}
    assert story.rolled() == (1, 0)
    assert story.look(2, {1, 2}) == {2: 100}
    assert story.rolled() == (2, 1)


def test_a_percentage_splits() -> None:
    """The newest has its share once it is ready, the rolled-out one comes first and has the rest."""
    story = rolled_out(1)
    assert story.look(2, {1}, 10) == {1: 100}
    assert story.look(2, {1, 2}, 10) == {1: 90, 2: 10}
    assert list(story.look(2, {1, 2}, 30)) == [1, 2]
    assert story.rolled() == (1, 0)
    assert candidate(story.book) == 2


def test_removing_the_percentage_promotes() -> None:
    """So does 100."""
    for percent in (None, 100):
        story = rolled_out(1)
        story.look(2, {1, 2}, 10)
        assert story.look(2, {1, 2}, percent) == {2: 100}
        assert story.rolled() == (2, 1)


def test_zero_holds_back() -> None:
    """The newest is ready and has nothing, even while the stable one is lost."""
    story = rolled_out(1)
    assert story.look(2, {1, 2}, 0) == {1: 100}
    assert story.look(2, {2}, 0) == {1: 100}
    assert story.rolled() == (1, 0)


@pytest.mark.parametrize(("percent", "shares"), [(0, {1: 100}), (20, {1: 80, 2: 20})])
def test_a_percentage_on_what_is_rolled_out_goes_back(percent: int, shares: dict[int, int]) -> None:
    """KServe's rule: set on a service whose newest revision has everything, it brings the previous one back."""
    story = rolled_out(1, 2)
    assert story.look(2, {1, 2}, percent) == shares
    assert story.rolled() == (1, 1)
    assert story.look(2, {1, 2}, percent) == shares
    assert story.look(2, {1, 2}) == {2: 100}
    assert story.rolled() == (2, 1)


def test_going_back_waits_until_the_one_before_is_ready() -> None:
    """What has the traffic keeps it until then."""
    story = rolled_out(1, 2)
    assert story.look(2, {2}, 0) == {2: 100}
    assert story.look(2, {2}, 0) == {2: 100}
    assert story.look(2, {1, 2}, 0) == {1: 100}


def test_a_percentage_set_with_a_new_template_does_not_go_back() -> None:
    """It comes together with the next revision, whether or not that is known already."""
    story = rolled_out(1, 2)
    assert story.look(0, {1, 2}, 10) == {2: 100}
    assert story.look(3, {1, 2}, 10) == {2: 100}
    assert story.look(3, {1, 2, 3}, 10) == {2: 90, 3: 10}
    assert story.rolled() == (2, 1)


def test_the_template_of_the_stable_one_ends_a_canary() -> None:
    """A, B, A with the percentage left in place: A has everything, and nothing goes back to before A."""
    story = rolled_out(1, 2)
    story.look(3, {1, 2, 3}, 10)
    assert story.look(2, {1, 2, 3}, 10) == {2: 100}
    assert story.look(2, {1, 2, 3}, 10) == {2: 100}
    assert story.rolled() == (2, 1)


def test_a_percentage_set_with_the_template_of_the_stable_one_does_not_go_back() -> None:
    """The edit before is taken back: that is the change, and the percentage is for the next one."""
    story = rolled_out(1, 2)
    story.look(3, {1, 2})
    assert story.look(2, {1, 2}, 10) == {2: 100}
    assert story.rolled() == (2, 1)


def test_a_canary_that_is_superseded_is_not_promoted() -> None:
    """Template and percentage changed in one write: until the new one is ready the stable one has all."""
    story = rolled_out(1)
    story.look(2, {1, 2}, 10)
    assert story.look(0, {1, 2}) == {1: 100}
    assert story.look(3, {1, 2}) == {1: 100}
    assert story.look(3, {1, 2, 3}) == {3: 100}
    assert story.rolled() == (3, 1)


def test_a_canary_keeps_its_share_until_the_next_is_ready() -> None:
    """As in Knative: the share goes to the newest revision that was ready."""
    story = rolled_out(1)
    story.look(2, {1, 2}, 10)
    assert story.look(3, {1, 2}, 20) == {1: 80, 2: 20}
    assert story.look(3, {1, 2, 3}, 20) == {1: 80, 3: 20}


@pytest.mark.parametrize(
    ("ready", "shares"), [({1}, {1: 100}), ({2}, {2: 100}), (set(), {1: 100}), ({1, 2}, {1: 90, 2: 10})]
)
def test_the_rest_keeps_what_is_lost(ready: set[int], shares: dict[int, int]) -> None:
    """A revision that loses its replicas loses its share for as long; without any left the stable one is waited for."""
    story = rolled_out(1)
    story.look(2, {1, 2}, 10)
    assert story.look(2, ready, 10) == shares
    assert story.look(2, {1, 2}, 10) == {1: 90, 2: 10}
    assert story.rolled() == (1, 0)


def test_going_back_to_an_earlier_template_is_a_rollout() -> None:
    """Undo: the earlier revision is the newest again, and takes over at once if it is ready."""
    story = rolled_out(1, 2)
    assert story.look(1, {1, 2}) == {1: 100}
    assert story.rolled() == (1, 2)
    assert candidate(story.book) == 1


def test_canaries_share_beside_the_stable_one() -> None:
    """Those that are not ready have nothing, and the stable one keeps the rest."""
    story = rolled_out(1)
    assert story.look(1, {1}, canaries={"v2": (25, 2), "v3": (10, 3)}) == {1: 100}
    assert story.look(1, {1, 3}, canaries={"v2": (25, 2), "v3": (10, 3)}) == {1: 90, 3: 10}
    assert story.look(1, {1, 2, 3}, canaries={"v2": (25, 2), "v3": (10, 3)}) == {1: 65, 2: 25, 3: 10}
    assert story.look(1, {1, 2, 3}, canaries={"v3": (0, 3)}) == {1: 100}
    assert story.rolled() == (1, 0)


def test_canaries_may_have_everything() -> None:
    """The stable one has nothing then, but what they lose."""
    story = rolled_out(1)
    assert story.look(1, {1, 2, 3}, canaries={"v2": (60, 2), "v3": (40, 3)}) == {2: 60, 3: 40}
    assert story.look(1, {1, 3}, canaries={"v2": (60, 2), "v3": (40, 3)}) == {1: 60, 3: 40}


def test_canaries_without_the_stable_one_share_in_proportion() -> None:
    """Whole per cent that sum to 100."""
    story = rolled_out(1)
    assert story.look(1, {2, 3}, canaries={"v2": (20, 2), "v3": (10, 3)}) == {2: 67, 3: 33}


def test_a_canary_that_becomes_the_service_has_everything() -> None:
    """Its revision is ready already: the stable template becomes its own, and the entry is dropped."""
    story = rolled_out(1)
    story.look(1, {1, 2}, canaries={"v2": (25, 2)})
    assert story.look(2, {1, 2}) == {2: 100}
    assert story.rolled() == (2, 1)


def test_two_canaries_of_the_same_content_are_one_revision() -> None:
    """Their shares add up; one with the content of the stable one is the stable one."""
    story = rolled_out(1)
    assert story.look(1, {1, 2}, canaries={"v2": (20, 2), "v3": (10, 2)}) == {1: 70, 2: 30}
    assert story.look(1, {1, 2}, canaries={"v2": (20, 1)}) == {1: 100}


def test_a_canary_whose_next_revision_is_not_ready_keeps_the_one_before() -> None:
    """Each track changes over once the new one can take it."""
    story = rolled_out(1)
    story.look(1, {1, 2}, canaries={"v2": (25, 2)})
    assert story.look(1, {1, 2}, canaries={"v2": (25, 3)}) == {1: 75, 2: 25}
    assert story.look(1, {1, 2, 3}, canaries={"v2": (25, 3)}) == {1: 75, 3: 25}


def test_the_previous_one_is_kept_for_a_while() -> None:
    """From when it lost its traffic, which was later than the first share went to another."""
    story = rolled_out(1)
    story.look(2, {1, 2}, 10)
    assert story.book.kept_until is None
    story.at = 2000.0
    story.look(2, {1, 2})
    assert story.book.kept_until == 2000.0 + KEEP
    story.at = 2100.0
    story.look(2, {1, 2})
    assert story.book.kept_until == 2000.0 + KEEP
    story.look(2, {1, 2}, 10)
    assert story.book.kept_until is None
    story.look(2, {1, 2})
    assert story.book.kept_until == 2100.0 + KEEP


def test_stopped_nobody_has_anything_and_nothing_is_forgotten() -> None:
    """Started again it is as it was."""
    story = rolled_out(1, 2)
    assert story.look(2, {1, 2}, stopped=True) == {}
    assert story.rolled() == (2, 1)
    assert story.look(2, {2}) == {2: 100}


def test_what_was_deleted_by_hand_is_no_predecessor() -> None:
    """A ServingRevision that is gone and does not run is as if it had never been."""
    story = rolled_out(1, 2)
    assert story.look(2, {2}, gone={1}) == {2: 100}
    assert story.rolled() == (2, 0)
    assert story.look(3, {3}, gone={1, 2}) == {3: 100}
    assert story.rolled() == (3, 0)


def test_the_salt_stays_while_a_split_goes_on() -> None:
    """Who is in a canary stays in it while its share grows; the next split is another draw."""
    story = rolled_out(1)
    story.look(2, {1, 2}, 10)
    first = story.book.salt
    for ready in ({1, 2}, {1}, {1, 2}):
        story.look(2, ready, 50)
        assert story.book.salt == first
    story.look(2, {1, 2})
    story.look(3, {1, 2, 3}, 10)
    assert story.book.salt not in ("", first)


numbers = st.integers(0, 4)
looks = st.tuples(
    numbers,
    st.frozensets(st.integers(1, 4)),
    st.none() | st.sampled_from([0, 10, 50, 100]),
    st.dictionaries(st.sampled_from(["v2", "v3"]), st.tuples(st.sampled_from([0, 20, 50]), numbers), max_size=2),
    st.booleans(),
)


@given(st.lists(looks, max_size=12))
@settings(max_examples=300)
def test_whatever_happens(told: list[tuple[int, frozenset[int], int | None, dict[str, tuple[int, int]], bool]]) -> None:
    """Shares sum to 100 or are empty, nobody unready has one where someone ready can; a second look changes nothing."""
    story = Story()
    for newest, ready, percent, canaries, stopped in told:
        percent = None if canaries else percent
        ready = ready & (story.known | {newest} | {number for _, number in canaries.values()})
        before = story.book.with_traffic
        shares = story.look(newest, set(ready), percent, canaries, stopped=stopped)
        assert sum(shares.values()) in (0, 100)
        assert all(share > 0 for share in shares.values())
        if not set(shares) <= ready:
            assert set(shares) == {story.book.rolledout}
            assert not before & ready
        if not stopped and before & ready:
            assert set(shares) & ready
        once = story.book
        story.look(newest, set(ready), percent, canaries, stopped=stopped)
        assert story.book == once
        assert read({"status": {"bookkeeping": write(once)}}) == once


def test_a_book_that_was_tampered_with_is_empty() -> None:
    """Anybody with the right to can write a status."""
    assert read({"status": {"bookkeeping": {"last": "x"}}}) == Book()
    assert read({"status": "x"}) == Book()
    assert read({"status": {"bookkeeping": {"last": 3, "shares": [{"revision": 1, "percent": 100}]}}}) == Book(
        last=3, shares=(Share(1, 100),)
    )
