"""The replicas of one revision, and what they are together: ready if one of them is, hopeless if all of them are.

Their number may change while requests flow. One that is added takes batches once it is ready. One that goes takes no
more, finishes what it has, and ends; the sequences that it keeps are lost with it, as if it had died, which is why
those that keep none go first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, ShuttingDown
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.lifecycle import State
from tidegate.replicas.log import Log
from tidegate.replicas.readiness import Readiness
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.sizing import Candidate, leaving
from tidegate.replicas.supervisor import Replica
from tidegate.replicas.zygotes import Zygotes
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import RevisionMetrics


class Pool:
    """Workers for one artifact, read by the runtime of this name; ``settings.replicas`` of them at first."""

    def __init__(
        self,
        artifact: Artifact,
        runtime: str,
        settings: ReplicaSettings,
        dispatcher: Dispatcher,
        metrics: RevisionMetrics,
        log: Log,
        zygotes: Zygotes | None = None,
    ) -> None:
        self._artifact = artifact
        self._runtime = runtime
        self._settings = settings
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._log = log
        self._zygotes = zygotes
        self._running = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._watcher: Callable[[], None] | None = None
        self._leaving: dict[asyncio.Task[None], Replica] = {}
        self.replicas = [self._replica() for _ in range(settings.replicas)]
        """Those that are to be there. One that goes is none of them any more."""

    def __repr__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.states.items())
        return f"<Pool {states}>"

    @property
    def every(self) -> tuple[Replica, ...]:
        """Those that are to be there, and those that are going."""
        return (*self.replicas, *self._leaving.values())

    @property
    def states(self) -> Counter[str]:
        """How many replicas are in each state, those that are going among them."""
        return Counter(replica.state.value for replica in self.every)

    @property
    def ready(self) -> int:
        """How many replicas take requests."""
        return sum(replica.state is State.READY for replica in self.replicas)

    @property
    def readiness(self) -> Readiness:
        if self.ready:
            return Readiness(True)
        hopeful = (replica for replica in self.replicas if replica.hopeless is None)
        return next(hopeful, self.replicas[0]).readiness

    @property
    def refusal(self) -> ModelLoadFailed | None:
        """The model's own words if none of the replicas will ever load it."""
        refusals = [replica.refusal for replica in self.replicas]
        return refusals[0] if all(refusals) else None

    @property
    def hopeless(self) -> ModelNotReady | None:
        """What to answer instead of letting a request wait; None while one of the replicas is worth waiting for."""
        answers = [replica.hopeless for replica in self.replicas]
        return answers[0] if all(answers) else None

    async def changed(self) -> None:
        """Return after the next change of a replica's state."""
        await self._changed.wait()

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called whenever a replica's state has changed, at once."""
        self._watcher = changed

    def relocate(self, path: Path) -> None:
        """Load the artifact from here; before ``start``."""
        self._artifact = msgspec.structs.replace(self._artifact, path=path)
        for replica in self.replicas:
            replica.relocate(path)

    def give_up(self, refusal: ModelLoadFailed) -> None:
        """There is nothing to load; instead of ``start``."""
        for replica in self.replicas:
            replica.give_up(refusal)

    async def start(self) -> None:
        """Start all replicas, and keep them going until ``stop``."""
        self._running = True
        for replica in self.replicas:
            replica.start()

    def resize(self, count: int) -> None:
        """Have so many replicas, at least 1, from now on; before ``start``, from then on. Nobody waits for it.

        Those that are added begin with the artifact's threads, as all did: how many that is was decided for the number
        at the start.
        """
        if self._stopping:
            return
        refusal = self.refusal
        missing = count - len(self.replicas)
        for _ in range(missing):
            replica = self._replica()
            self.replicas.append(replica)
            if self._running:
                replica.start()
            elif refusal is not None:
                replica.give_up(refusal)
        if missing < 0:
            self._take_away(-missing)
        self._on_change()

    async def stop(self) -> None:
        """Refuse what waits, let the replicas finish what they have, and end them."""
        self._refuse_all()
        await asyncio.gather(*(replica.stop() for replica in self.every))
        while self._leaving:
            await asyncio.wait(list(self._leaving))

    def kill(self) -> None:
        """End the replicas with all that they have."""
        self._refuse_all()
        for replica in self.every:
            replica.kill()

    def _replica(self) -> Replica:
        return Replica(
            self._artifact,
            self._runtime,
            self._settings,
            self._dispatcher,
            self._metrics,
            self._on_change,
            self._log,
            self._zygotes,
        )

    def _take_away(self, count: int) -> None:
        candidates = [
            Candidate(replica.state is State.READY, replica.sequences, replica.inflight) for replica in self.replicas
        ]
        going = [self.replicas[index] for index in leaving(candidates, count)]
        self.replicas = [replica for replica in self.replicas if replica not in going]
        for replica in going:
            task = asyncio.create_task(replica.leave(), name=f"a replica of {replica.name} leaves")
            self._leaving[task] = replica
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._log.drop(self._leaving.pop(task).log)

    def _refuse_all(self) -> None:
        self._stopping = True
        self._dispatcher.refuse(ShuttingDown)

    def _on_change(self) -> None:
        self._metrics.answers(bool(self.ready))
        if not self._stopping:
            self._dispatcher.refuse(None if self.hopeless is None else self._refusal)
        if self.ready:
            for replica in self.replicas:
                if replica.state is State.FAILED:
                    replica.try_again()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self._watcher is not None:
            self._watcher()

    def _refusal(self) -> ModelNotReady:
        return self.hopeless or ModelNotReady(self._artifact.name, self.readiness.reason, retry_after=1.0)
