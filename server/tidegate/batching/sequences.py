"""Sequences: requests that share a state, which one replica keeps between them. Which one, and until when. Pure.

A sequence begins with a step that says ``start``, at whichever replica takes it, and stays there. It ends with the
step that says ``end``, when it was idle for too long, or with its replica. Its steps take turns, in the order in which
they came: each visits the table from its arrival to its end. A step that fails leaves the sequence as it is, but the
first one: without it there is no state.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import InvalidRequest, Overloaded, SequenceLost, shown
from tidegate.protocol.sequence import Step

P = TypeVar("P", bound=Hashable)


class SequenceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """``open`` is what there is now; the others only grow."""

    open: int
    started: int
    ended: int
    expired: int
    """They were idle for too long."""
    lost: int
    """Their replica ended."""


class Sequence(Generic[P]):
    """``place`` keeps its state, None before its first step is there. ``begun`` tells that there is a state."""

    __slots__ = ("begun", "id", "last", "lost", "place", "steps")

    def __init__(self, identity: int | str) -> None:
        self.id = identity
        self.place: P | None = None
        self.begun = False
        self.lost = False
        self.steps = 0
        """That visit."""
        self.last = 0.0

    def __repr__(self) -> str:
        state = "lost" if self.lost else "begun" if self.begun else "not begun"
        return f"<Sequence {shown(self.id)} {state}, {self.steps} steps>"


class Visit(Generic[P]):
    """One step, from its arrival to its end. Whoever executes it says that it is ``done``."""

    __slots__ = ("done", "nbytes", "sequence", "step", "waits")

    def __init__(self, sequence: Sequence[P], step: Step, nbytes: int, waits: bool) -> None:
        self.sequence = sequence
        self.step = step
        self.nbytes = nbytes
        self.waits = waits
        self.done = False


class Sequences(Generic[P]):
    """All sequences of one revision. Each call that may end some takes the time in seconds, on one clock."""

    def __init__(self, model: str, settings: BatchSettings) -> None:
        self._model = model
        self._settings = settings
        self._open: dict[int | str, Sequence[P]] = {}
        self._idle: OrderedDict[int | str, Sequence[P]] = OrderedDict()
        self._lost: OrderedDict[int | str, float] = OrderedDict()
        self._places: Counter[P] = Counter()
        self._waiting = self._waiting_bytes = 0
        self._started = self._ended = self._expired = self._gone = 0

    def __repr__(self) -> str:
        return f"<Sequences {len(self._open)} open, {len(self._idle)} of them idle>"

    def at(self, place: P) -> int:
        """How many sequences a place keeps."""
        return self._places[place]

    def statistics(self, now: float) -> SequenceStatistics:
        self.expire(now)
        return SequenceStatistics(
            open=len(self._open), started=self._started, ended=self._ended, expired=self._expired, lost=self._gone
        )

    def arrive(self, step: Step, nbytes: int, now: float) -> Visit[P]:
        """A step of ``nbytes`` bytes comes. It must leave, whatever becomes of it.

        Raises:
            InvalidRequest: its sequence was not started.
            SequenceLost: its sequence was, and its replica has ended.
            Overloaded: there are as many sequences, or steps that wait for their turn, as may be.
        """
        self.expire(now)
        sequence = self._open.get(step.sequence)
        if sequence is None:
            sequence = self._new(step)
        waits = sequence.steps > 0
        if waits:
            self._wait(nbytes)
        sequence.steps += 1
        self._idle.pop(sequence.id, None)
        return Visit(sequence, step, nbytes, waits)

    def turn(self, visit: Visit[P]) -> None:
        """Those before it have left: the step is executed next.

        Raises:
            InvalidRequest: the sequence has not begun, or has ended.
            SequenceLost: its replica ended while the step waited.
        """
        self._stop_waiting(visit)
        sequence = visit.sequence
        if visit.step.start:
            sequence.begun = sequence.lost = False
        elif sequence.lost:
            raise self.loss(sequence.id)
        elif not sequence.begun:
            raise self._unknown(sequence.id)

    def place(self, sequence: Sequence[P], place: P) -> None:
        """A step of the sequence is executed there."""
        if sequence.place != place:
            self._displace(sequence)
            sequence.place = place
            self._places[place] += 1

    def leave(self, visit: Visit[P], now: float) -> None:
        """A step is over, done or not."""
        self._stop_waiting(visit)
        sequence, step = visit.sequence, visit.step
        sequence.steps -= 1
        sequence.last = now
        if visit.done and not sequence.lost:
            sequence.begun = not step.end
            self._started += step.start
            self._ended += step.end
        if not sequence.begun:
            self._displace(sequence)
        if sequence.steps:
            return
        if sequence.begun:
            self._idle[sequence.id] = sequence
        else:
            del self._open[sequence.id]
            if sequence.lost:
                self._remember(sequence.id, now)

    def lose(self, place: P, now: float) -> None:
        """A place is gone, with every state that it kept."""
        for sequence in [sequence for sequence in self._open.values() if sequence.place == place]:
            self._gone += sequence.begun
            sequence.lost, sequence.begun = True, False
            self._displace(sequence)
            if not sequence.steps:
                del self._open[sequence.id]
                del self._idle[sequence.id]
                self._remember(sequence.id, now)
        del self._places[place]

    def expire(self, now: float) -> None:
        """End what was idle for too long. Its state stays with its replica, which has a bound of its own."""
        idle = self._settings.sequence_idle
        while self._idle and (first := next(iter(self._idle.values()))).last + idle <= now:
            del self._idle[first.id]
            del self._open[first.id]
            self._displace(first)
            self._expired += 1
        while self._lost and next(iter(self._lost.values())) + idle <= now:
            self._lost.popitem(last=False)

    def loss(self, identity: int | str) -> SequenceLost:
        """What to answer to a step whose state is gone."""
        return SequenceLost(
            f"sequence '{shown(identity)}' of model '{self._model}' is lost, for the replica that kept its state "
            "ended; start it again with sequence_start"
        )

    def _new(self, step: Step) -> Sequence[P]:
        if not step.start:
            raise self.loss(step.sequence) if step.sequence in self._lost else self._unknown(step.sequence)
        most = self._settings.max_sequences
        if len(self._open) >= most:
            raise Overloaded(
                f"model '{self._model}' has {most} sequences open, which is as many as it may", retry_after=1.0
            )
        self._lost.pop(step.sequence, None)
        sequence: Sequence[P] = Sequence(step.sequence)
        self._open[step.sequence] = sequence
        return sequence

    def _wait(self, nbytes: int) -> None:
        settings = self._settings
        if self._waiting and (
            self._waiting >= settings.max_queue or self._waiting_bytes + nbytes > settings.max_queue_bytes
        ):
            raise Overloaded(
                f"model '{self._model}' has {self._waiting} steps of sequences that wait for those before them, "
                "which is as many as it may",
                retry_after=1.0,
            )
        self._waiting += 1
        self._waiting_bytes += nbytes

    def _stop_waiting(self, visit: Visit[P]) -> None:
        if visit.waits:
            visit.waits = False
            self._waiting -= 1
            self._waiting_bytes -= visit.nbytes

    def _displace(self, sequence: Sequence[P]) -> None:
        if sequence.place is not None:
            self._places[sequence.place] -= 1
            sequence.place = None

    def _remember(self, identity: int | str, now: float) -> None:
        self._lost[identity] = now
        self._lost.move_to_end(identity)
        if len(self._lost) > self._settings.max_sequences:
            self._lost.popitem(last=False)

    def _unknown(self, identity: int | str) -> InvalidRequest:
        return InvalidRequest(
            f"sequence '{shown(identity)}' of model '{self._model}' is not open: it was not started, has ended, or was "
            f"idle for {self._settings.sequence_idle:g} s; its first request must have sequence_start"
        )
