"""One replica: a worker process that is started, watched, and started again when it ends.

A task of its own lives one life of the worker after the other. What ends a life comes to one place, a future: the
process exits, the channel breaks, the vigil gives a verdict, somebody calls ``stop``. Then the process is killed, the
requests that it had go back to the dispatcher, and the table in ``lifecycle`` says what is next.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, ModelNotReady, TidegateError
from tidegate.replicas.connection import Connection
from tidegate.replicas.dispatch import Dispatcher
from tidegate.replicas.lifecycle import Event, State, after, backoff, crash_looping, failures_in_row
from tidegate.replicas.log import Log
from tidegate.replicas.process import WorkerEnded, WorkerProcess, exit_text
from tidegate.replicas.readiness import Readiness
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.vigil import Vigil
from tidegate.replicas.zygote import NotForked
from tidegate.replicas.zygotes import Kind, Zygotes
from tidegate.runtimes.frames import ChannelBroken, FrameTooLarge, Load
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import RevisionMetrics

log = logging.getLogger(__name__)

T = TypeVar("T")

_LAST_SECONDS = 1.0
"""For a hanging worker to write where it hangs, and for one whose channel broke to end by itself, if that is why."""


class Ending(msgspec.Struct, frozen=True):
    """Why a life of the worker ended: a word for the metrics, words for people, and the model's own refusal."""

    reason: str
    text: str
    refusal: ModelLoadFailed | None = None


class Ended(Exception):
    """Leaves a step of a life that has ended meanwhile."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.text)
        self.ending = ending


_STOP = Ending("stop", "it is being stopped")
_VERDICTS = {
    "hang": "its worker gave no sign of life",
    "execution_timeout": "an execution took longer than it may",
    "leave": "its worker was told to end, and did not",
}


_MEANWHILE = {State.STARTING: " while it started", State.LOADING: " while it loaded"}


class Replica:
    """A worker for one artifact, read by the runtime of this name; spawned where there are no ``zygotes``."""

    def __init__(
        self,
        artifact: Artifact,
        runtime: str,
        settings: ReplicaSettings,
        dispatcher: Dispatcher,
        metrics: RevisionMetrics,
        on_change: Callable[[], None],
        log: Log,
        zygotes: Zygotes | None = None,
    ) -> None:
        self._artifact = artifact
        self._runtime = runtime
        self._settings = settings
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._on_change = on_change
        self._zygotes = zygotes
        self._kind = Kind(runtime, artifact.threads)
        self.log = log.replica()
        self._process: WorkerProcess | None = None
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._hurry: asyncio.Future[None] | None = None
        self._last = ""
        self._ready_at: float | None = None
        self._loadable = asyncio.Event()
        self.state = State.STOPPED
        self.failures = 0
        self.restarts = 0
        self.refusal: ModelLoadFailed | None = None

    def __repr__(self) -> str:
        return f"<Replica of {self._artifact.name}, {self.state}, {self.restarts} restarts>"

    @property
    def name(self) -> str:
        """The model's."""
        return self._artifact.name

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def inflight(self) -> int:
        """Requests at the worker."""
        return 0 if self._connection is None else self._connection.inflight

    @property
    def sequences(self) -> int:
        """Sequences whose state the worker keeps."""
        return 0 if self._connection is None else self._dispatcher.sequences_at(self._connection)

    @property
    def crash_looping(self) -> bool:
        return crash_looping(self.failures, self._settings)

    @property
    def hopeless(self) -> ModelNotReady | None:
        """What to answer instead of waiting for this replica; None while it is worth waiting for."""
        if self.refusal is not None:
            return ModelNotReady(self._artifact.name, self.refusal.message)
        if self.crash_looping and self.state is not State.READY:
            pause = backoff(self.failures, self._settings)
            return ModelNotReady(self._artifact.name, self.readiness.reason, retry_after=max(1.0, pause))
        return None

    @property
    def readiness(self) -> Readiness:
        if self.state is State.READY:
            return Readiness(True)
        if self.refusal is not None:
            return Readiness(False, self.refusal.message)
        if self.crash_looping:
            return Readiness(False, f"it failed {self.failures} times in a row; the last time {self._last}")
        if self._last and self.state in (State.BACKING_OFF, State.STARTING, State.LOADING):
            return Readiness(False, f"it is being started again: {self._last}")
        return Readiness(False, f"it is {self.state}")

    def relocate(self, path: Path) -> None:
        """Load the artifact from here; before ``start``."""
        self._artifact = msgspec.structs.replace(self._artifact, path=path)

    def give_up(self, refusal: ModelLoadFailed) -> None:
        """There is nothing to load: requests are answered with the reason. Instead of ``start``."""
        self.refusal = refusal
        self._on_change()

    def try_again(self) -> None:
        """Another replica has loaded the model, so that what refused it here may pass."""
        self._loadable.set()

    def start(self) -> None:
        """Start the worker, and keep it going until ``stop`` or ``leave``."""
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._enter(Event.START)
        self._task = asyncio.create_task(self._run(), name=f"replica of {self._artifact.name}")

    async def stop(self) -> None:
        """Let the worker finish what it has, and end it. Does nothing where it was never started.

        Cancelling this leaves the end to go on by itself.
        """
        if self._hurry is not None and not self._hurry.done():
            self._hurry.set_result(None)
        await self._stop()

    async def leave(self) -> None:
        """The same, but others go on: what it has gets the time that an execution may take. ``stop`` shortens that."""
        if not self._stopping:
            self._hurry = asyncio.get_running_loop().create_future()
        await self._stop()

    async def _stop(self) -> None:
        self._stopping = True
        if self._task is not None:
            self._end(_STOP)
            await asyncio.shield(self._task)

    def kill(self) -> None:
        """End the worker with all that it has; ``stop``, called before or after, returns as soon as it is gone."""
        self._stopping = True
        if self._task is not None:
            self._end(_STOP)
        if self._process is not None:
            self._process.kill()

    async def _run(self) -> None:
        while True:
            ending = await self._live()
            if self._stopping:
                break
            event = Event.LOST
            if ending.refusal is not None and not self._known:
                self._refuse(ending.refusal)
                await self._until_loadable()
                if self._stopping:
                    break
                self.refusal, event = None, Event.LOADABLE
            self._count(ending)
            self._enter(event)
            pause = backoff(self.failures, self._settings)
            log.warning("model %s: %s; starting again in %.1f s", self._artifact.name, ending.text, pause)
            await asyncio.wait({self._ended}, timeout=pause)
            if self._stopping:
                break
            self.restarts += 1
            self._metrics.restarted(ending.reason)
            self._enter(Event.RETRY)
        if self.state not in (State.BACKING_OFF, State.FAILED, State.DRAINING):
            self._enter(Event.STOP)  # the life ended by itself in the very moment of the stop
        self._enter(Event.LOST if self.state is State.DRAINING else Event.STOP)

    @property
    def _known(self) -> bool:
        """Whether the model is one that can be loaded."""
        return self._settings.loaded_before or self._dispatcher.metadata is not None

    async def _until_loadable(self) -> None:
        """Return once another replica has loaded the model, or this one is to stop."""
        loadable = asyncio.create_task(self._loadable.wait())
        either: list[asyncio.Future[Any]] = [loadable, self._ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        loadable.cancel()
        await asyncio.wait({loadable})

    async def _live(self) -> Ending:
        """One life of the worker, from its start until nothing of it is left."""
        self._ready_at = None
        try:
            process = await self._begin()
        except OSError as error:
            return Ending("start", f"its worker cannot be started: {error}")
        self._process = process
        process.exited.add_done_callback(self._exited)
        try:
            ending = await self._end_of(process, await self._serve(process))
        finally:
            process.destroy()  # there is nothing left to do, unless this task was cancelled: its loop is being closed
            self._process = None
            if self._connection is not None:
                self._vigil.stop()
                self._connection.abandon()
                self._dispatcher.lost(self._connection)
        if not self._stopping:
            self._ended = asyncio.get_running_loop().create_future()  # what is awaited now is the end of the next life
        return ending

    async def _begin(self) -> WorkerProcess:
        """A worker that has been started: forked where there is a zygote of its kind, or spawned.

        Raises:
            OSError: no process, descriptor or directory could be had.
        """
        process = WorkerProcess(self._settings, self._artifact.threads, self.log)
        method = self._settings.start_method
        zygote = None if self._zygotes is None else self._zygotes.take(self._kind, method)
        if zygote is not None:
            try:
                await process.fork(zygote)
                return process
            except NotForked as error:
                log.warning("model %s: its worker is spawned, the zygote forks none: %s", self._artifact.name, error)
        process.start()
        return process

    async def _serve(self, process: WorkerProcess) -> Ending:
        """Connect, load, and let requests come; returns why that is over. The worker may live on."""
        try:
            connection = await self._connect(process)
            await self._load(connection)
            if self._stopping:  # both in the same turn of the loop: it must not take requests again
                raise Ended(_STOP)
            self._ready(connection)
            ending = await self._ended
            if ending is _STOP:
                await self._drain(process, connection)
        except Ended as ended:
            ending = ended.ending
            if ending is _STOP:
                self._enter(Event.STOP)
        except OSError as error:  # no descriptor left for a socket: as good as a worker that did not start
            ending = Ending("start", f"its worker cannot be reached: {error}")
        return ending

    async def _end_of(self, process: WorkerProcess, ending: Ending) -> Ending:
        """End the process, whatever it does. Where its own end was the cause, that is what is returned."""
        broken = ending.reason == "channel"
        if ending.reason in _VERDICTS:
            process.abort()
        if ending.reason in _VERDICTS or broken:
            await asyncio.wait({process.exited}, timeout=_LAST_SECONDS)
        by_itself = process.exited.done()
        code = await process.end()
        if broken and (by_itself or code != -signal.SIGKILL):
            return self._exit(code)  # its channel was only the first to tell
        return ending

    async def _connect(self, process: WorkerProcess) -> Connection:
        settings = self._settings
        connected = await self._step(process.connect(), settings.start_timeout, "start")
        connection = Connection(settings, self._dispatcher, self._wake)
        self._vigil = Vigil(connection, settings, lambda found: self._end(Ending(found, _VERDICTS[found])))
        connection.open(connected, self._broken)
        self._connection = connection
        self._enter(Event.CONNECTED)
        return connection

    async def _load(self, connection: Connection) -> None:
        artifact = self._artifact
        load = Load(
            self._runtime,
            artifact.name,
            artifact.version,
            str(artifact.path.absolute()),
            artifact.trusted,
            artifact.threads,
            dict(artifact.options),
            artifact.inputs,
            artifact.outputs,
            artifact.device,
            artifact.warm_up,
        )
        try:
            loaded = await self._step(connection.load(load), self._settings.load_timeout, "load")
            self._dispatcher.describe(loaded.metadata)
        except ModelLoadFailed as error:
            raise Ended(Ending("load", f"its model cannot be loaded: {error.message}", error)) from error
        except (TidegateError, ChannelBroken, FrameTooLarge, UnicodeEncodeError) as error:
            raise Ended(Ending("load", f"its model cannot be loaded: {error}")) from error
        self._metrics.load_seconds.observe(loaded.seconds)

    async def _step(self, step: Coroutine[Any, Any, T], seconds: float, name: str) -> T:
        """Run one step of a life, unless the life ends before it or it takes too long."""
        task = asyncio.create_task(step)
        either: list[asyncio.Future[Any]] = [task, self._ended]
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled() and not isinstance(task.exception(), WorkerEnded):
            return task.result()
        if not self._ended.done() and task.cancelled():
            raise Ended(Ending(f"{name}_timeout", f"its worker took longer than {seconds:g} s to {name}"))
        await asyncio.wait({self._ended}, timeout=self._settings.stop_timeout)
        raise Ended(self._ended.result() if self._ended.done() else Ending("start", "its worker does not listen"))

    def _ready(self, connection: Connection) -> None:
        self._ready_at = asyncio.get_running_loop().time()
        self._enter(Event.LOADED)
        self._dispatcher.attach(connection)
        if self._zygotes is not None:
            self._zygotes.worker_ready(self._kind, self._settings.start_method)

    async def _drain(self, process: WorkerProcess, connection: Connection) -> None:
        """Let the worker answer what it has, then let it close its model; not for ever."""
        self._enter(Event.STOP)
        self._dispatcher.detach(connection)
        idle = asyncio.create_task(connection.drained())
        either: list[asyncio.Future[Any]] = [idle, process.exited]
        if self._hurry is not None:
            patience = self._settings.execution_timeout
            await asyncio.wait([*either, self._hurry], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(either, timeout=self._settings.stop_timeout, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        process.terminate()
        await asyncio.wait({process.exited}, timeout=self._settings.stop_timeout)

    def _refuse(self, refusal: ModelLoadFailed) -> None:
        """The model cannot be loaded, and trying again would change nothing, for it never was."""
        self.refusal = refusal
        log.debug("model %s cannot be loaded: %s", self._artifact.name, refusal.message)  # ``wait_ready`` tells it
        self._enter(Event.REFUSED)

    def _count(self, ending: Ending) -> None:
        self._last = ending.text
        now = asyncio.get_running_loop().time()
        ready_for = 0.0 if self._ready_at is None else now - self._ready_at
        answered = 0 if self._connection is None else self._connection.answered
        self.failures = failures_in_row(self.failures, self._settings, ready_for=ready_for, answered=answered)
        self._connection = None

    def _wake(self) -> None:
        self._vigil.wake()

    def _exited(self, exited: asyncio.Future[int]) -> None:
        self._end(self._exit(exited.result()))

    def _broken(self, error: ChannelBroken) -> None:
        self._end(Ending("channel", f"its worker's channel broke{_MEANWHILE.get(self.state, '')}: {error}"))

    def _exit(self, code: int) -> Ending:
        return Ending("exit", exit_text(code) + _MEANWHILE.get(self.state, ""))

    def _end(self, ending: Ending) -> None:
        """Whatever comes first ends the life; a stop is never forgotten, though."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def _enter(self, event: Event) -> None:
        self.state = after(self.state, event)
        self._on_change()
