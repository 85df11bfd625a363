"""The command against tidegate's own listeners on the loopback."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tidegate.gateway.routes import Route
from tidegate.loadtests.__main__ import main
from tidegate.loadtests.report import Report
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import Overloaded
from tidegate.protocol.messages import InferRequest, ModelMetadata, TensorSpec
from tidegate.testing.backends import IdentityBackend
from tidegate.testing.served import PATIENCE, served
from tidegate.testing.served_grpc import served_grpc

SPECS = (
    TensorSpec("x", Datatype.FP32, (-1, 3)),
    TensorSpec("n", Datatype.INT64, (2,)),
    TensorSpec("flag", Datatype.BOOL, (-1,)),
    TensorSpec("text", Datatype.BYTES, (-1, -1)),
)


def backend(error: Overloaded | None = None) -> IdentityBackend:
    return IdentityBackend(ModelMetadata("m", "fake_test", SPECS, SPECS), error)


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Report]:
    status = main(["m", *arguments, "--connections", "3", "--requests", "20", "--timeout", "20", "-o", "json"])
    return status, msgspec.json.decode(capsys.readouterr().out, type=Report)


def check(asked: list[InferRequest]) -> None:
    assert len(asked) == 20
    assert [tensor.shape for tensor in asked[0].inputs] == [(2, 3), (2,), (2,), (2, 1)]
    assert len({tuple(bytes(tensor.data) for tensor in request.inputs) for request in asked}) == 1


@pytest.mark.parametrize("form", [pytest.param([], id="json"), pytest.param(["--binary"], id="binary")])
@pytest.mark.parametrize("loop", [pytest.param([], id="closed"), pytest.param(["--rate", "2000"], id="open")])
def test_http_is_asked_so_often(capsys: pytest.CaptureFixture[str], form: list[str], loop: list[str]) -> None:
    """Each request is a good one of the model's signature, the same each time, and each answer is counted."""
    identity = backend()
    with served(Route("m", "1", identity)) as server:
        status, report = ran(capsys, "--url", server.url, "--rows", "2", *form, *loop)
    assert (status, report.statuses, report.failed) == (0, {"200": 20}, 0)
    check(identity.requests)


@pytest.mark.parametrize("loop", [pytest.param([], id="closed"), pytest.param(["--rate", "2000"], id="open")])
def test_grpc_is_asked_so_often(capsys: pytest.CaptureFixture[str], loop: list[str]) -> None:
    """As over HTTP, with gRPC's names of the statuses."""
    identity = backend()
    with served_grpc(Route("m", "1", identity)) as server:
        status, report = ran(capsys, "--grpc", f"127.0.0.1:{server.port}", "--rows", "2", *loop)
    assert (status, report.statuses) == (0, {"OK": 20})
    check(identity.requests)


def test_failures_are_counted_by_status(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that sheds load is no success, and the exit status says so."""
    with served(Route("m", "1", backend(Overloaded("full")))) as server:
        status, report = ran(capsys, "--url", server.url, "--rows", "2")
    assert (status, report.statuses, report.throughput) == (1, {"503": 20}, 0.0)
    with served_grpc(Route("m", "1", backend(Overloaded("full")))) as server:
        status, report = ran(capsys, "--grpc", f"127.0.0.1:{server.port}", "--rows", "2")
    assert (status, report.statuses) == (1, {"UNAVAILABLE": 20})


def test_a_trace_and_a_body_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The file is sent as it is, once per line of the trace."""
    body, trace = tmp_path / "body.json", tmp_path / "trace.csv"
    body.write_text('{"inputs":[]}')
    trace.write_text("0\n1\n2\n")
    with served(Route("m", "1", backend())) as server:
        _, report = ran(capsys, "--url", server.url, "--body", str(body), "--trace", str(trace), "--speed", "100")
    assert report.statuses == {"400": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--url", "http://192.0.2.1:8080"],
            "192.0.2.1 is another machine; add --allow-remote if you may put a load on it",
            id="remote",
        ),
        pytest.param(
            ["--url", "https://127.0.0.1"],
            "'https://127.0.0.1' is not an address; expected http://HOST:PORT, or HOST:PORT for gRPC",
            id="tls",
        ),
        pytest.param(["--grpc", "127.0.0.1"], "'127.0.0.1' is not an address; expected http://HOST:PORT", id="port"),
    ],
)
def test_a_run_that_may_not_begin(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """The reason is on stderr, nothing is sent, and the status is 2."""
    assert main(["m", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.e2e
def test_ctrl_c_gives_the_report_so_far() -> None:
    """SIGINT ends a run at once, requests under way are told apart, and the status is the shell's 130."""
    identity = backend()
    with served(Route("m", "1", identity)) as server:
        gate = asyncio.Event()
        identity.gate = gate
        command = [sys.executable, "-m", "tidegate.loadtests", "m", "--url", server.url, "--connections", "2"]
        command += ["--rows", "2", "-o", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            server.until(lambda: len(identity.requests) == 2)
            client.send_signal(signal.SIGINT)
            out, _ = client.communicate(timeout=PATIENCE)
        server.do(gate.set)
    report = msgspec.json.decode(out, type=Report)
    assert (client.returncode, report.interrupted, report.statuses) == (130, True, {"unanswered": 2})
