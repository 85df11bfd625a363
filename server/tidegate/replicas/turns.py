"""The steps of sequences take turns: the shell around the table of sequences, with a lock for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tidegate.batching.sequences import Sequence, Sequences, SequenceStatistics, Visit
from tidegate.batching.settings import BatchSettings
from tidegate.protocol.errors import DeadlineExceeded, InvalidRequest, ReplicaLost, SequenceLost
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.sequence import step_of


class Turns:
    """Of one stateful revision. The places of its sequences are the numbers of the dispatcher's lanes."""

    def __init__(self, model: str, settings: BatchSettings, clock: Callable[[], float]) -> None:
        self._model = model
        self._clock = clock
        self._sequences: Sequences[int] = Sequences(model, settings)
        self._locks: dict[Sequence[int], asyncio.Lock] = {}

    def statistics(self) -> SequenceStatistics:
        return self._sequences.statistics(self._clock())

    def at(self, place: int) -> int:
        """How many sequences a lane keeps."""
        return self._sequences.at(place)

    def place(self, sequence: Sequence[int], place: int) -> None:
        """A step of the sequence is at a lane."""
        self._sequences.place(sequence, place)

    def lose(self, place: int) -> None:
        """A lane is gone."""
        self._sequences.lose(place, self._clock())

    def loss(self, sequence: Sequence[int]) -> SequenceLost:
        return self._sequences.loss(sequence.id)

    @asynccontextmanager
    async def turn(self, request: InferRequest, deadline: float) -> AsyncIterator[Visit[int]]:
        """Wait until the steps before this one are over, and keep those behind it waiting.

        Raises:
            InvalidRequest: the request names no sequence, or one that was not started.
            SequenceLost: the replica that kept the state has ended, before or in this step.
            DeadlineExceeded: the deadline passed while it waited.
            Overloaded: there are as many sequences, or steps that wait, as may be.
        """
        step = step_of(request.parameters)
        if step is None:
            raise InvalidRequest(
                f"model '{self._model}' keeps a state: expected the parameter sequence_id, a number above 0 or a string"
            )
        nbytes = sum(tensor.nbytes for tensor in request.inputs)
        visit = self._sequences.arrive(step, nbytes, self._clock())
        lock = self._locks.setdefault(visit.sequence, asyncio.Lock())
        try:
            await self._acquire(lock, deadline)
            try:
                self._sequences.turn(visit)
                yield visit
            finally:
                lock.release()
        except ReplicaLost as error:
            raise self.loss(visit.sequence) from error
        finally:
            self._sequences.leave(visit, self._clock())
            if not visit.sequence.steps:
                self._locks.pop(visit.sequence, None)

    async def _acquire(self, lock: asyncio.Lock, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await lock.acquire()
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the request's deadline passed while it waited for the steps of its sequence before it, "
                f"which model '{self._model}' executed"
            ) from error
