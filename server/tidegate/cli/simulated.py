"""What came of a simulation, as ``tidegate simulate`` shows it: a table and plots, or JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tidegate.autoscaler.simulator.outcome import Outcome
from tidegate.autoscaler.simulator.table import Row
from tidegate.cli.scatter import Point, scatter
from tidegate.cli.tables import lines_of

COLUMNS = ("START", "POLICY", "VIOLATIONS", "REPLICA-S", "OF BOUND", "CHANGES", "P99", "PARETO")


def as_json(name: str, table: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """All of it, not rounded."""
    document = {"trace": name, "rows": table, "runs": outcomes}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def as_text(table: Sequence[Row]) -> Iterator[str]:
    """Lines: the table, and a plot for each cold start."""
    yield from lines_of(COLUMNS, [_cells(row) for row in table])
    for cold_start in dict.fromkeys(row.cold_start for row in table):
        here = [row for row in table if row.cold_start == cold_start]
        points = [Point(row.replica_seconds, 100 * row.violations, row.policy[0]) for row in here]
        marks = ", ".join(dict.fromkeys(f"{row.policy[0]} {row.policy.partition('@')[0]}" for row in here))
        yield ""
        yield f"start {cold_start:g} s; {marks}; ¦ is the bound of who knows the future"
        yield from scatter(points, "replica-s", "violations, %", line=here[0].bound)


def _cells(row: Row) -> tuple[object, ...]:
    violations, cost = f"{100 * row.violations:.2f}%", f"{row.replica_seconds:,.0f}"
    if row.violations_half is not None and row.replica_seconds_half is not None:
        violations += f" ±{100 * row.violations_half:.2f}"
        cost += f" ±{row.replica_seconds_half:,.0f}"
    return (
        f"{row.cold_start:g}s",
        row.policy,
        violations,
        cost,
        f"{row.replica_seconds / row.bound:.2f}x" if row.bound else "-",
        f"{row.changes:,.0f}",
        "never" if row.p99 is None else f"{row.p99:.3g}s",
        "*" if row.efficient else "",
    )
