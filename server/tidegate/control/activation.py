"""Which models are awake: the states of one, what leads from one to the next, and who makes room for whom.

Everything that decides over sleeping is in this file, and nothing in it knows processes, tasks or clocks. ::

    asleep ──wake──▶ waking ──woken──▶ ready ──sleep──▶ draining ──gone──▶ asleep
       ▲               │ failed                            ▲
       └─── pause ─────┘                                   └ evicted, idle for ``sleep_after``, or not wished for

What it orders is carried out by ``Activator``.

Rules:

1. A model that is waking, ready or draining holds a place, and so many bytes; the places and bytes that are held
   together stay within the limits. One exception: a model that alone has more bytes than the limit wakes when no other
   is awake.
2. A model is put to sleep only while it has no request, neither waiting nor executing.
3. Who makes room is who has been without a request for longest.
4. Models wake in the order in which they were first asked for; nobody overtakes the one that waits for room, so that a
   large one is not starved by small ones. What is idle goes to sleep for it even where that is not enough yet: it would
   be asked for again before the rest is idle, too.
5. A model that failed to wake is tried again by a request, after a pause that doubles; a request within it is refused.
6. Whoever decides over a model may wish it asleep: then it goes to sleep as soon as it is idle, and its next request
   wakes it all the same. Wished awake again it wakes as by a request, and needs none to stay.
7. What a model holds is known once it is awake. Where that is more than was expected, and more than may be held, others
   make room as soon as they are idle, and nobody wakes before they have.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K", bound=Hashable)


class State(StrEnum):
    ASLEEP = "asleep"
    WAKING = "waking"
    READY = "ready"
    DRAINING = "draining"


class Event(StrEnum):
    WAKE = "wake"
    WOKEN = "woken"
    FAILED = "failed"
    SLEEP = "sleep"
    GONE = "gone"


class Cause(StrEnum):
    """Why a model is put to sleep."""

    ROOM = "room"
    """Another one needs what it holds."""
    IDLE = "idle"
    """Nobody has asked for it in a while."""
    WISH = "wish"
    """It was wished asleep."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.ASLEEP, Event.WAKE): State.WAKING,
    (State.WAKING, Event.WOKEN): State.READY,
    (State.WAKING, Event.FAILED): State.ASLEEP,
    (State.READY, Event.SLEEP): State.DRAINING,
    (State.DRAINING, Event.GONE): State.ASLEEP,
}


class ActivationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on what is awake.

    Raises:
        ValueError: a limit is negative, or a pause is none.
    """

    max_awake: int = 0
    """Models that are awake at a time; 0 for as many as are asked for."""
    max_awake_bytes: int = 0
    """Memory of those that are awake; 0 for no limit."""
    sleep_after: float = 0.0
    """Seconds without a request after which a model is put to sleep; 0 for never."""
    pause: float = 1.0
    """Seconds after a failed waking until the next is tried; each further failure in a row doubles it."""
    max_pause: float = 60.0
    """Seconds; the longest."""

    def __post_init__(self) -> None:
        for name in ("max_awake", "max_awake_bytes", "sleep_after"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}, expected at least 0")
        if not 0 < self.pause <= self.max_pause:
            raise ValueError(f"pause is {self.pause:g}, expected above 0 and at most max_pause ({self.max_pause:g})")


class Sleeper(msgspec.Struct):
    """What is known of one model."""

    nbytes: int
    """What it holds while it is awake: expected before it was, measured from then on."""
    measured: bool = False
    state: State = State.ASLEEP
    requests: int = 0
    wanted_since: int | None = None
    """Its place in the line of those that wait for room; None while it is not in it."""
    idle_since: float = 0.0
    """When it had its last request."""
    failures: int = 0
    """In a row."""
    retry_at: float = 0.0
    unwished: bool = False
    """Whether it is to sleep as soon as it is idle."""


class Orders(msgspec.Struct, Generic[K]):
    """What is to be done now, and when to ask again at the latest; None for when something happens.

    ``waiting`` tells that somebody waits for room, which whoever becomes idle has to make.
    """

    wake: list[K] = []
    sleep: dict[K, Cause] = {}
    next_at: float | None = None
    waiting: bool = False


class Activation(Generic[K]):
    """All models that sleep. Tell it what happens, then ask ``orders`` and carry them out; times are in seconds."""

    def __init__(self, settings: ActivationSettings) -> None:
        self._settings = settings
        self._models: dict[K, Sleeper] = {}
        self._line = 0

    def __getitem__(self, key: K) -> Sleeper:
        return self._models[key]

    def __contains__(self, key: K) -> bool:
        return key in self._models

    @property
    def awake(self) -> list[Sleeper]:
        """Those that hold a place."""
        return [model for model in self._models.values() if model.state is not State.ASLEEP]

    def add(self, key: K, nbytes: int, now: float) -> None:
        """A model, asleep."""
        self._models[key] = Sleeper(nbytes, idle_since=now)

    def remove(self, key: K) -> None:
        """It is no more; nothing of it is left."""
        del self._models[key]

    def expect(self, key: K, nbytes: int) -> None:
        """It will hold so many bytes, as far as can be told before it was awake for the first time."""
        model = self._models[key]
        if not model.measured and model.state is State.ASLEEP:
            model.nbytes = nbytes

    def arrived(self, key: K, now: float) -> float | None:
        """A request came. Returns None if it may wait, else when to come back: it is refused, and has not arrived."""
        model = self._models[key]
        if model.state is State.ASLEEP and now < model.retry_at:
            return model.retry_at
        model.requests += 1
        self._line_up(model)
        return None

    def wish(self, key: K, awake: bool, now: float) -> None:
        """It is to be awake, and wakes unless it has just failed to; or it is to sleep as soon as it is idle."""
        model = self._models[key]
        model.unwished = not awake
        if not awake and not model.requests:
            model.wanted_since = None
        elif awake and now >= model.retry_at:
            self._line_up(model)

    def passes(self, key: K) -> None:
        """A request came to a model that is ready: as ``arrived``, for a fraction of the time."""
        self._models[key].requests += 1

    def left(self, key: K, now: float) -> bool:
        """A request was answered, or nobody waits for it any more. Whether it was the last."""
        model = self._models[key]
        requests = model.requests - 1
        model.requests = requests
        model.idle_since = now
        if not requests:
            model.wanted_since = None
        return not requests

    def woken(self, key: K, nbytes: int, now: float) -> None:
        """It answers, and holds so many bytes."""
        model = self._enter(key, Event.WOKEN)
        model.nbytes, model.measured = nbytes, True
        model.failures, model.retry_at, model.idle_since = 0, 0.0, now

    def failed(self, key: K, now: float) -> None:
        """It did not wake, and nothing of it is left. Its requests are to be refused."""
        model = self._enter(key, Event.FAILED)
        model.failures += 1
        pause = self._settings.pause * 2.0 ** min(model.failures - 1, 62)
        model.retry_at = now + min(pause, self._settings.max_pause)

    def end(self, key: K) -> None:
        """It is put to sleep whatever it has, because it is served no more."""
        self._enter(key, Event.SLEEP)

    def gone(self, key: K) -> None:
        """It has gone to sleep, and nothing of it is left."""
        self._enter(key, Event.GONE)

    def orders(self, now: float) -> Orders[K]:
        """What follows from what was told. What is ordered is taken for begun."""
        orders: Orders[K] = Orders([], {})
        self._sleep_idle(now, orders)
        self._shrink(orders)
        while (key := self._first()) is not None:
            model = self._models[key]
            if not self._fits([each.nbytes for each in self.awake], model.nbytes):
                orders.waiting = True
                self._make_room(model.nbytes, orders)
                break
            model.wanted_since = None
            self._enter(key, Event.WAKE)
            orders.wake.append(key)
        return orders

    def _line_up(self, model: Sleeper) -> None:
        if model.state in (State.ASLEEP, State.DRAINING) and model.wanted_since is None:
            self._line += 1
            model.wanted_since = self._line

    def _sleep_idle(self, now: float, orders: Orders[K]) -> None:
        for key in self._evictable():
            if self._models[key].unwished:
                self._put_to_sleep(key, Cause.WISH, orders)
                continue
            if not self._settings.sleep_after:
                continue
            due = self._models[key].idle_since + self._settings.sleep_after
            if now >= due:
                self._put_to_sleep(key, Cause.IDLE, orders)
            elif orders.next_at is None or due < orders.next_at:
                orders.next_at = due

    def _first(self) -> K | None:
        """Who is next in the line, of those that are asleep by now."""
        line = [
            (model.wanted_since, key)
            for key, model in self._models.items()
            if model.wanted_since is not None and model.state is State.ASLEEP
        ]
        return min(line, key=lambda entry: entry[0])[1] if line else None

    def _fits(self, held: list[int], nbytes: int) -> bool:
        """Whether one more of so many bytes may be awake beside these."""
        places = self._settings.max_awake
        return not (places and len(held) >= places) and self._within([*held, nbytes])

    def _make_room(self, nbytes: int, orders: Orders[K]) -> None:
        """Put as many to sleep as it takes, or as many as may be. What drains already is room to come."""
        staying = self._staying()
        for key in self._evictable():
            if self._fits(list(staying.values()), nbytes):
                return
            del staying[key]
            self._put_to_sleep(key, Cause.ROOM, orders)

    def _shrink(self, orders: Orders[K]) -> None:
        """Come back below the limit of bytes, where models turned out to hold more than was expected of them."""
        staying = self._staying()
        for key in self._evictable():
            if self._within(list(staying.values())):
                return
            del staying[key]
            self._put_to_sleep(key, Cause.ROOM, orders)
        orders.waiting = not self._within(list(staying.values()))

    def _staying(self) -> dict[K, int]:
        """The bytes of those that are awake and not on their way to sleep."""
        return {k: each.nbytes for k, each in self._models.items() if each.state in (State.WAKING, State.READY)}

    def _within(self, held: list[int]) -> bool:
        limit = self._settings.max_awake_bytes
        return not limit or len(held) <= 1 or sum(held) <= limit

    def _evictable(self) -> list[K]:
        """Who may be put to sleep, the one without a request for longest first."""
        idle = [key for key, model in self._models.items() if model.state is State.READY and not model.requests]
        return sorted(idle, key=lambda key: self._models[key].idle_since)

    def _put_to_sleep(self, key: K, cause: Cause, orders: Orders[K]) -> None:
        self._enter(key, Event.SLEEP)
        orders.sleep[key] = cause

    def _enter(self, key: K, event: Event) -> Sleeper:
        model = self._models[key]
        try:
            model.state = TRANSITIONS[model.state, event]
        except KeyError:
            raise RuntimeError(f"a model that is {model.state} cannot take the event {event}") from None
        return model
