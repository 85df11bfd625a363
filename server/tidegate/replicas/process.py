"""One worker process: how it is started, told to end, and cleaned up after, however it ends.

The worker is the leader of a session of its own, so that what its model starts ends with it. Its end is seen through a
pidfd, so no signal handler is needed and no other child of this process is ever waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

from tidegate.replicas.directory import PrivateDirectory
from tidegate.replicas.environment import worker_environment
from tidegate.replicas.log import Log, ReplicaLog
from tidegate.replicas.output import Output
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.zygote import ForkedChild, Zygote


class WorkerEnded(Exception):
    """The worker ended, or closed its end, before it listened."""


class WorkerProcess:
    """``threads`` is the number of intra-operation threads, 0 for the framework's own choice; ``log`` keeps what it
    writes.
    """

    def __init__(self, settings: ReplicaSettings, threads: int, log: ReplicaLog | None = None) -> None:
        self._settings = settings
        self._threads = threads
        self._log = log or Log().replica()

        self._child: subprocess.Popen[bytes] | ForkedChild

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.pid}>"

    @property
    def pid(self) -> int:
        return self._child.pid

    def start(self) -> None:
        """Start the process. Called in the loop; ``exited`` is a future of its return code from here on.

        Raises:
            OSError: no process, descriptor or directory could be had.
        """
        with self._prepared() as theirs:
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "tidegate.runtimes.worker", *self._arguments()),
                    *("--lifeline", str(theirs.fileno())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._output.theirs,
                stderr=self._output.theirs,
                env=worker_environment(os.environ, self._threads),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
            self._begin()

    async def fork(self, zygote: Zygote) -> None:
        """The same, out of a zygote of its runtime and threads. After it has raised, ``start`` may still be called.

        Raises:
            NotForked: nothing has come of it.
            OSError: no descriptor or directory could be had.
        """
        with self._prepared() as theirs:
            self._child = await zygote.fork(self._arguments(), self._lifeline, theirs, self._output.theirs)
            self._begin()

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[socket.socket]:
        """What a process needs, and the worker's end of its lifeline; given back where there comes no process of it."""
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        with contextlib.ExitStack() as undo:
            self._directory = PrivateDirectory.make(self._settings.directory)
            undo.callback(self._directory.remove)
            self._output = Output(self._log)
            undo.callback(self._output.close)
            self._lifeline, theirs = socket.socketpair()
            undo.callback(self._lifeline.close)
            with theirs:
                yield theirs
            undo.pop_all()

    def _begin(self) -> None:
        """There is a process: see its end, and read what it writes."""
        try:
            self._watch()
            self._output.start()
        except BaseException:
            self._child.kill()
            self._child.wait()
            raise

    async def connect(self) -> socket.socket:
        """Wait until the worker listens, and connect to it.

        Raises:
            WorkerEnded: it ended before.
        """
        self._lifeline.setblocking(False)
        try:
            told = await self._loop.sock_recv(self._lifeline, 1)
        except OSError:
            told = b""
        if not told:
            raise WorkerEnded
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.connect(self._directory.address)  # it listens, so this does not wait
        except OSError as error:
            connected.close()
            raise WorkerEnded from error
        return connected

    def terminate(self) -> None:
        """Ask it to finish what it has and to end."""
        self._signal(signal.SIGTERM)

    def abort(self) -> None:
        """Let it write to its log where it stands, and end, if it still can."""
        self._signal(signal.SIGABRT)

    def kill(self) -> None:
        """End it and what it has started, now; ``end`` is still to be called."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)

    async def end(self) -> int:
        """End it and what it has started, now; returns its return code once it and its directory are gone."""
        self.kill()
        code = await asyncio.shield(self.exited)
        self._clean()
        return code

    def destroy(self) -> None:
        """The same, blocking, for a loop that is being closed: nothing is awaited there. After ``end``, nothing."""
        self.kill()
        self._ended()
        self._clean()

    def _signal(self, number: signal.Signals) -> None:
        if not self.exited.done():
            self._child.send_signal(number)

    def _arguments(self) -> tuple[str, ...]:
        """What a worker is told, but for its lifeline."""
        settings = self._settings
        return (
            *("--socket", str(self._directory.socket)),
            # Later than the gateway's own patience: it is for a worker whose gateway is gone.
            *("--hang-timeout", str(settings.hang_timeout * 2)),
            *("--load-timeout", str(settings.load_timeout * 2)),
            *("--memory-limit", str(settings.memory_limit)),
        )

    def _watch(self) -> None:
        if sys.platform == "linux":
            self._pidfd = os.pidfd_open(self._child.pid)
            self._loop.add_reader(self._pidfd, self._ended)
        else:
            threading.Thread(target=self._wait, name="worker exit", daemon=True).start()

    def _wait(self) -> None:
        self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        """The process is dead. On Linux it is not reaped yet, so its number cannot be anybody else's group."""
        if self.exited.done():
            return
        self.kill()  # what it had started
        if sys.platform == "linux":
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        self.exited.set_result(self._child.wait())

    def _clean(self) -> None:
        self._output.close()
        self._lifeline.close()
        self._directory.remove()


def exit_text(code: int) -> str:
    """A return code in words."""
    if code >= 0:
        return f"its worker exited with status {code}"
    try:
        return f"its worker was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"its worker was killed by signal {-code}"
