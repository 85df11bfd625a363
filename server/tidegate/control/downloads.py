"""Models that are fetched: so many at once, the others in the order in which they were asked for. Each is a ServingJob.

Whoever fetches waits for his turn here, and says how far he is. It is written by a task per download, so that nobody
who fetches waits for the disk, and one that is given up is told of all the same: nothing for what is quickly done,
then at most once in a while, and its end. A failure is always told, the same one in a row once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from tidegate.control.job import State, download_name
from tidegate.control.jobs import LEFT, Jobs
from tidegate.control.services.settings import ServiceSettings
from tidegate.protocol.errors import InternalError, ShuttingDown, TidegateError, shown
from tidegate.resources.actuator import Progress
from tidegate.resources.document import Document
from tidegate.resources.revision import timestamp

log = logging.getLogger(__name__)
GIVEN_UP = "something else is asked for by now"


class Asked(NamedTuple):
    """Which model is fetched, for whom."""

    kind: str
    """Of the service."""
    namespace: str
    service: str
    request: str
    """``sha256:…`` of what is asked for (``resources.revision.request_of``)."""
    uri: str


class Download:
    """One of them, from when it was asked for until it has ended. Times are the clock's."""

    def __init__(self, asked: Asked, now: float) -> None:
        self.asked = asked
        self.since = now
        self.started: float | None = None
        self.place = 0
        self._state = State.WAITING
        self._message = ""
        self._progress = 0.0
        self._ended_at = 0.0
        self._ended = asyncio.Event()

    @property
    def state(self) -> State:
        return self._state

    def start(self, now: float) -> None:
        self.started, self.place, self._state = now, 0, State.RUNNING

    def report(self, share: float) -> None:
        """How much is done, from 0 to 1."""
        self._progress = max(self._progress, min(share, 1.0))

    def end(self, state: State, message: str, now: float) -> None:
        if state is State.SUCCEEDED:
            self._progress = 1.0
        self._state, self._message, self._ended_at, self.place = state, message, now, 0
        self._ended.set()

    async def ended_within(self, seconds: float) -> bool:
        """Wait until it has ended, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return self._ended.is_set()
        return True

    def status(self) -> Document:
        """As ``resources.serving_job`` has it."""
        told: Document = {"state": self._state.value, "message": self._message or self._told()}
        if self.place:
            told["place"] = self.place
        if self.started is not None:
            told |= {"progress": round(self._progress, 2), "startedAt": timestamp(self.started)}
        return told | ({"endedAt": timestamp(self._ended_at)} if self._state.ended else {})

    def _told(self) -> str:
        if self._state is State.WAITING:
            return "others are fetched before it"
        uri = shown(self.asked.uri, 300)
        return f"'{uri}' is {'kept' if self._state is State.SUCCEEDED else 'being fetched'}"


class Downloads:
    """Everything is called in one event loop. ``clock`` tells seconds since 1970."""

    def __init__(self, jobs: Jobs, settings: ServiceSettings, clock: Callable[[], float]) -> None:
        self._jobs = jobs
        self._settings = settings
        self._clock = clock
        self._going = 0
        self._line: deque[tuple[Download, asyncio.Future[None]]] = deque()
        self._names: set[tuple[str, str]] = set()
        """Namespace and name of the jobs that somebody writes."""
        self._tellers: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def turn(self, asked: Asked) -> AsyncIterator[Progress]:
        """Wait until it is this one's turn, and have it for the time of the block, whose end is the download's.

        Gives a function that is told, in the event loop, how much is done.
        """
        download = Download(asked, self._clock())
        self._tell(download)
        try:
            await self._wait(download)
            download.start(self._clock())
            try:
                yield download.report
            finally:
                self._pass_on()
        except asyncio.CancelledError:
            download.end(State.CANCELLED, LEFT if self._closing.is_set() else GIVEN_UP, self._clock())
            raise
        except Exception as error:
            known = error if isinstance(error, TidegateError) else InternalError()
            download.end(State.FAILED, known.message, self._clock())
            raise
        else:
            download.end(State.SUCCEEDED, "", self._clock())

    def close(self) -> None:
        """What is given up from now on is given up because the server ends."""
        self._closing.set()

    async def stop(self) -> None:
        """Return once the end of each that has ended was written, or cannot be."""
        self.close()
        if self._tellers:
            await asyncio.wait(self._tellers)

    async def _wait(self, download: Download) -> None:
        if self._going < self._settings.downloads_at_once:
            self._going += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((download, turn))
        download.place = len(self._line)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._line.remove((download, turn))
                self._count()
            else:  # it was given its turn in the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Somebody's turn is over."""
        for entry in self._line:
            if not entry[1].cancelled():  # who is takes himself out of the line, and has not yet
                self._line.remove(entry)
                self._count()
                entry[1].set_result(None)
                return
        self._going -= 1

    def _count(self) -> None:
        for place, (download, _) in enumerate(self._line, 1):
            download.place = place

    def _tell(self, download: Download) -> None:
        asked = download.asked
        named = (asked.namespace, download_name(asked.service, asked.request))
        if named in self._names:  # another track asks for the very same: it is one job
            return
        self._names.add(named)
        teller = asyncio.create_task(self._told(download, named), name=f"tell of {'/'.join(named)}")
        self._tellers.add(teller)
        teller.add_done_callback(self._tellers.discard)

    async def _told(self, download: Download, named: tuple[str, str]) -> None:
        try:
            seen = False
            if not await self._quick(download):
                seen = True
                await self._write(download, named)
                while not await download.ended_within(self._settings.job_interval):
                    await self._write(download, named)
            if seen or download.state is State.FAILED or self._jobs.is_there(*named):
                await self._write_end(download, named)
        finally:
            self._names.discard(named)

    async def _quick(self, download: Download) -> bool:
        """Whether it has ended before anybody can have missed it."""
        grace = self._settings.job_grace
        if await download.ended_within(grace):
            return True
        if download.started is None:
            return False
        return await download.ended_within(max(download.started + grace - self._clock(), 0.0))

    async def _write_end(self, download: Download, named: tuple[str, str]) -> None:
        failures = 0
        while not await self._write(download, named) and not self._closing.is_set():
            failures += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.pause(failures)):
                    await self._closing.wait()

    async def _write(self, download: Download, named: tuple[str, str]) -> bool:
        subject = {"kind": download.asked.kind, "name": download.asked.service}
        try:
            await self._jobs.write(*named, {"type": "download", "subject": subject}, download.status())
        except ShuttingDown:
            return True
        except TidegateError as error:
            log.warning("job %s/%s cannot be written: %s", *named, error.message)
            return False
        return True
