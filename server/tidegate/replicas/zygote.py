"""One zygote as its gateway sees it: a process that forks workers of one kind, started, asked, and ended.

A forked worker is this process' child, as a spawned one is (``runtimes/sibling.py``), and tells its id on its lifeline.
So the zygote answers nothing; where it does not fork, or is gone, the lifeline ends instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping

import msgspec

from tidegate.runtimes.zygote import PID, Readiness, Request

_LARGEST = 1 << 16
_UNKNOWN = 255
"""A return code that nobody knows, as asyncio has it."""


class NotForked(Exception):
    """No worker has come of it; what was made for it is to be given back."""


class ForkedChild:
    """A forked worker, with what is used here of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has been waited for."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; returns its return code as ``subprocess`` has it, negative for a signal."""
        if self._code is None:
            try:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:  # somebody in this process has waited for any child
                self._code = _UNKNOWN
        return self._code


class Zygote:
    """``heard`` is called in the loop when this becomes ready, and when it has ended, with why it forks nothing ("" if
    nobody knows). ``environment`` is that of its workers.
    """

    def __init__(
        self, runtime: str, environment: Mapping[str, str], timeout: float, heard: Callable[[Zygote, str], None]
    ) -> None:
        self._runtime = runtime
        self._environment = environment
        self._timeout = timeout
        self._heard = heard
        self._process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.forked = 0

    def __repr__(self) -> str:
        return f"<Zygote {self.pid} of {self._runtime}>"

    @property
    def pid(self) -> int | None:
        """Its process id, None while there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, and go on. Called in the loop.

        Raises:
            OSError: no process or descriptor could be had.
        """
        self._loop = asyncio.get_running_loop()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.callback(self._channel.close)
            with theirs:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-m", "tidegate.runtimes.zygote"),
                        *("--runtime", self._runtime, "--channel", str(theirs.fileno())),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    env=self._environment,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            undo.pop_all()
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel, self._read)

    async def fork(
        self, arguments: tuple[str, ...], ours: socket.socket, theirs: socket.socket, output: int
    ) -> ForkedChild:
        """Have a worker forked that is told ``arguments``, with the lifeline ``ours`` to ``theirs``, which is closed
        here, and with ``output`` for what it writes.

        Raises:
            NotForked: there is no worker, or none any more.
        """
        message = msgspec.json.encode(Request(arguments))
        try:
            socket.send_fds(self._channel, [message], [theirs.fileno(), output])
        except OSError as error:
            raise NotForked(f"it takes nothing: {error}") from error
        finally:
            theirs.close()  # from here on the lifeline ends with the zygote's end of it, and the worker's
        ours.setblocking(False)
        try:
            async with asyncio.timeout(self._timeout):
                told = await self._loop.sock_recv(ours, PID)
        except TimeoutError as error:
            self._give_up(ours)
            raise NotForked(f"it took longer than {self._timeout:g} s") from error
        except asyncio.CancelledError:  # the loop is being closed
            self._give_up(ours)
            raise
        except OSError as error:
            raise NotForked(f"the lifeline broke: {error}") from error
        if len(told) < PID:
            raise NotForked("it could not, or is gone")
        self.forked += 1
        return ForkedChild(int.from_bytes(told, "big"))

    def close(self) -> None:
        """End it now; its workers go on. A second call does nothing."""
        if self._process is None:
            return
        self.ready = False
        if not self._loop.is_closed():
            self._loop.remove_reader(self._channel)
        self._channel.close()
        self._process.kill()
        self._process.wait()
        self._process = None

    def _read(self) -> None:
        """It is ready, or will not be; or it has ended."""
        try:
            message = self._channel.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self.close()
            self._heard(self, "")
            return
        refusal = msgspec.json.decode(message, type=Readiness).refusal
        if refusal:
            self.close()
        else:
            self.ready = True
        self._heard(self, refusal)

    def _give_up(self, ours: socket.socket) -> None:
        """End the zygote, and the worker if there is one: with the zygote gone, the lifeline tells or ends."""
        self.close()
        self._heard(self, "")
        ours.setblocking(True)
        told = ours.recv(PID)
        if len(told) == PID:
            child = ForkedChild(int.from_bytes(told, "big"))
            child.kill()
            child.wait()
