"""What wrk printed becomes totals, and only a run without a single failure becomes a rate."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.loadtests.wrk import Totals, WrkFailed, parse

GOOD = Totals(requests=100, seconds=4.0, failed=0, connect=0, read=0, write=0, timeout=0)


def test_the_totals_are_on_the_last_line() -> None:
    """What wrk says of itself stands before them."""
    assert parse(f"Running 4s test\n  Latency 1ms\n{msgspec.json.encode(GOOD).decode()}\n") == GOOD
    assert GOOD.rate == 25


def test_output_without_totals_is_no_run() -> None:
    """A script that failed is not taken for a rate of nothing."""
    with pytest.raises(WrkFailed, match="printed no totals but 'unable to connect'"):
        parse("unable to connect\n")


@pytest.mark.parametrize("kind", ["failed", "connect", "read", "write", "timeout"])
def test_one_failure_spoils_the_rate(kind: str) -> None:
    """Errors are fast to give: a rate of them would be no throughput."""
    with pytest.raises(WrkFailed, match=f"'{kind}': 1"):
        _ = msgspec.structs.replace(GOOD, **{kind: 1}).rate


def test_nothing_done_is_no_rate() -> None:
    """A server that never answered has failed, too."""
    with pytest.raises(WrkFailed, match="of 0 requests"):
        _ = msgspec.structs.replace(GOOD, requests=0).rate
