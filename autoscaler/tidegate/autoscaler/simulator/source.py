"""Where the workloads of a simulation come from: the catalogue by name, or a file by its content.

A source gives a workload for each seed. A file of Azure's Functions trace gives one for each of its days, too, for the
days of a function tell more of how sure a mean is than seeds do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from tidegate.autoscaler.simulator import catalogue, traces
from tidegate.autoscaler.simulator.plays import Make
from tidegate.autoscaler.simulator.workload import Floats, Service, Workload
from tidegate.protocol.errors import InvalidRequest

Change = Callable[[Workload], Workload]
"""What is to be done to each workload after it was made: another service, other bounds, only the beginning of it."""


class Source(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Workloads that stand for the same thing. ``replicates`` are seeds of them, with the name of each."""

    name: str
    replicates: tuple[tuple[str, Make], ...]


def from_catalogue(name: str, change: Change) -> Source:
    """One of the catalogue.

    Raises:
        InvalidRequest: there is none of this name.
    """
    if name not in catalogue.names():
        raise InvalidRequest(f"trace is '{name}', which is no file; expected one, or {', '.join(catalogue.names())}")
    return Source(name=name, replicates=((name, lambda seed: change(catalogue.make(name, seed))),))


def from_file(path: Path, function: str, service: Service, change: Change) -> Source:
    """What a file holds: stamps, or calls per minute, of which ``function`` begins the name of the one that is meant.

    Raises:
        InvalidRequest: it is no trace, or has no such function, or several.
        OSError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and lines[0].startswith(traces.FUNCTIONS_HEADER):
            return _functions(path.stem, list(traces.read_days(lines)), function, service, change)
        stamps = traces.read_stamps(lines)
    except ValueError as fault:  # UnicodeDecodeError is one
        raise InvalidRequest(f"'{path.name}' is no trace: {fault}") from None
    return Source(name=path.stem, replicates=((path.stem, lambda _: change(_stamped(path.stem, stamps, service))),))


def _stamped(name: str, stamps: Floats, service: Service) -> Workload:
    return Workload(name=name, arrivals=stamps, duration=float(np.ceil(stamps[-1] + 1.0)), service=service)


def _functions(stem: str, days: list[traces.Day], function: str, service: Service, change: Change) -> Source:
    names = sorted({day.function for day in days})
    meant = [name for name in names if name.startswith(function)] if function else []
    if len(meant) != 1:
        known = ", ".join(name[:8] for name in names)
        raise InvalidRequest(f"function is '{function}', expected the beginning of one of {known}")

    def make(day: traces.Day) -> Make:
        def one(seed: int) -> Workload:
            arrivals = traces.spread(day.minutes, 1.0, np.random.default_rng([seed, day.day]))
            name = f"{stem}_{day.function[:8]}_day{day.day}"
            return change(Workload(name=name, arrivals=arrivals, duration=86_400.0, service=service))

        return one

    chosen = [day for day in days if day.function == meant[0]]
    replicates = tuple((f"{stem}_{day.function[:8]}_day{day.day}", make(day)) for day in chosen)
    return Source(name=f"{stem}_{meant[0][:8]}", replicates=replicates)
