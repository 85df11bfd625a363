"""How long a worker takes from its start until it is ready, spawned and forked from a zygote, and its memory.

For each runtime a small model of the zoo is started again and again, in turn in both ways, by the same code as in the
server but without its listeners. Printed are medians: the whole start of either way; of what the spawned one consists
(the interpreter, the import of tidegate and numpy, the import of the framework, and the rest, in which the model is
read and tried); the proportional memory (PSS) of a worker of either way beside the zygote, and of the zygote alone
beside one forked worker.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tidegate.loadtests.comparison import machine
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.environment import worker_environment
from tidegate.replicas.footprint import footprint
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.zygotes import Kind, Zygotes
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.zoo import huggingface, lightgbm, onnx, python, sklearn, tensorflow, torch, xgboost
from tidegate.testing.zoo.case import Case

CASES: dict[str, Case] = {
    zoo.CASES[0].runtime.name: zoo.CASES[0]
    for zoo in (python, sklearn, onnx, xgboost, lightgbm, torch, tensorflow, huggingface)
}
PHASES = """
import time; start = time.perf_counter()
import tidegate.runtimes.worker; imported = time.perf_counter()
from tidegate.runtimes.catalogue import find; find({runtime!r}).preload()
print(imported - start, time.perf_counter() - imported)
"""
HEADER = "runtime      spawned  forked   | interpreter tidegate framework  rest | PSS spawned  forked  zygote"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtimes", nargs="*", default=list(CASES), help="(default: %(default)s)")
    parser.add_argument("--starts", type=int, default=10, help="of each runtime and way (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of a worker (default: %(default)s)")
    parser.add_argument("--write", metavar="DIRECTORY", help="only write the model of the one runtime there")
    return parser.parse_args()


def phases(runtime: str, threads: int) -> tuple[float, float, float]:
    """Seconds of the interpreter's start, and of two imports, in a process of its own."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", "pass"], check=True)
    interpreter = time.perf_counter() - began
    told = subprocess.run(
        [sys.executable, "-P", "-c", PHASES.format(runtime=runtime)],
        env=worker_environment(os.environ, threads),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    tidegate, framework = map(float, told.stdout.split())
    return interpreter, tidegate, framework


async def started(artifact: Artifact, runtime: str, zygotes: Zygotes | None) -> tuple[float, int]:
    """Seconds until a worker is ready, and its memory then."""
    settings = ReplicaSettings(start_method="spawn" if zygotes is None else "zygote")
    backend = LocalBackend(artifact, runtime, settings, Metrics("loadtest").bind("m", "1"), zygotes=zygotes)
    began = time.perf_counter()
    await backend.start()
    try:
        await backend.wait_ready(300)
        return time.perf_counter() - began, await backend.measure()
    finally:
        await backend.stop()


async def measure(case: Case, path: Path, starts: int, threads: int) -> str:
    runtime = case.runtime.name
    artifact = Artifact(
        "m", "1", path, True, threads, dict(case.options or {}), inputs=case.inputs, outputs=case.outputs
    )
    zygotes = Zygotes()
    kind = Kind(runtime, threads)
    try:
        await started(artifact, runtime, zygotes)  # the first is spawned, and brings the zygote
        while (zygote := zygotes.running.get(kind)) is not None and not zygote.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        ways: dict[bool, list[tuple[float, int]]] = {False: [], True: []}
        parts = []
        for _ in range(starts):
            for forked in (False, True):
                if not forked or zygote is not None:
                    ways[forked].append(await started(artifact, runtime, zygotes if forked else None))
            parts.append(await asyncio.to_thread(phases, runtime, threads))
        if zygote is not None and zygote.forked != starts:
            raise SystemExit(f"{runtime}: {zygote.forked} workers of {starts} were forked")
        alone = footprint(zygote.pid) if zygote is not None and zygote.pid is not None else 0
    finally:
        zygotes.close()
    return line(runtime, ways, parts, alone)


def line(
    runtime: str, ways: dict[bool, list[tuple[float, int]]], parts: list[tuple[float, float, float]], zygote: int
) -> str:
    spawned, memory = (statistics.median(values) for values in zip(*ways[False], strict=True))
    interpreter, tidegate, framework = (statistics.median(values) for values in zip(*parts, strict=True))
    rest = spawned - interpreter - tidegate - framework
    text = f"{runtime:<12} {spawned * 1e3:5.0f} ms "
    forked, shared = (statistics.median(values) for values in zip(*ways[True], strict=True)) if zygote else (0.0, 0)
    text += f"{forked * 1e3:5.0f} ms " if zygote else "       - "
    text += f"| {interpreter * 1e3:8.0f} ms {tidegate * 1e3:5.0f} ms {framework * 1e3:6.0f} ms {rest * 1e3:4.0f} ms "
    text += f"| {memory / (1 << 20):5.0f} MiB   {shared / (1 << 20):5.0f}   {zygote / (1 << 20):5.0f}"
    return text


def write(runtime: str, directory: str) -> Path:
    """Make the model, in another process: this one imports no framework, as a gateway does not."""
    told = subprocess.run([sys.executable, __file__, runtime, "--write", directory], stdout=subprocess.PIPE, check=True)
    return Path(os.fsdecode(told.stdout.splitlines()[-1]))


async def main(options: argparse.Namespace) -> None:
    print(f"{machine()}; {options.starts} starts each, {options.threads} threads")
    print(HEADER)
    for runtime in options.runtimes:
        with tempfile.TemporaryDirectory() as directory:
            path = await asyncio.to_thread(write, runtime, directory)
            print(await measure(CASES[runtime], path, options.starts, options.threads), flush=True)


if __name__ == "__main__":
    chosen = arguments()
    if chosen.write:
        print(CASES[chosen.runtimes[0]].write(Path(chosen.write)))
    else:
        uvloop.run(main(chosen))
