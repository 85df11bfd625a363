"""A run that several processes share is the same run."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.routes import Route
from tidegate.loadtests.__main__ import main
from tidegate.loadtests.load import Sample
from tidegate.loadtests.report import Report
from tidegate.loadtests.shares import Sent, Share, deal, merge
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.testing.backends import IdentityBackend
from tidegate.testing.served import PATIENCE, served
from tidegate.testing.served_grpc import served_grpc

SPECS = (TensorSpec("x", Datatype.FP32, (-1, 3)),)


def backend() -> IdentityBackend:
    return IdentityBackend(ModelMetadata("m", "fake_test", SPECS, SPECS))


def share(connections: int, arrivals: list[float] | None, requests: int | None) -> Share:
    return Share("127.0.0.1", 1, False, b"", connections, arrivals, None, requests, 60.0)


@given(
    connections=st.integers(1, 40),
    arrivals=st.none() | st.lists(st.floats(0, 100)).map(sorted),
    requests=st.none() | st.integers(1, 100),
    processes=st.integers(1, 12),
)
def test_nothing_is_lost_or_doubled(
    connections: int, arrivals: list[float] | None, requests: int | None, processes: int
) -> None:
    """Connections, arrivals and requests of all shares together are those of the run, and no share is idle."""
    dealt = deal(share(connections, arrivals, requests), processes)
    assert 1 <= len(dealt) <= processes
    assert sum(part.connections for part in dealt) == connections
    assert min(part.connections for part in dealt) >= 1
    if requests is None:
        assert {part.requests for part in dealt} == {None}
    else:
        assert sum(part.requests or 0 for part in dealt) == requests
        assert min(part.requests or 0 for part in dealt) >= 1
    if arrivals is None:
        assert {part.arrivals is None for part in dealt} == {True}
    else:
        assert sorted(at for part in dealt for at in part.arrivals or ()) == arrivals


def test_merged_is_every_sample() -> None:
    """The parts' samples are joined as they are; the run took as long as the slowest, and any interrupt counts."""
    one, two = Sample(0, 0, 1, "200", 0.5), Sample(0, 0, 2, "503")
    merged = merge([Sent([one], 1.0), Sent([two], 2.0, interrupted=True)])
    assert (merged.samples, merged.took, merged.interrupted) == ([one, two], 2.0, True)


@given(st.lists(st.builds(Sample, st.floats(0, 9), st.floats(-1, 9), st.floats(0, 9), st.text(), st.floats(0, 9))))
def test_samples_travel_exactly(samples: list[Sample]) -> None:
    """What a child tells is what it has measured, to the last bit."""
    sent = Sent(samples, 1.5, True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Sent) == sent


@pytest.mark.e2e
@pytest.mark.parametrize("loop", [pytest.param([], id="closed"), pytest.param(["--rate", "2000"], id="open")])
@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_processes_ask_as_often_as_one(capsys: pytest.CaptureFixture[str], wire: str, loop: list[str]) -> None:
    """Three processes on four connections send the twenty requests of the run, and each is in the report."""
    identity = backend()
    route = Route("m", "1", identity)
    words = ["--processes", "3", "--connections", "4", "--requests", "20", "--timeout", "20", "-o", "json"]
    if wire == "http":
        with served(route) as server:
            status = main(["m", "--url", server.url, *words, *loop])
    else:
        with served_grpc(route) as rpc:
            status = main(["m", "--grpc", f"127.0.0.1:{rpc.port}", *words, *loop])
    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    assert (status, report.statuses) == (0, {"200" if wire == "http" else "OK": 20})
    assert len(identity.requests) == 20


@pytest.mark.e2e
def test_ctrl_c_gives_the_report_of_all_processes() -> None:
    """SIGINT to the parent alone ends the children with the samples that they have, and none is left running."""
    identity = backend()
    with served(Route("m", "1", identity)) as server:
        gate = asyncio.Event()
        identity.gate = gate
        command = [sys.executable, "-m", "tidegate.loadtests", "m", "--url", server.url, "--connections", "2"]
        command += ["--processes", "2", "-o", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            server.until(lambda: len(identity.requests) == 2)
            client.send_signal(signal.SIGINT)
            out, _ = client.communicate(timeout=PATIENCE)
        server.do(gate.set)
    report = msgspec.json.decode(out, type=Report)
    assert (client.returncode, report.interrupted, report.statuses) == (130, True, {"unanswered": 2})


@pytest.mark.e2e
def test_a_child_ends_with_its_parent() -> None:
    """The end of its stdin before the start is the end of the child; nothing is told, nothing is sent."""
    command = [sys.executable, "-P", "-m", "tidegate.loadtests.shares"]
    child = subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE)
    assert (child.returncode, child.stdout, child.stderr) == (1, b"", b"")
