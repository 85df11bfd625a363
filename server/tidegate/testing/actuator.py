"""An Actuator that runs nothing: the test says which revisions become ready, fail, or lose replicas.

With ``starts_in`` and ``ends_in`` they do so by themselves, after so many seconds of the event loop's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tidegate.protocol.errors import ShuttingDown, TidegateError
from tidegate.resources.actuator import Phase, RevisionId, Standing, Workload


class FakeActuator:
    """Implements the Actuator. ``None`` for a time is: when the test says so."""

    def __init__(self, *, starts_in: float | None = None, ends_in: float | None = None) -> None:
        self.workloads: dict[RevisionId, Workload] = {}
        """What was asked to run and has not ended."""
        self.calls: list[tuple[str, RevisionId]] = []
        """``run`` and ``end``, in their order."""
        self.error: TidegateError | None = None
        """What every call raises."""
        self.broken: dict[str, str] = {}
        """Why revisions whose content has this digest fail when they start."""
        self.starts_in, self.ends_in = starts_in, ends_in
        self._standings: dict[RevisionId, Standing] = {}
        self._listeners: list[Callable[[str, str], None]] = []
        self._timers: dict[RevisionId, asyncio.TimerHandle] = {}

    # The port.

    async def run(self, workload: Workload) -> None:
        await self._turn()
        revision, before = workload.id, self.workloads.get(workload.id)
        self.calls.append(("run", revision))
        self.workloads[revision] = workload
        standing = self._standings.get(revision)
        ending = standing is not None and standing.phase is Phase.ENDING
        if standing is not None and before == workload and not ending:
            return
        asleep = workload.sleeps and workload.known if standing is None or ending else standing.asleep
        wakes = asleep and before is not None and workload.replicas > before.replicas * workload.sleeps
        most = max(workload.replicas, 1)
        ready = min(standing.ready, most) if standing is not None else 0
        if workload.sleeps and ready and not workload.replicas:
            ready, asleep = 0, True  # nobody uses what runs nowhere
        phase = Phase.READY if ready or asleep else Phase.STARTING
        if standing is not None and standing.phase is Phase.FAILED:
            phase = Phase.FAILED
        reason = "it sleeps" if asleep else ""
        if standing is not None and phase is Phase.FAILED:
            reason = standing.reason
        told = Standing(phase, ready, workload.replicas, reason, sleeps=workload.sleeps, asleep=asleep)
        self._stand(revision, told)
        if (wakes or not asleep) and ready < most and self.starts_in is not None:
            self._after(revision, self.starts_in, self._started)

    async def end(self, revision: RevisionId) -> None:
        await self._turn()
        self.calls.append(("end", revision))
        if revision not in self._standings:
            return
        standing = self._standings[revision]
        if standing.phase is Phase.ENDING:
            return
        self._stand(revision, Standing(Phase.ENDING, standing.ready, 0))
        if self.ends_in is not None:
            self._after(revision, self.ends_in, self.gone)

    async def observe(self, namespace: str, service: str) -> Mapping[int, Standing]:
        await self._turn()
        return self.standings(namespace, service)

    def subscribe(self, changed: Callable[[str, str], None]) -> None:
        self._listeners.append(changed)

    # What the test says.

    def standings(self, namespace: str, service: str) -> dict[int, Standing]:
        """What ``observe`` tells."""
        return {each.number: told for each, told in self._standings.items() if each[:2] == (namespace, service)}

    def ready(self, revision: RevisionId, replicas: int | None = None) -> None:
        """So many replicas take requests; all that are wanted without a number. 0: they are being started again."""
        workload = self.workloads[revision]
        most = max(workload.replicas, 1)
        count = most if replicas is None else min(replicas, most)
        phase = Phase.READY if count else Phase.STARTING
        self._stand(revision, Standing(phase, count, workload.replicas, sleeps=workload.sleeps))
        if workload.sleeps and count and not workload.replicas:
            self.sleep(revision)

    def sleep(self, revision: RevisionId) -> None:
        """Nobody has used it in a while. ``ready``: somebody asked for it."""
        workload = self.workloads[revision]
        assert workload.sleeps, f"{revision} is not one that sleeps"
        self._stand(revision, Standing(Phase.READY, 0, workload.replicas, "it sleeps", sleeps=True, asleep=True))

    def fail(self, revision: RevisionId, reason: str) -> None:
        """No replica takes requests."""
        workload = self.workloads[revision]
        self._stand(revision, Standing(Phase.FAILED, 0, workload.replicas, reason, sleeps=workload.sleeps))

    def gone(self, revision: RevisionId) -> None:
        """One that was ending has ended, or all that ran is lost."""
        del self._standings[revision], self.workloads[revision]
        self._cancel(revision)
        self.notify(revision.namespace, revision.service)

    def notify(self, namespace: str, service: str) -> None:
        """Tell the listeners of a service, whether or not anything changed."""
        for changed in self._listeners:
            changed(namespace, service)

    def close(self) -> None:
        """From now on every call is refused."""
        self.error = ShuttingDown()
        for revision in list(self._timers):
            self._cancel(revision)

    def _started(self, revision: RevisionId) -> None:
        if reason := self.broken.get(self.workloads[revision].resolved.digest):
            self.fail(revision, reason)
        else:
            self.ready(revision)

    async def _turn(self) -> None:
        """Let others run, as who waits for a process does."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    def _after(self, revision: RevisionId, seconds: float, then: Callable[[RevisionId], None]) -> None:
        self._timers[revision] = asyncio.get_running_loop().call_later(seconds, then, revision)

    def _cancel(self, revision: RevisionId) -> None:
        if (timer := self._timers.pop(revision, None)) is not None:
            timer.cancel()

    def _stand(self, revision: RevisionId, standing: Standing) -> None:
        self._cancel(revision)
        if self._standings.get(revision) != standing:
            self._standings[revision] = standing
            self.notify(revision.namespace, revision.service)
