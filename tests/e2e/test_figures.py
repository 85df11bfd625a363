"""One server, requests that end in every way, and what v2's statistics (over both protocols) and the metrics tell."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from prometheus_client.parser import text_string_to_metric_families

from tidegate.testing.process import PATIENCE, Serving

pytestmark = pytest.mark.e2e

MODEL = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
OPTIONS = ("--cache-bytes", "1MiB", "--max-queue", "2", "--max-batch", "1", "--no-refuse-early")

LOOKS = 5000
"""After which a test that waits for a metric is hanging."""

RAISE: dict[str, Any] = {"raise": "too hot"}

Samples = dict[tuple[str, str], float]


class Told:
    """A server with a model ``m``, and requests to it that are told apart by their values."""

    def __init__(self, server: Serving, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.server = server
        self._folder = folder
        self._pool = pool
        self._gates = 0
        self._client = httpx.Client(timeout=PATIENCE, trust_env=False)

    def ask(self, value: float, timeout_ms: float = 1e6, **parameters: Any) -> int:
        """One request over HTTP; returns its status."""
        headers = {"x-request-timeout-ms": str(timeout_ms)}
        url = f"{self.server.url}/v2/models/m/infer"
        body = {"inputs": [tensor_of(value)], "parameters": parameters}
        return self._client.post(url, json=body, headers=headers).status_code

    def begin(self, value: float, timeout_ms: float = 1e6, **parameters: Any) -> Future[int]:
        return self._pool.submit(self.ask, value, timeout_ms, **parameters)

    def gate(self) -> Path:
        self._gates += 1
        path = self._folder / f"gate{self._gates}"
        os.mkfifo(path)
        return path

    def close(self) -> None:
        self._client.close()

    def metrics(self) -> Samples:
        """The samples of ``m``, by name and the value of the one label beside the revision's and the protocol."""
        text = self._client.get(f"{self.server.status}/metrics").text
        found: Samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = dict(sample.labels)
                if labels.pop("model", "") == "m":
                    labels.pop("version")
                    labels.pop("protocol", None)
                    key = (sample.name.removeprefix("tidegate_"), "".join(labels.values()))
                    found[key] = found.get(key, 0.0) + sample.value
        return found

    def until(self, name: str, label: str, value: float) -> None:
        """Wait until a metric has this value."""
        for _ in range(LOOKS):
            if self.metrics()[name, label] == value:
                return
        raise AssertionError(f"{name} does not become {value}")

    def over_http(self) -> dict[str, Any]:
        [model] = self._client.get(f"{self.server.url}/v2/models/m/stats").json()["model_stats"]
        return dict(model)

    def over_grpc(self) -> dict[str, Any]:
        """In the form of the one over HTTP."""
        with triton.InferenceServerClient(self.server.grpc) as client:
            [model] = client.get_inference_statistics("m", as_json=True)["model_stats"]
        return dict(model)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    model = tmp_path / "m.fake.json"
    model.write_text(json.dumps(MODEL))
    with Serving.start(model, *OPTIONS) as server, ThreadPoolExecutor(8) as pool:
        server.until("ready")
        told = Told(server, tmp_path, pool)
        yield told
        told.close()
        server.stop()


def tensor_of(value: float) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [value, value]}


def opened(gate: Path) -> IO[bytes]:
    """Open a gate, once the model has come to it; closing it lets the model go on."""
    return gate.open("wb")


def counts(stats: dict[str, Any]) -> dict[str, int]:
    """How often, of each figure; protobuf's JSON writes 64 bits as text, and leaves out what is 0."""
    return {name: int(stats.get(name, {}).get("count", 0)) for name in FIGURES}


FIGURES = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"
)  # fmt: skip


def test_all_tell_the_same(told: Told) -> None:
    """Success, hit, sharing, failure, shared failure, expiry, refusal and cancellation: each counts once in each."""
    assert (told.ask(1), told.ask(1)) == (200, 200)  # executed; from the cache
    with triton.InferenceServerClient(told.server.grpc) as client:
        tensor = triton.InferInput("x", [1, 2], "FP32")
        tensor.set_data_from_numpy(np.full((1, 2), 2.0, np.float32))
        client.infer("m", [tensor])  # executed
    assert told.ask(3, **RAISE) == 500

    gate = told.gate()
    executing = told.begin(4, gate=str(gate))
    held = opened(gate)
    sharing = [told.begin(4, gate=str(gate)) for _ in range(2)]
    told.until("cache_requests_total", "coalesced", 2)
    assert told.ask(4, gate=str(gate)) == 503  # as many share as may
    prefetched = told.begin(5)
    told.until("inflight_batches", "", 2)
    waiting = [told.begin(value) for value in (6, 7)]
    told.until("queue_requests", "", 2)
    assert told.ask(8) == 503  # the queue is full
    assert told.ask(9, timeout_ms=0.001) == 504  # too late
    held.close()
    assert [one.result() for one in (executing, *sharing, prefetched, *waiting)] == [200] * 6

    gate = told.gate()
    failing = told.begin(10, gate=str(gate), **RAISE)
    held = opened(gate)
    sharing = [told.begin(10, gate=str(gate), **RAISE)]
    told.until("cache_requests_total", "coalesced", 3)
    prefetched = told.begin(11)
    told.until("inflight_batches", "", 2)
    assert told.ask(12, timeout_ms=500) == 504  # expires in the queue
    leaving = HTTPConnection(told.server.http, timeout=PATIENCE)
    leaving.request("POST", "/v2/models/m/infer", json.dumps({"inputs": [tensor_of(13)]}))
    told.until("queue_requests", "", 1)
    leaving.close()
    told.until("ended_requests_total", "cancelled", 1)
    held.close()
    assert [one.result() for one in (failing, *sharing, prefetched)] == [500, 500, 200]

    told.until("inflight_requests", "", 0)
    metrics, http, grpc = told.metrics(), told.over_http(), told.over_grpc()
    expected = {
        "success": 10,  # seven executed, one hit, two that shared
        "fail": 8,  # three that raised, two overloaded, one too late, one expired, one that went away
        "queue": 10,
        "compute_input": 7,
        "compute_infer": 7,
        "compute_output": 7,
        "cache_hit": 1,
        "cache_miss": 12,
    }
    assert counts(http["inference_stats"]) == counts(grpc["inference_stats"]) == expected
    assert (http["inference_count"], http["execution_count"]) == (7, 7)
    assert (int(grpc["inference_count"]), int(grpc["execution_count"])) == (7, 7)
    for stats in (http, grpc):
        assert [(int(one["batch_size"]), int(one["compute_infer"]["count"])) for one in stats["batch_stats"]] == [
            (1, 7)
        ]
    for name in FIGURES:
        spent = http["inference_stats"][name]["ns"]
        assert int(grpc["inference_stats"].get(name, {}).get("ns", 0)) == spent
        assert spent > 0
    told_of = {key: value for key, value in metrics.items() if key[0] in ("requests_total", "ended_requests_total")}
    assert told_of == {
        ("requests_total", "200"): 10,
        ("requests_total", "499"): 1,
        ("requests_total", "500"): 3,
        ("requests_total", "503"): 2,
        ("requests_total", "504"): 2,
        ("ended_requests_total", "completed"): 7,
        ("ended_requests_total", "failed"): 2,
        ("ended_requests_total", "expired"): 1,
        ("ended_requests_total", "refused_early"): 0,
        ("ended_requests_total", "cancelled"): 1,
    }
    assert metrics["executed_rows_total", ""] == http["inference_count"]
    assert metrics["batch_size_rows_count", ""] == http["execution_count"]
    assert sum(metrics["batches_total", reason] for reason in ("idle_replica", "full", "prefetch")) == 9
    assert metrics["queue_wait_seconds_count", ""] == 9
    assert [metrics["rejected_requests_total", cause] for cause in ("overloaded", "too_late", "expired")] == [2, 1, 1]
    results = ("hit", "miss", "coalesced", "overloaded")
    assert [metrics["cache_requests_total", result] for result in results] == [1, 12, 3, 1]
