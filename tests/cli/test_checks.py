"""What the doctor looks at."""

from __future__ import annotations

import json
import socket

import pytest

from tidegate.cli.checks import Check, cpu_quota, missing_packages, port, run_checks
from tidegate.cli.main import run


def test_this_machine_can_run_its_own_tests() -> None:
    """Nothing fails where the suite runs, and every finding but ok comes with a hint."""
    checks = run_checks({})
    assert [check for check in checks if check.state == "fail"] == []
    assert [check for check in checks if check.state != "ok" and not check.hint] == []
    assert {"Python", "cores", "memory", "open files", "uvloop"} <= {check.name for check in checks}


def test_a_taken_port_is_a_warning() -> None:
    """With the option that avoids it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert port("HTTP", number) == Check(
            f"port {number} (HTTP)",
            "warn",
            "Address already in use",
            "another process has it; `tidegate serve --http-port 0` takes a free one",
        )
    assert port("HTTP", number).state == "ok"


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        pytest.param("150000 100000", 1.5, id="quota"),
        pytest.param("max 100000", None, id="no-limit"),
        pytest.param(None, None, id="no-control-group"),
    ],
)
def test_the_quota_of_a_control_group_is_counted_in_cores(content: str | None, cores: float | None) -> None:
    """cpu.max holds microseconds per period."""
    assert cpu_quota(content) == cores


def test_missing_packages_are_those_of_the_extra() -> None:
    """An extra of tidegate stands for its packages; a requirement of another distribution for itself."""
    assert missing_packages("tidegate[sklearn]") == []
    assert missing_packages("tidegate") == []
    assert missing_packages("no-such-distribution-here") == ["no-such-distribution-here"]


def test_the_doctor_ends_with_0_where_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON form holds the same findings."""
    assert run(["doctor", "-o", "json"]) == 0
    names = [check["name"] for check in json.loads(capsys.readouterr().out)]
    assert names[0] == "Python"
    assert names[-1] == "port 8083 (status)"


def test_the_table_has_upper_case_headings(capsys: pytest.CaptureFixture[str]) -> None:
    """And no borders."""
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out.split()[:4] == ["CHECK", "STATE", "FOUND", "HINT"]
