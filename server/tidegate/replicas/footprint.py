"""The memory of a process, as the system tells it. It blocks for a few milliseconds where the process is large."""

from __future__ import annotations

from pathlib import Path


def footprint(pid: int) -> int:
    """Bytes of main memory; of what it shares with others its part (PSS). 0 where nobody tells."""
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return parse_rollup(lines)


def parse_rollup(lines: list[str]) -> int:
    """The bytes that the lines of a ``smaps_rollup`` tell."""
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) << 10
    return 0
