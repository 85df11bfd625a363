"""What it costs a request to find its route: nanoseconds for one, without services and with them.

Each way to ask is timed in short runs, all ways in turn, of which the fastest counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from time import perf_counter

from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Service
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import identity_route, identity_service

HEADERS = [
    (b"host", b"127.0.0.1:8080"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"user-agent", b"python-httpx/0.28.1"),
    (b"content-length", b"91"),
    (b"content-type", b"application/json"),
]


def plane(*services: Service) -> DataPlane:
    return DataPlane(RouteTable.of(identity_route("plain"), services=services), Metrics("0"), GatewaySettings("0"))


def ask(plane: DataPlane, model: str, headers: list[tuple[bytes, bytes]]) -> None:
    plane.resolve(model, "", plane.asked(headers))


def nanoseconds(act: Callable[[], object], times: int) -> float:
    """Of one call, in a run of so many."""
    began = perf_counter()
    for _ in range(times):
        act()
    return (perf_counter() - began) / times * 1e9


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--requests", type=int, default=20_000, help="in a run (default: %(default)s)")
    made.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    made.add_argument("--services", type=int, default=1000, help="that there are (default: %(default)s)")
    options = made.parse_args()
    without = plane()
    services = [
        identity_service("one", {1: 100}),
        identity_service("split", {1: 90, 2: 10}, sticky="x-user-id"),
        identity_service("far", {1: 100}, namespace="t"),
        *(identity_service(f"other-{number}", {1: 100}, namespace="team") for number in range(options.services - 3)),
    ]
    among = plane(*services)
    key = [*HEADERS, (b"x-user-id", b"somebody@example.com")]
    host = [(b"host", b"far-t.example.com"), *HEADERS[1:]]
    ways: dict[str, Callable[[], object]] = {
        "the table alone, no services": partial(without.routes.resolve, "plain", ""),
        "no services": partial(ask, without, "plain", HEADERS),
        f"{options.services} services, a repository's model": partial(ask, among, "plain", HEADERS),
        "… a service's only revision": partial(ask, among, "one", HEADERS),
        "… a split, by a sticky header": partial(ask, among, "split", key),
        "… a split, by chance": partial(ask, among, "split", HEADERS),
        "… a service by host": partial(ask, among, "far", host),
    }
    runs = [{name: nanoseconds(way, options.requests) for name, way in ways.items()} for _ in range(options.rounds)]
    for name in ways:
        print(f"{name:42} {min(run[name] for run in runs):6.0f} ns")
    anew = min(nanoseconds(lambda: RouteTable.of(services=services), 1) for _ in range(options.rounds))
    print(f"{'a new table':42} {anew / 1e6:6.1f} ms")


if __name__ == "__main__":
    main()
