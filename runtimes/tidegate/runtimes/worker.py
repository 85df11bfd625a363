"""The worker process: ``python -P -m tidegate.runtimes.worker --socket PATH``.

It holds models and runs them for the gateways that connect to its socket. A gateway that starts one keeps a lifeline
to it; started by hand, without one, it runs until SIGTERM. What a model prints reaches no protocol: stdout is stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tidegate.runtimes.address import socket_address
from tidegate.runtimes.host import Host
from tidegate.runtimes.lifeline import Lifeline

_BACKLOG = 16


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What a worker can be told. The gateway writes this line; people rarely do."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.runtimes.worker", description="A model worker.")
    parser.add_argument(
        "--socket", type=Path, required=True, help="Unix socket to listen on, in a directory of its own"
    )
    parser.add_argument("--lifeline", type=int, default=-1, help="descriptor of the stream whose end ends the worker")
    parser.add_argument(
        "--hang-timeout", type=float, default=60.0, help="seconds after which a stuck interpreter exits"
    )
    parser.add_argument("--load-timeout", type=float, default=1200.0, help="the same while a model is loaded")
    parser.add_argument("--memory-limit", type=int, default=0, help="bytes of private memory, 0 for no limit")
    return parser.parse_args(argv)


def listen(path: Path, directory: int) -> socket.socket:
    """A listening Unix socket that only this user can connect to; ``directory`` is its directory, open.

    Raises:
        OSError: the path is taken.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(socket_address(path, directory))
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener


def prepare_process(memory_limit: int) -> None:
    """Settle what concerns the process as a whole, before any model is loaded."""
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the gateway decides what it means
    # Where it stands, when it crashes or when a gateway that waits in vain aborts it; but no core of user data.
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit:
        # Private writable memory. RLIMIT_AS would count what frameworks only reserve, and shared memory twice.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="worker %(process)d: %(levelname)s %(message)s")


async def serve(host: Host) -> None:
    """Serve until SIGTERM, and what was taken until then is answered."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, host.drain)
    await host.serve()


def main(argv: Sequence[str] | None = None) -> None:
    """Run a worker; does not return."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    prepare_process(options.memory_limit)
    directory = os.open(options.socket.parent, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)  # who sweeps up stale directories leaves this one alone
    listener = listen(options.socket, directory)
    if options.lifeline >= 0:
        Lifeline(options.lifeline, options.socket).start()
    asyncio.run(serve(Host(listener, options.hang_timeout, options.load_timeout)))
    options.socket.unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(0)  # threads of a framework must not keep a drained worker alive


if __name__ == "__main__":
    main()
