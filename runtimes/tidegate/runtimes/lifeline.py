"""What ends a worker whose gateway is gone, however that ended.

The gateway holds the other end of a socket pair and nobody else does, so the end of the gateway, SIGKILL included,
is the end of this stream. A thread of its own waits for it: it wakes while the model computes, too. A model that
holds the interpreter's lock for ever stops this thread as well; ``watchdog`` ends that one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path


class Lifeline:
    """The worker's end. ``path`` is the socket that the worker listens on, in a directory made for it alone."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    def start(self) -> None:
        """Tell the gateway that the socket listens, and watch from now on."""
        os.set_inheritable(self._descriptor, False)
        stream = socket.socket(fileno=self._descriptor)
        with contextlib.suppress(OSError):  # the gateway is gone already: the watch begins with the end
            stream.sendall(b"\n")
        threading.Thread(target=self._watch, args=(stream,), name="lifeline", daemon=True).start()

    def _watch(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while stream.recv(64):
                pass
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()
        if os.getpgrp() == os.getpid():  # what the model started goes along; never the group of somebody's shell
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)
