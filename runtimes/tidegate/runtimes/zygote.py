"""The zygote: ``python -P -m tidegate.runtimes.zygote --runtime NAME --channel N``.

A process that has imported a framework and has one thread. Asked by the gateway that started it, it forks, and what
comes out is a worker as if it had been spawned, without the time that the imports take. It never reads a model, and
nothing of a request comes to it: what it is asked with is a worker's command line and two descriptors.

It ends with its channel, and the workers that it has forked go on without it: they are the gateway's children. Each
tells its own process id on its lifeline before anything else, so an answer is never lost with the zygote.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from tidegate.protocol.errors import TidegateError
from tidegate.runtimes import worker
from tidegate.runtimes.catalogue import find
from tidegate.runtimes.runtime import Preloadable
from tidegate.runtimes.sibling import Siblings, SiblingsUnavailable, threads

PID = 4
"""Bytes of the process id that a forked worker writes to its lifeline, most significant first."""

_LARGEST = 1 << 16


class Readiness(msgspec.Struct, frozen=True):
    """What the zygote says once, when it has imported: that it forks, or why it will not."""

    refusal: str = ""


class Request(msgspec.Struct, frozen=True):
    """The worker's command line but for its lifeline, which comes as the first descriptor; the second is its output."""

    arguments: tuple[str, ...]


class Unforkable(Exception):
    """Nothing can be forked from this process, and trying again would change nothing."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What a zygote can be told, by the gateway."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.runtimes.zygote", description="Forks workers.")
    parser.add_argument("--runtime", required=True, help="the runtime whose framework is imported")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the gateway")
    return parser.parse_args(argv)


def prepare(runtime: str) -> Siblings:
    """Import the framework, and see that this process can be forked.

    Raises:
        Unforkable: it cannot.
    """
    try:
        reader = find(runtime)
        if not isinstance(reader, Preloadable):
            raise Unforkable("it does not say what to import before")
        reader.preload()
        siblings = Siblings()
    except (TidegateError, SiblingsUnavailable) as error:
        raise Unforkable(str(error)) from error
    # OpenBLAS ends its threads when its process forks, and begins new ones when it is next needed. So fork once: what
    # still runs then belongs to a library that would be broken in the child.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    if (running := threads()) > 1:
        raise Unforkable(f"importing it starts threads: {running} run")
    gc.collect()
    gc.freeze()  # or the first collection of each worker writes to, and so copies, every page with an object
    return siblings


def serve(channel: socket.socket, siblings: Siblings) -> None:
    """Fork whenever that is asked for, until the gateway is gone. What cannot be forked is seen by its lifeline."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _LARGEST, 2)
        if not message:
            return
        try:
            request = msgspec.json.decode(message, type=Request)
            if siblings.fork() == 0:
                become_worker(channel, request, *descriptors)
        except OSError as error:
            print(f"zygote {os.getpid()}: cannot fork: {error}", file=sys.stderr)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def become_worker(channel: socket.socket, request: Request, lifeline: int, output: int) -> NoReturn:
    """In the new process: be the leader of a session, as a spawned one is, and run a worker. Does not return."""
    try:
        os.setsid()  # first: from the moment its id is known, its group can be killed
        with contextlib.suppress(BrokenPipeError):  # the gateway is gone already: the lifeline will tell
            os.write(lifeline, os.getpid().to_bytes(PID, "big"))
        channel.close()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        sys.argv = ["tidegate.runtimes.worker", *request.arguments]
        _reseed()
        worker.main([*request.arguments, "--lifeline", str(lifeline)])
    except BaseException:  # what would end a spawned worker ends this one, and must not come back into the zygote
        traceback.print_exc()
    os._exit(1)


def _reseed() -> None:
    """Let each worker draw random numbers of its own. Python's own generator sees to that itself."""
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()


def main(argv: Sequence[str] | None = None) -> None:
    """Run a zygote."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(options.channel, False)
    with socket.socket(fileno=options.channel) as channel:
        try:
            siblings = prepare(options.runtime)
        except Unforkable as error:
            channel.send(msgspec.json.encode(Readiness(str(error))))
            return
        channel.send(msgspec.json.encode(Readiness()))
        serve(channel, siblings)


if __name__ == "__main__":
    main()
