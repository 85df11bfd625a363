"""``tidegate doctor``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit

PORTS = {"HTTP": 8080, "gRPC": 8081, "admin": 8082, "status": 8083}
MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[bold red]fail[/]"}


def doctor(*, output: Annotated[Literal["table", "json"], Parameter(alias="-o")] = "table") -> int:
    """Check whether this machine is ready to serve.

    Parameters
    ----------
    output
        How to write it.
    """
    import msgspec

    from tidegate.cli.checks import run_checks

    checks = run_checks(PORTS)
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(checks), indent=2).decode())
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table("CHECK", "STATE", box=None, pad_edge=False, header_style="bold")
        table.add_column("FOUND", overflow="fold")
        table.add_column("HINT", overflow="fold")
        for check in checks:
            table.add_row(check.name, MARKS[check.state], Text(check.found), Text(check.hint))
        Console().print(table)
    return Exit.FAILED if any(check.state == "fail" for check in checks) else Exit.GOOD
