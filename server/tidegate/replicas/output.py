"""A worker's standard error on its way: into the log of its replica, and to the standard error of this process.

It is read in the event loop, a bounded piece per turn, so that a worker that floods takes no more than its turn. Where
our own standard error takes nothing, because whoever reads it does not, the worker is not read for a moment, as if it
wrote there itself; after that moment what does not fit is left out there, and still kept in the log.
"""

from __future__ import annotations

import asyncio
import os
import select
import time

from tidegate.replicas.log import ReplicaLog

_PIECE = 64 << 10
"""Bytes per turn of the loop: what a pipe holds."""
_REST = 16
"""Pieces that are still read when the worker has ended. More can only be written by what it left behind."""
_ATOMIC = 4096
"""Bytes that a pipe takes at once where it can be written to at all (PIPE_BUF)."""
_PAUSE = 0.05
"""Seconds between two looks at whether standard error takes something again."""
_PATIENCE = 20
"""Looks in a row, then what does not fit is left out: no worker waits for ever because nobody reads."""


class Output:
    """The reading end of a worker's pipe. ``ours`` is the descriptor that everything is passed on to.

    Raises:
        OSError: there is no descriptor left.
    """

    def __init__(self, log: ReplicaLog, ours: int = 2) -> None:
        self._log = log
        self._ours = ours
        self._end, self.theirs = os.pipe()
        os.set_blocking(self._end, False)
        self._waiting = b""
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Read from now on. The worker has its end, and ours of it is closed."""
        self._give_away()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._read)

    def close(self) -> None:
        """The worker is gone: read what it left, and close. A second call does nothing."""
        self._give_away()
        if self._end < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(_REST):
            if not (data := self._piece()):
                break
            self._waiting += data
        self._pass_on()
        self._log.finish(time.time())
        self._stop()

    def _read(self) -> None:
        data = self._piece()
        if data is None:
            return
        if not data:  # closed by the worker, which may go on without it
            self.close()
            return
        self._waiting += data
        self._pass_on()
        if self._waiting:
            self._looks = 0
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._end)
            self._timer = loop.call_later(_PAUSE, self._look)

    def _look(self) -> None:
        self._pass_on()
        self._looks += 1
        loop = asyncio.get_running_loop()
        if self._waiting and self._looks < _PATIENCE:
            self._timer = loop.call_later(_PAUSE, self._look)
            return
        self._waiting = b""
        self._timer = None
        loop.add_reader(self._end, self._read)

    def _piece(self) -> bytes | None:
        """Some of what has come, kept in the log; empty at the end, None where nothing has come."""
        try:
            data = os.read(self._end, _PIECE)
        except BlockingIOError:
            return None
        self._log.write(data, time.time())
        return data

    def _pass_on(self) -> None:
        """Write as much as is taken without waiting. Who has no standard error, or a broken one, misses nothing."""
        try:
            poll = select.poll()
            poll.register(self._ours, select.POLLOUT)
            while self._waiting:
                state = sum(state for _, state in poll.poll(0))
                if not state & select.POLLOUT:
                    self._waiting = b"" if state else self._waiting
                    return
                self._waiting = self._waiting[os.write(self._ours, self._waiting[:_ATOMIC]) :]
        except OSError:
            self._waiting = b""

    def _stop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._end)
        os.close(self._end)
        self._end = -1

    def _give_away(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1
