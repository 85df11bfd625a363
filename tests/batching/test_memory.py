"""What is remembered is bounded: by number, by time, and by what is still of use."""

from __future__ import annotations

from math import inf

from tidegate.batching.bucket import Bucket
from tidegate.batching.ceiling import Ceiling
from tidegate.batching.curve import Curve
from tidegate.batching.deadlines import Deadlines
from tidegate.batching.fairness import Fairness
from tidegate.batching.item import Caller, Item, State
from tidegate.batching.lane import Lane
from tidegate.batching.quarantine import Quarantine


def item(number: int, deadline: float) -> Item[None]:
    one: Item[None] = Item(None, "k", 1, 4, deadline)
    one.number = number
    return one


class TestQuarantine:
    def test_deaths_are_counted_by_content(self) -> None:
        """Two make a conviction, whoever sends it."""
        quarantine = Quarantine(max_deaths=2, bound=10, seconds=100.0)
        assert not quarantine.accuse(b"a", 1, 0.0)
        assert quarantine.left(b"a", 0.0) == 0.0
        assert not quarantine.accuse(b"b", 1, 0.0)
        assert quarantine.accuse(b"a", 1, 10.0)
        assert quarantine.left(b"a", 50.0) == 60.0
        assert quarantine.left(b"a", 110.0) == 0.0
        assert len(quarantine) == 0

    def test_an_old_death_does_not_count(self) -> None:
        """Memory limits change, and so do models."""
        quarantine = Quarantine(max_deaths=2, bound=10, seconds=100.0)
        assert not quarantine.accuse(b"a", 1, 0.0)
        assert not quarantine.accuse(b"a", 1, 100.0)

    def test_the_oldest_leaves_first(self) -> None:
        """The bound holds for the accused and the convicted."""
        quarantine = Quarantine(max_deaths=2, bound=2, seconds=100.0)
        for name in (b"a", b"b", b"c"):
            assert quarantine.accuse(name, 2, 0.0)
        assert [quarantine.left(name, 0.0) > 0 for name in (b"a", b"b", b"c")] == [False, True, True]
        for name in (b"d", b"e", b"f"):
            assert not quarantine.accuse(name, 1, 0.0)
        assert [quarantine.accuse(name, 1, 0.0) for name in (b"d", b"f")] == [False, True]


class TestDeadlines:
    def test_the_answered_are_passed_over(self) -> None:
        """The next deadline is that of somebody who waits."""
        deadlines: Deadlines[None] = Deadlines()
        items = [item(number, 10.0 + number) for number in range(4)]
        for live, one in enumerate(items, 1):
            one.enter(State.QUEUED)
            deadlines.add(one, live)
        items[0].enter(State.CANCELLED)
        assert deadlines.next() == 11.0
        items[2].enter(State.CANCELLED)
        assert deadlines.expired(12.5) == [items[1]]
        assert deadlines.next() == 13.0
        assert deadlines.expired(13.0) == [items[3]]
        assert deadlines.next() == inf

    def test_what_was_answered_long_before_its_deadline_is_cleared_away(self) -> None:
        """With a minute of patience and a service of milliseconds, nearly all are."""
        deadlines: Deadlines[None] = Deadlines()
        for number in range(10_000):
            one = item(number, 60.0 + number)
            one.enter(State.QUEUED)
            deadlines.add(one, 1)
            one.enter(State.CANCELLED)
            assert len(deadlines) <= 70


class TestLane:
    def lane(self) -> Lane[None]:
        share = Fairness().join(Caller())
        return Lane(0, share, Bucket("k", Curve(60.0), Ceiling(60.0)), 0.0)

    def test_removed_items_are_cleared_away(self) -> None:
        """Also those that never come to the top, because somebody with an earlier deadline stays."""
        lane = self.lane()
        lane.add(item(0, 1.0))
        for number in range(1, 10_000):
            one = item(number, 60.0)
            lane.add(one)
            lane.remove(one)
            assert len(lane.heap) <= 40
        assert lane.head().number == 0

    def test_who_comes_back_is_where_it_was(self) -> None:
        """Among the arrivals as well as among the deadlines."""
        lane = self.lane()
        items = [item(number, 60.0) for number in range(4)]
        for one in items:
            lane.add(one)
        lane.remove(items[0])
        lane.remove(items[2])
        lane.add(items[2])
        assert [one.number for one in lane.arrivals.values()] == [1, 2, 3]
        lane.add(items[0])
        assert lane.oldest() is items[0]
        order = []
        while lane.arrivals:
            order.append(lane.head().number)
            lane.remove(lane.head())
        assert order == [0, 1, 2, 3]


class TestFairness:
    def test_tenants_without_debt_are_forgotten(self) -> None:
        """However many different ones come by while somebody always waits."""
        fairness = Fairness()
        always = fairness.join(Caller("always"))
        for number in range(10_000):
            share = fairness.join(Caller(str(number)))
            fairness.serve(share)
            fairness.charge(share, 1)
            fairness.leave(share)
            fairness.charge(always, 1)
            fairness.serve(always)
            assert len(fairness) <= 70
        assert always.waiting == 1

    def test_when_nobody_waits_all_is_forgotten(self) -> None:
        """There is nothing to compete for, so nobody owes anything."""
        fairness = Fairness()
        share = fairness.join(Caller("a"))
        fairness.charge(share, 100)
        fairness.leave(share)
        assert len(fairness) == 0
        assert repr(fairness.join(Caller("a"))) == "<Share of 'a': 1 waiting, tag 0>"

    def test_a_debt_outlives_those_without_one(self) -> None:
        """However many others come and go while it is away."""
        fairness = Fairness()
        fairness.join(Caller("other"))
        greedy = fairness.join(Caller("greedy"))
        fairness.charge(greedy, 100)
        fairness.leave(greedy)
        for number in range(200):
            fairness.leave(fairness.join(Caller(str(number))))
        assert fairness.join(Caller("greedy")).tag == 100.0

    def test_a_debt_is_remembered_while_others_wait(self) -> None:
        """Leaving for an instant and coming back does not wipe it out."""
        fairness = Fairness()
        fairness.join(Caller("other"))
        share = fairness.join(Caller("greedy", 2.0))
        fairness.charge(share, 100)
        fairness.leave(share)
        assert fairness.join(Caller("greedy", 2.0)).tag == 50.0
