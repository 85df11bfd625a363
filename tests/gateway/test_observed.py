"""What is counted of an observed revision: results, and failures by its own fault."""

from __future__ import annotations

import inspect

import msgspec

from tidegate.analysis.histogram import Histogram
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.fault import is_fault
from tidegate.gateway.observed import Observed
from tidegate.gateway.routes import RouteTable
from tidegate.protocol import errors
from tidegate.protocol.errors import ExecutionFailed, Overloaded, TidegateError
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import identity_route

FAULTS = {
    "DeadlineExceeded", "ExecutionFailed", "FrameworkMissing", "InternalError", "InvalidResponse", "ModelLoadFailed",
    "ModelNotReady", "OutOfMemory", "ReplicaLost", "UntrustedModel",
}  # fmt: skip


def test_each_error_is_a_revisions_fault_or_not() -> None:
    """All of them, so that a new one has to be decided about; none of the callers' own is."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TidegateError)]
    found = {kind.__name__ for kind in kinds if is_fault(kind.told("x"))}
    assert found == FAULTS
    assert all(kind.http_status >= 500 for kind in kinds if kind.__name__ in found)


def test_an_observed_revision_counts_results_and_its_own_failures() -> None:
    """And the time of results alone: an error is quick, or as slow as its deadline."""
    plane = DataPlane(RouteTable(), Metrics("0"), GatewaySettings("0"))
    observed = Observed()
    route = msgspec.structs.replace(identity_route("m"), observed=observed)
    plane.answered(route, "http", None, 0.01)
    plane.answered(route, "grpc", None, 0.02)
    plane.answered(route, "http", ExecutionFailed("it raised"), 0.5)
    plane.answered(route, "http", Overloaded("it is full"), 0.5)
    latency = Histogram()
    latency.add(0.01)
    latency.add(0.02)
    assert (observed.requests, observed.failures) == (3, 1)
    assert observed.latency.counts() == latency.counts()
    assert repr(observed) == "<Observed 1 of 3 requests failed>"
