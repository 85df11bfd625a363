"""Who is awake: the table, its limits, and the order in which models make room for each other."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.control.activation import TRANSITIONS, Activation, ActivationSettings, Cause, Event, State

KEYS = ("a", "b", "c", "d", "e")


def activation(**limits: float) -> Activation[str]:
    made: Activation[str] = Activation(ActivationSettings(**limits))  # type: ignore[arg-type]
    for key in KEYS:
        made.add(key, 10, 0.0)
    return made


def wake(models: Activation[str], key: str, now: float) -> None:
    """Have it answer one request."""
    assert models.arrived(key, now) is None
    assert models.orders(now).wake == [key]
    models.woken(key, 10, now)
    models.left(key, now)


def test_the_table_is_closed() -> None:
    """What is not in it raises; every state is left by something."""
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)
    with pytest.raises(RuntimeError, match="a model that is asleep cannot take the event gone"):
        activation().gone("a")


def test_the_longest_unused_makes_room() -> None:
    """Not the one that woke first."""
    models = activation(max_awake=2)
    wake(models, "a", 1.0)
    wake(models, "b", 2.0)
    models.arrived("a", 3.0)
    models.left("a", 3.0)
    models.arrived("c", 4.0)
    orders = models.orders(4.0)
    assert (orders.wake, orders.sleep) == ([], {"b": Cause.ROOM})
    assert models.orders(4.0).sleep == {}  # room is to come
    models.gone("b")
    assert models.orders(4.0).wake == ["c"]


def test_who_has_work_stays() -> None:
    """However long somebody waits; and those behind wait, too, though they are as good as awake."""
    models = activation(max_awake=1)
    models.arrived("a", 0.0)
    models.orders(0.0)
    models.woken("a", 10, 0.0)
    models.arrived("b", 1.0)
    assert models.orders(100.0).sleep == {}
    models.left("a", 101.0)
    assert models.orders(101.0).sleep == {"a": Cause.ROOM}
    models.arrived("a", 102.0)
    models.gone("a")
    assert models.orders(102.0).wake == ["b"]
    assert models.orders(102.0).wake == []


def test_a_large_one_is_not_starved() -> None:
    """Small ones that come after it do not overtake it."""
    models = activation(max_awake_bytes=25)
    models["e"].nbytes = 20
    models.arrived("a", 0.0)
    models.orders(0.0)
    models.woken("a", 10, 0.0)
    models.arrived("e", 1.0)
    models.arrived("b", 2.0)
    assert models.orders(2.0).wake == []
    models.left("a", 3.0)
    assert models.orders(3.0).sleep == {"a": Cause.ROOM}
    models.gone("a")
    assert models.orders(3.0).wake == ["e"]


def test_one_that_is_larger_than_the_limit_wakes_alone() -> None:
    """And nobody beside it."""
    models = activation(max_awake_bytes=5)
    wake(models, "a", 0.0)
    models.arrived("b", 1.0)
    assert models.orders(1.0).sleep == {"a": Cause.ROOM}


def test_what_was_not_expected_is_made_room_for() -> None:
    """By the longest unused, as soon as it is idle; until then nobody wakes, and whoever asks hears of it."""
    models = activation(max_awake_bytes=40)
    wake(models, "a", 0.0)
    wake(models, "b", 1.0)
    models.arrived("a", 2.0)
    models.arrived("c", 2.0)
    models.orders(2.0)
    models.woken("c", 25, 3.0)
    orders = models.orders(3.0)
    assert (orders.sleep, orders.waiting) == ({"b": Cause.ROOM}, False)
    models.gone("b")
    models.arrived("d", 4.0)
    orders = models.orders(4.0)
    assert (orders.wake, orders.sleep, orders.waiting) == ([], {}, True)
    assert models.left("a", 5.0)
    assert models.orders(5.0).sleep == {"a": Cause.ROOM}


def test_what_is_expected_may_change_until_it_is_measured() -> None:
    """Then it is known."""
    models = activation(max_awake_bytes=40)
    models.expect("a", 30)
    models.expect("b", 30)
    wake(models, "a", 0.0)
    models.expect("a", 99)
    assert (models["a"].nbytes, models["b"].nbytes) == (10, 30)
    models.arrived("b", 1.0)
    assert models.orders(1.0).wake == ["b"]


def test_one_that_ends_is_put_to_sleep_with_all_that_it_has() -> None:
    """And holds its place until it is gone."""
    models = activation(max_awake=1)
    wake(models, "a", 0.0)
    models.passes("a")
    models.end("a")
    models.arrived("b", 1.0)
    assert models.orders(1.0).wake == []
    models.gone("a")
    models.remove("a")
    assert "a" not in models
    assert models.orders(1.0).wake == ["b"]


def test_what_is_idle_goes_to_sleep() -> None:
    """After its time, and it says when that is; without the setting never."""
    models = activation(sleep_after=10.0)
    wake(models, "a", 1.0)
    assert models.orders(2.0).next_at == 11.0
    assert models.orders(11.0).sleep == {"a": Cause.IDLE}
    models = activation()
    wake(models, "a", 1.0)
    orders = models.orders(1e9)
    assert (orders.sleep, orders.next_at) == ({}, None)


def test_what_is_not_wished_for_sleeps_as_soon_as_it_is_idle() -> None:
    """Again after each request that woke it, and at once where it is idle; nobody else is put to sleep for it."""
    models = activation(sleep_after=60.0)
    models.wish("a", False, 0.0)
    assert models.orders(0.0).wake == []
    models.arrived("a", 1.0)
    assert models.orders(1.0).wake == ["a"]
    models.woken("a", 10, 2.0)
    assert models.orders(2.0).sleep == {}
    models.left("a", 3.0)
    wake(models, "b", 3.0)
    models.gone("a")
    assert models.orders(4.0).sleep == {}
    models.wish("b", False, 5.0)
    assert models.orders(5.0).sleep == {"b": Cause.WISH}


def test_what_is_wished_awake_wakes_without_a_request() -> None:
    """And stays so for as long as others do; within the limits, and in its turn."""
    models = activation(max_awake=1, sleep_after=60.0)
    models.wish("a", True, 0.0)
    assert models.orders(0.0).wake == ["a"]
    models.woken("a", 10, 1.0)
    models.wish("a", True, 2.0)
    assert models.orders(60.0).sleep == {}
    models.wish("b", True, 60.0)
    assert models.orders(60.0).sleep == {"a": Cause.ROOM}
    models.wish("b", False, 60.0)
    models.gone("a")
    assert models.orders(60.0).wake == []


def test_what_just_failed_is_not_woken_by_a_wish() -> None:
    """It waits for its pause as requests do."""
    models = activation()
    models.wish("a", True, 0.0)
    assert models.orders(0.0).wake == ["a"]
    models.failed("a", 1.0)
    models.wish("a", True, 1.5)
    assert models.orders(1.5).wake == []
    models.wish("a", True, 2.0)
    assert models.orders(2.0).wake == ["a"]


def test_a_failed_waking_is_tried_again_after_a_pause() -> None:
    """Which doubles, up to the longest, and is forgotten once it wakes."""
    models = activation(pause=1.0, max_pause=3.0)
    now = 0.0
    for pause in (1.0, 2.0, 3.0, 3.0):
        assert models.arrived("a", now) is None
        assert models.orders(now).wake == ["a"]
        models.failed("a", now)
        models.left("a", now)
        assert models.arrived("a", now) == now + pause
        now += pause
    wake(models, "a", now)
    assert models["a"].failures == 0


@pytest.mark.parametrize("wrong", [{"max_awake": -1}, {"sleep_after": -1}, {"pause": 0}, {"pause": 9, "max_pause": 1}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    """With the field's name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ActivationSettings(**wrong)  # type: ignore[arg-type]


class Machine(RuleBasedStateMachine):
    """Requests come and go, models wake, fail and go to sleep, in any order and with any limits."""

    @initialize(places=st.integers(0, 3), limit=st.sampled_from([0, 15, 30]), sleep_after=st.sampled_from([0.0, 5.0]))
    def begin(self, places: int, limit: int, sleep_after: float) -> None:
        self.now = 0.0
        self.places, self.limit = places, limit
        self.models: Activation[str] = Activation(
            ActivationSettings(max_awake=places, max_awake_bytes=limit, sleep_after=sleep_after)
        )
        for number, key in enumerate(KEYS):
            self.models.add(key, 4 * (number + 1), 0.0)
        self.line: list[str] = []

    def keys(self, *states: State) -> list[str]:
        return [key for key in KEYS if self.models[key].state in states]

    def act(self) -> None:
        idle = {key: self.models[key].idle_since for key in KEYS if not self.models[key].requests}
        ready = self.keys(State.READY)
        orders = self.models.orders(self.now)
        for key, cause in orders.sleep.items():
            assert key in idle, "a model with work was put to sleep"
            assert (cause is Cause.WISH) == self.models[key].unwished
        kept = [idle[key] for key in ready if key in idle and key not in orders.sleep]
        made = [idle[key] for key, cause in orders.sleep.items() if cause is not Cause.WISH]
        assert all(each <= since for each in made for since in kept), "a later one made room"
        assert not any(self.models[key].unwished and key in idle for key in self.keys(State.READY))
        for key in orders.wake:
            assert key == self.line.pop(0), "one that waits was overtaken"

    def queue(self) -> None:
        """The line as it must be: by first request or wish, of those that are not awake."""
        waits = [key for key in self.keys(State.ASLEEP, State.DRAINING) if self.models[key].wanted_since is not None]
        self.line = [key for key in self.line if key in waits] + [key for key in waits if key not in self.line]

    @rule(key=st.sampled_from(KEYS))
    def arrive(self, key: str) -> None:
        before = self.models[key].requests
        taken = self.models.arrived(key, self.now) is None
        assert self.models[key].requests == before + taken
        self.queue()
        # A model on its way to sleep is in the line, and cannot be woken before it has gone.
        self.asleep_first()
        self.act()

    def asleep_first(self) -> None:
        self.line.sort(key=lambda key: (self.models[key].state is not State.ASLEEP, self.models[key].wanted_since or 0))

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        busy = [key for key in KEYS if self.models[key].requests]
        if busy:
            self.models.left(data.draw(st.sampled_from(busy)), self.now)
            self.settle()

    @rule(key=st.sampled_from(KEYS), awake=st.booleans())
    def wish(self, key: str, awake: bool) -> None:
        """Whoever decides over it would have it awake, or asleep."""
        self.models.wish(key, awake, self.now)
        self.settle()

    @rule(data=st.data(), succeeds=st.booleans())
    def wake_ends(self, data: st.DataObject, succeeds: bool) -> None:
        if waking := self.keys(State.WAKING):
            key = data.draw(st.sampled_from(waking))
            if succeeds:
                self.models.woken(key, self.models[key].nbytes, self.now)
            else:
                self.models.failed(key, self.now)
                while self.models[key].requests:
                    self.models.left(key, self.now)
            self.settle()

    @rule(data=st.data())
    def sleep_ends(self, data: st.DataObject) -> None:
        if draining := self.keys(State.DRAINING):
            self.models.gone(data.draw(st.sampled_from(draining)))
            self.settle()

    @rule(seconds=st.floats(0.1, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.settle()

    def settle(self) -> None:
        self.queue()
        self.asleep_first()
        self.act()

    @invariant()
    def limits_hold(self) -> None:
        """Always; but one that is larger than the limit may be awake alone."""
        held = [self.models[key].nbytes for key in self.keys(State.WAKING, State.READY, State.DRAINING)]
        assert not self.places or len(held) <= self.places
        assert not self.limit or len(held) <= 1 or sum(held) <= self.limit

    @precondition(lambda self: hasattr(self, "models"))
    @invariant()
    def nobody_is_lost(self) -> None:
        """A model with requests is awake, waking, or in the line."""
        for key in KEYS:
            model = self.models[key]
            if model.requests and model.state in (State.ASLEEP, State.DRAINING):
                assert model.wanted_since is not None

    def teardown(self) -> None:
        """Once all that has work ends its work and all that wakes wakes, everybody is answered: none is starved."""
        for _ in range(200):
            for key in self.keys(State.WAKING):
                self.models.woken(key, self.models[key].nbytes, self.now)
            for key in self.keys(State.READY):
                while self.models[key].requests:
                    self.models.left(key, self.now)
            for key in self.keys(State.DRAINING):
                self.models.gone(key)
            self.models.orders(self.now)
        assert not any(self.models[key].requests for key in KEYS)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
