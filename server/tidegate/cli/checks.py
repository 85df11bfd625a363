"""What a machine must have for tidegate to serve on it; each check looks at one thing and says how to mend it."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import msgspec

GIB = 1 << 30
ENOUGH_FILES = 4096
"""Open files: one per connection, some per replica. Debian's and macOS's defaults (1024, 256) are reached in tests."""
ENOUGH_SPACE = 1 * GIB
"""Free bytes in the temporary directory: a model from a registry passes through it."""


class Check(msgspec.Struct, frozen=True):
    """One finding. ``warn`` is worth knowing, ``fail`` stops tidegate from serving."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    hint: str = ""


def run_checks(ports: Mapping[str, int]) -> list[Check]:
    """Look at everything; ``ports`` by their use ("HTTP") are those that `tidegate serve` would take."""
    plain: tuple[Callable[[], Check], ...] = (python, system, cores, memory, open_files, shared_memory, temporary_space)
    checks = [check() for check in plain]
    checks += [package(name) for name in ("uvloop", "httptools", "numpy", "protobuf", "msgspec")]
    checks += runtimes()
    checks += [port(use, number) for use, number in ports.items()]
    return checks


def python() -> Check:
    """Never older than tidegate allows: this file would not have been read by it."""
    return Check("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def system() -> Check:
    found = platform.platform(terse=True)
    if sys.platform == "linux":
        return Check("system", "ok", found)
    if sys.platform == "darwin":
        return Check("system", "warn", found, "macOS is for development; Linux is where tidegate is tested")
    return Check("system", "fail", found, "tidegate runs on Linux, and on macOS for development")


def cores() -> Check:
    """The cores that this process may use: its affinity, cut by the quota of its control group."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(cgroup_file("cpu.max"))
    if quota is None or quota >= usable:
        return Check("cores", "ok", str(usable))
    return Check("cores", "ok", f"{quota:g} of {usable}, by the quota of the control group")


def memory() -> Check:
    """The memory that this process may use: the machine's, cut by the limit of its control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroup_file("memory.max")
    if limit and limit.isdecimal() and int(limit) < total:
        return Check("memory", "ok", f"{_size(int(limit))} of {_size(total)}, by the limit of the control group")
    return Check("memory", "ok", _size(total))


def open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES:
        return Check("open files", "ok", str(soft))
    hint = f"every connection is one: `ulimit -n {ENOUGH_FILES}` before `tidegate serve`"
    return Check("open files", "warn", f"{soft} (up to {hard})", hint)


def shared_memory() -> Check:
    """Where large tensors cross between processes: memfd on Linux, named shared memory elsewhere."""
    if not hasattr(os, "memfd_create"):
        return Check("shared memory", "warn", "no memfd", "named shared memory is used instead")
    try:
        os.close(os.memfd_create("tidegate-doctor"))
    except OSError as error:
        hint = "the sandbox forbids memfd_create; replicas cannot share memory with the gateway"
        return Check("shared memory", "fail", f"memfd: {error.strerror}", hint)
    return Check("shared memory", "ok", "memfd")


def temporary_space() -> Check:
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("temporary files", "fail", f"{folder}: {error.strerror}", "set TMPDIR to a writable directory")
    if free < ENOUGH_SPACE:
        return Check("temporary files", "warn", f"{folder}, {_size(free)} free", "set TMPDIR to a larger one")
    return Check("temporary files", "ok", f"{folder}, {_size(free)} free")


def package(name: str) -> Check:
    try:
        return Check(name, "ok", version(name))
    except PackageNotFoundError:
        return Check(name, "fail", "not installed", f"pip install {name}")


def runtimes() -> list[Check]:
    """One check per runtime of the catalogue: the packages of its extra, and what it reads."""
    from tidegate.runtimes.catalogue import installed

    catalogue = installed()
    checks = []
    for name, runtime in sorted(catalogue.runtimes.items()):
        reads = ", ".join(suffix for form in runtime.formats for suffix in form.suffixes)
        missing = missing_packages(runtime.package)
        if missing:
            hint = f"pip install '{runtime.package}' to serve {reads}"
            checks.append(Check(f"runtime {name}", "warn", f"{', '.join(missing)} not installed", hint))
        else:
            checks.append(Check(f"runtime {name}", "ok", f"reads {reads}"))
    checks += [
        Check(f"runtime {name}", "warn", fault, "reinstall the package that declares it")
        for name, fault in sorted(catalogue.faults.items())
    ]
    return checks


def missing_packages(requirement: str) -> list[str]:
    """The packages that a requirement ("tidegate[sklearn]", "some-package") stands for and that are not installed."""
    name, _, extra = requirement.rstrip("]").partition("[")
    wanted = [name]
    if extra:
        marker = (f'extra == "{extra}"', f"extra == '{extra}'")
        wanted += [line for line in requires(name) or () if line.endswith(marker)]
    return [short for short in map(_bare, wanted) if not _is_installed(short)]


def port(use: str, number: int) -> Check:
    name = f"port {number} ({use})"
    with socket.socket() as probe:
        # As the server does: what lingers from an earlier run is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            hint = f"another process has it; `tidegate serve --{use.lower()}-port 0` takes a free one"
            return Check(name, "warn", error.strerror or str(error), hint)
    return Check(name, "ok", "free on 127.0.0.1")


def cgroup_file(name: str) -> str | None:
    """The content of a file of this process's control group (version 2), None where there is none."""
    try:
        path = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        return Path("/sys/fs/cgroup", path, name).read_text().strip()
    except OSError:
        return None


def cpu_quota(content: str | None) -> float | None:
    """The cores in a ``cpu.max`` ("150000 100000" is 1.5); None where there is no limit."""
    if not content or content.startswith("max"):
        return None
    quota, period = content.split()
    return int(quota) / int(period)


def _bare(requirement: str) -> str:
    for position, character in enumerate(requirement):
        if not (character.isalnum() or character in "-_."):
            return requirement[:position]
    return requirement


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
