"""The status port: metrics, liveness, readiness and load of this process. It has no secrets and changes nothing.

A port of its own, so that the data port can be exposed without it, and so that a scrape is answered while the data
port is at its limit of connections.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from tidegate.gateway.dataplane import DataPlane
from tidegate.gateway.http.asgi import PageApplication
from tidegate.gateway.http.listener import HttpListener
from tidegate.gateway.http.pages import page, pages, sent
from tidegate.gateway.http.replies import Reply
from tidegate.gateway.http.settings import HttpSettings


class StatusPages:
    """The pages of the status port."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def application(self) -> Starlette:
        return pages(
            uncounted,
            ("/metrics", self.metrics),
            ("/healthz", self.alive),
            ("/readyz", self.ready),
            ("/load", self.load),
        )

    async def metrics(self, request: Request) -> Response:
        return sent(Reply(200, ((b"content-type", TEXT_FORMAT),), self._plane.metrics.exposition()))

    async def alive(self, request: Request) -> Response:
        return page({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        ready = self._plane.ready
        models = [
            {"name": route.model, "version": route.version, "ready": state.ready, "reason": state.reason}
            for route in self._plane.routes
            for state in (route.backend.readiness,)
        ]
        document = {"ready": ready, "leaving": self._plane.leaving, "models": models}
        return page(document, 200 if ready else 503)

    async def load(self, request: Request) -> Response:
        return page({"inflight": inflight(self._plane)})


TEXT_FORMAT = b"text/plain; version=0.0.4; charset=utf-8"


def inflight(plane: DataPlane) -> dict[str, dict[str, int]]:
    """Requests accepted and not yet answered: model → version → count."""
    counts: dict[str, dict[str, int]] = {}
    gauges = plane.metrics.registry.restricted_registry(["tidegate_inflight_requests"])
    for metric in gauges.collect():
        for sample in metric.samples:
            counts.setdefault(sample.labels["model"], {})[sample.labels["version"]] = int(sample.value)
    return counts


class StatusServer(HttpListener):
    """Serves the status pages. Its settings have the form of the data port's, and the same bounds hold."""

    def __init__(self, plane: DataPlane, settings: HttpSettings) -> None:
        app = PageApplication(StatusPages(plane).application(), settings, uncounted)
        super().__init__(app, settings, plane.settings.limits, on_refusal=uncounted)


def uncounted(refusal: object) -> None:
    """The metrics are of the data plane."""
