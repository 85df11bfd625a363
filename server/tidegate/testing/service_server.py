"""A real server with a state directory, whose services a test writes, waits for, and asks after a restart or a kill. ::

with ServiceServer.start(state, "--trust", models) as server:
    server.write(manifest("iris", models / "iris.joblib"))
    server.until("iris", ready)
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tidegate.testing.process import PATIENCE, Serving

SERVICES = "/apis/tidegate.dev/v1/namespaces/default/modelservices"
INFERENCE_SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
REVISIONS = "/apis/tidegate.dev/v1/namespaces/default/servingrevisions"
PORTS = ("http", "grpc", "admin", "status")

Document = dict[str, Any]


class ServiceServer:
    """``serving`` is the process that runs now; every one of them has the same ports."""

    def __init__(self, words: list[str | Path]) -> None:
        self._words = [*words, *(word for port in PORTS for word in (f"--{port}-port", str(unclaimed())))]
        self.serving = Serving.start(*self._words)
        self.serving.until("ready")
        self.http = httpx.Client(base_url=self.serving.url, trust_env=False, timeout=PATIENCE)
        self.admin = httpx.Client(base_url=self.serving.admin, trust_env=False, timeout=PATIENCE)

    @classmethod
    def start(cls, state: Path, *words: str | Path) -> Self:
        """With this state directory, and further options."""
        return cls(["--state-directory", state, *words])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self.admin.close()
        try:
            if error is None and self.serving.process.poll() is None:
                assert self.serving.stop() == 0
        finally:
            self.serving.close()

    def begin_again(self) -> None:
        """Start it once more, after it has ended."""
        self.serving.close()
        self.serving = Serving.start(*self._words)
        self.serving.until("ready")

    def write(self, service: Document) -> Document:
        """Apply a manifest of either kind in the namespace ``default``; returns the service as it is stored.

        Raises:
            AssertionError: it is refused.
            httpx.TransportError: the server went away.
        """
        answer = self.admin.patch(
            f"{collection_of(service)}/{service['metadata']['name']}",
            params={"fieldManager": "test", "force": "true"},
            json=service,
            headers={"content-type": "application/apply-patch+yaml"},
        )
        assert answer.status_code in (200, 201), answer.text
        written: Document = answer.json()
        return written

    def read(self, name: str, collection: str = SERVICES) -> Document:
        """A service as it is stored."""
        service: Document = self.admin.get(f"{collection}/{name}").raise_for_status().json()
        return service

    def revisions(self, name: str) -> list[Document]:
        """The revisions of a service, by number."""
        items: list[Document] = self.admin.get(REVISIONS).raise_for_status().json()["items"]
        own = [each for each in items if each["spec"]["service"]["name"] == name]
        return sorted(own, key=lambda each: int(each["spec"]["number"]))

    def until(self, name: str, holds: Callable[[Document], bool], collection: str = SERVICES) -> Document:
        """A service once its status is that of what is wished now, and holds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            service = self.read(name, collection)
            status = service.get("status", {})
            if status.get("observedGeneration") == service["metadata"]["generation"] and holds(status):
                return service
            assert time.monotonic() < deadline, service


def collection_of(service: Document) -> str:
    """The path of the services of its kind."""
    return INFERENCE_SERVICES if service["kind"] == "InferenceService" else SERVICES


def unclaimed() -> int:
    """A free port that the kernel gives nobody by itself, so that it is free again when a server comes back."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as trying:
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def manifest(name: str, model: Path, form: str, **predictor: Any) -> Document:
    """A ModelService of a file; ``predictor`` says more of it."""
    reference = {"modelFormat": {"name": form}, "storageUri": f"file://{model}"}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"predictor": {"model": reference, **predictor}},
    }


def ready(status: Document) -> bool:
    """Whether the service answers."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))


def split(status: Document) -> dict[str, int]:
    """Per cent of the traffic, by the name of the revision that gets it."""
    traffic = status.get("components", {}).get("predictor", {}).get("traffic", ())
    return {each["revisionName"]: each["percent"] for each in traffic if each.get("percent")}
