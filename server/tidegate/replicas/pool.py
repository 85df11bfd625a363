"""The replicas of one revision, and what they are together: ready if one of them is, hopeless if all of them are."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, ShuttingDown
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.lifecycle import State
from tidegate.replicas.readiness import Readiness
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.supervisor import Replica
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import RevisionMetrics


class Pool:
    """``settings.replicas`` workers for one artifact, read by the runtime of this name."""

    def __init__(
        self,
        artifact: Artifact,
        runtime: str,
        settings: ReplicaSettings,
        dispatcher: Dispatcher,
        metrics: RevisionMetrics,
    ) -> None:
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._stopping = False
        self._changed = asyncio.Event()
        self.replicas = tuple(
            Replica(artifact, runtime, settings, dispatcher, metrics, self._on_change) for _ in range(settings.replicas)
        )

    def __repr__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.states.items())
        return f"<Pool {states}>"

    @property
    def states(self) -> Counter[str]:
        """How many replicas are in each state."""
        return Counter(replica.state.value for replica in self.replicas)

    @property
    def readiness(self) -> Readiness:
        if any(replica.state is State.READY for replica in self.replicas):
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

    def relocate(self, path: Path) -> None:
        """Load the artifact from here; before ``start``."""
        for replica in self.replicas:
            replica.relocate(path)

    def give_up(self, refusal: ModelLoadFailed) -> None:
        """There is nothing to load; instead of ``start``."""
        for replica in self.replicas:
            replica.give_up(refusal)

    async def start(self) -> None:
        """Start all replicas, and keep them going until ``stop``."""
        for replica in self.replicas:
            await replica.start()

    async def stop(self) -> None:
        """Refuse what waits, let the replicas finish what they have, and end them."""
        self._refuse_all()
        await asyncio.gather(*(replica.stop() for replica in self.replicas))

    def kill(self) -> None:
        """End the replicas with all that they have."""
        self._refuse_all()
        for replica in self.replicas:
            replica.kill()

    def _refuse_all(self) -> None:
        self._stopping = True
        self._dispatcher.refuse(ShuttingDown)

    def _on_change(self) -> None:
        ready = any(replica.state is State.READY for replica in self.replicas)
        self._metrics.ready.set(ready)
        if not self._stopping:
            self._dispatcher.refuse(None if self.hopeless is None else self._refusal)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _refusal(self) -> ModelNotReady:
        return self.hopeless or ModelNotReady(self.replicas[0].name, self.readiness.reason, retry_after=1.0)
