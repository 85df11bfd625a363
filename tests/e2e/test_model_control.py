"""Loading and unloading while the server runs, by Triton's own clients, and without one failed request."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from tidegate.testing.process import Serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gevent's and grpc's own, at import
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


def fake(path: Path, width: int = 2, **more: Any) -> Path:
    """A model whose answer tells how wide its rows are; it appears at once, as whoever replaces a file should do it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(".draft")
    draft.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, width]}]} | more))
    draft.rename(path)
    return path


def infer(server: Serving, model: str, size: int = 2) -> httpx.Response:
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, size], "data": [1.0] * size}]}
    return httpx.post(f"{server.url}/v2/models/{model}/infer", json=row, trust_env=False, timeout=60)


def post(server: Serving, path: str, body: Any = None, **headers: str) -> httpx.Response:
    url = f"{server.url}/v2/repository/{path}"
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60)


def states(server: Serving) -> dict[str, tuple[str, str]]:
    """State and reason by "model/version", as the index tells them."""
    entries = post(server, "index").json()
    return {f"{entry['name']}/{entry['version']}": (entry["state"], entry["reason"]) for entry in entries}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A directory with the models a and b."""
    folder = tmp_path / "models"
    for name in ("a", "b"):
        fake(folder / name / "model.fake.json")
    return folder


@pytest.fixture
def server(models: Path) -> Iterator[Serving]:
    """Serves them."""
    with Serving.start(models, "--start-method", "spawn") as serving:  # a zygote is a process more
        serving.until("ready")
        yield serving
        assert serving.stop() == 0


def client(server: Serving, transport: str) -> Any:
    if transport == "http":
        return tritonclient.http.InferenceServerClient(server.http)
    return tritonclient.grpc.InferenceServerClient(server.grpc)


def entries(client: Any, transport: str) -> dict[str, tuple[str, str]]:
    found = client.get_model_repository_index() if transport == "http" else client.get_model_repository_index().models
    told = [entry if isinstance(entry, dict) else {"name": entry.name, "state": entry.state, "reason": entry.reason}
            for entry in found]  # fmt: skip
    return {entry["name"]: (entry["state"], entry["reason"]) for entry in told}


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_tritons_clients(server: Serving, transport: str) -> None:
    """Index, unload, load, readiness and configuration, as they come."""
    with client(server, transport) as triton:
        assert entries(triton, transport) == {"a": ("READY", ""), "b": ("READY", "")}
        triton.unload_model("a")
        assert entries(triton, transport)["a"] == ("UNAVAILABLE", "it was unloaded")
        assert not triton.is_model_ready("a")
        assert triton.is_server_ready()
        tensor = (tritonclient.http if transport == "http" else tritonclient.grpc).InferInput("x", [1, 2], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 2), np.float32))
        with pytest.raises(InferenceServerException, match="model 'a' is not ready: it was unloaded"):
            triton.infer("a", [tensor])
        triton.load_model("a")
        assert triton.is_model_ready("a", "1")
        assert triton.infer("a", [tensor]).as_numpy("x").shape == (1, 2)
        for wish in (triton.load_model, triton.unload_model):
            with pytest.raises(InferenceServerException, match="model 'c' is not found"):
                wish("c")
        with pytest.raises(InferenceServerException, match=r"what holds for a model stands in its model\.yaml"):
            triton.load_model("a", config="{}")


def test_files_that_come_with_a_load_are_refused(server: Serving) -> None:
    """Nothing from a request becomes a model."""
    refused = pytest.raises(InferenceServerException, match="'file:1/m' is not supported; models are loaded from")
    with tritonclient.grpc.InferenceServerClient(server.grpc) as triton, refused:
        triton.load_model("a", files={"file:1/m": b"x"})
    answer = post(server, "models/a/load", {"parameters": {"colour": 1}})
    assert (answer.status_code, answer.json()["error"][:30]) == (400, "parameter 'colour' is not know")


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_the_configuration_is_what_holds(models: Path, transport: str) -> None:
    """In Triton's words, with what model.yaml and the command line have said."""
    (models / "a" / "model.yaml").write_text("batcher: {max_batch: 7, max_latency: 0.002}\nreplicas: 2\n")
    with Serving.start(models, "--max-queue", "5") as server:
        server.until("ready")
        with client(server, transport) as triton:
            found = triton.get_model_config("a", "1") if transport == "http" else triton.get_model_config(
                "a", as_json=True)["config"]  # fmt: skip
        assert (found["name"], found["backend"], found["max_batch_size"]) == ("a", "fake", 7)
        assert found["input"][0]["data_type"] == "TYPE_FP32"
        assert [int(size) for size in found["input"][0]["dims"]] == [2]
        assert found["instance_group"][0]["count"] == 2
        batching = found["dynamic_batching"]
        assert int(batching["max_queue_delay_microseconds"]) == 2000
        assert batching["default_queue_policy"]["max_queue_size"] == 5
        assert found["parameters"]["max_queue_bytes"]["string_value"] == str(256 << 20)
        assert server.stop() == 0


def test_the_extensions_are_announced(server: Serving) -> None:
    """As Triton names them."""
    extensions = httpx.get(f"{server.url}/v2", trust_env=False).json()["extensions"]
    assert {"model_repository", "model_configuration"} <= set(extensions)


def test_the_index_tells_what_is_not_loaded(server: Serving, models: Path) -> None:
    """A model that came later, one that cannot be told; and only what is ready if that is asked for."""
    fake(models / "c" / "model.fake.json")
    (models / "d").mkdir()
    (models / "d" / "model.yaml").write_text("nonsense: 1")
    fake(models / "d" / "model.fake.json")
    found = states(server)
    assert found["c/1"] == ("UNAVAILABLE", "it is not loaded")
    assert found["d/"][0] == "UNAVAILABLE"
    assert "nonsense is no field" in found["d/"][1]
    assert [entry["name"] for entry in post(server, "index", {"ready": True}).json()] == ["a", "b"]
    assert infer(server, "c").status_code == 503
    assert post(server, "models/c/load").json() == {"name": "c", "load": True}
    assert infer(server, "c").status_code == 200
    answer = post(server, "models/d/load")
    assert answer.status_code == 503
    assert "nonsense is no field" in answer.json()["error"]


def test_a_reload_fails_no_request(server: Serving, models: Path) -> None:
    """While a slow load goes on the one before answers, then the new one does; every request gets its answer."""
    stop = threading.Event()

    def ask() -> list[httpx.Response]:
        answers = []
        while not stop.is_set():
            answers.append(infer(server, "a"))
        return answers

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for number in range(3):
            fake(models / "a" / "model.fake.json", load={"slow": 0.3}, memory_rows=10 + number)
            assert post(server, "models/a/load").status_code == 200
        stop.set()
        answers = [answer for each in asking for answer in each.result()]
    assert {answer.status_code for answer in answers} == {200}
    assert len(server.workers) <= 3  # the last of the former may be on its way out


def test_a_failed_reload_changes_nothing(server: Serving, models: Path) -> None:
    """The one before answers on; the index and the event say why, and a good one heals it."""
    fake(models / "a" / "model.fake.json", load={"refuse": "it is rotten"})
    answer = post(server, "models/a/load")
    assert (answer.status_code, answer.json()["error"]) == (503, "it is rotten")
    assert infer(server, "a").status_code == 200
    state, reason = states(server)["a/1"]
    assert state == "READY"
    assert "it is rotten" in reason
    assert server.until("loadfailed")["serving"]
    fake(models / "a" / "model.fake.json", width=3)
    assert post(server, "models/a/load").status_code == 200
    assert infer(server, "a", 3).status_code == 200
    assert states(server)["a/1"] == ("READY", "")


def test_a_new_version_takes_over(server: Serving, models: Path) -> None:
    """And the one before goes once the new one answers."""
    for version in (1, 2):
        fake(models / "v" / str(version) / "model.fake.json", width=version)
        assert post(server, "models/v/load").status_code == 200
        assert infer(server, "v", version).json()["model_version"] == str(version)
    assert infer(server, "v/versions/1", 1).status_code == 404
    assert infer(server, "v/versions/2", 2).status_code == 200
    assert [key for key in states(server) if key.startswith("v/")] == ["v/2"]
    assert server.figure("tidegate_requests_total", model="v", version="2", code="200") == 2
    server.until_figure(0, "tidegate_requests_total", model="v", version="1")  # once its process has ended
    assert server.figure("tidegate_model_load_duration_seconds_count", model="v", version="1") == 0


def test_counters_go_on_over_a_reload(server: Serving, models: Path) -> None:
    """And while a model is unloaded, which the repository still knows; they end with its files."""
    counted = ("tidegate_requests_total",)
    assert infer(server, "a").status_code == 200
    fake(models / "a" / "model.fake.json", memory_rows=10)
    assert post(server, "models/a/load").status_code == 200
    assert infer(server, "a").status_code == 200
    assert post(server, "models/a/unload").status_code == 200
    assert server.figure(*counted, model="a", code="200") == 2
    shutil.rmtree(models / "a")
    assert "a/1" not in states(server)
    assert server.figure(*counted, model="a", code="200") == 0


def test_nobody_reads_the_events(server: Serving) -> None:
    """The server serves on, ends as it should, and says how many events are missing."""
    assert server.process.stdout is not None
    fcntl.fcntl(server.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(12):
        for verb in ("unload", "load"):
            assert post(server, f"models/a/{verb}").status_code == 200
    assert infer(server, "a").status_code == 200
    assert server.until("unloaded")["model"] == "a"  # what was told first is still there


def test_a_watched_directory_may_be_empty(tmp_path: Path) -> None:
    """What appears in it is served; without watching, nothing would ever come."""
    with Serving.start(tmp_path, "--watch", "--watch-interval", "0.05", "--watch-settle", "0.1") as server:
        assert server.until("ready")["loaded"] == 0
        assert httpx.get(f"{server.url}/v2/health/ready", trust_env=False).status_code == 200
        fake(tmp_path / "a" / "model.fake.json")
        assert server.until("loaded")["model"] == "a"
        assert infer(server, "a").status_code == 200
        assert server.stop() == 0


def test_what_is_not_changed_is_left_alone(server: Serving) -> None:
    """The same process answers after a load of what is loaded."""
    before = {worker.pid for worker in server.workers}
    assert post(server, "models/a/load").status_code == 200
    assert {worker.pid for worker in server.workers} == before


def test_loads_of_one_model_share_one(server: Serving, models: Path) -> None:
    """Though they come at once; and an unload breaks it off."""
    fake(models / "c" / "model.fake.json", load={"slow": 0.2})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(server, "models/c/load"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    fake(models / "d" / "model.fake.json", load={"hang": True})
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(post, server, "models/d/load")
        while server.until("found")["model"] != "d":
            pass
        assert states(server)["d/1"][0] == "LOADING"
        assert post(server, "models/d/unload").json() == {"name": "d", "unload": True}
        assert loading.result().status_code == 503
        assert "it was unloaded" in loading.result().json()["error"]
    assert states(server)["d/1"] == ("UNAVAILABLE", "it was unloaded")
    found = [event for event in server.events if event["event"] == "found" and event["model"] == "c"]
    assert len(found) == 1


def test_an_unload_lets_requests_end(server: Serving, models: Path, tmp_path: Path) -> None:
    """What is in flight is answered; what comes after it is refused."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    row = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}],
        "parameters": {"gate": str(gate)},
    }
    url = f"{server.url}/v2/models/a/infer"
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(httpx.post, url, json=row, trust_env=False, timeout=60)
        with gate.open("wb"):  # opens once the model waits there
            unloading = pool.submit(post, server, "models/a/unload")
            while states(server)["a/1"][0] != "UNLOADING":
                pass
            assert infer(server, "a").status_code == 503
            assert not unloading.done()
        assert asked.result().status_code == 200
        assert unloading.result().status_code == 200
    assert len(server.workers) == 1


def test_only_who_may_changes_what_is_served(models: Path) -> None:
    """A server that others reach says no, with the setting; a web page may not even where it listens on loopback."""
    with Serving.start(models, "--host", "0.0.0.0", "--auth", "off") as server:
        server.until("ready")
        port = server.http.rpartition(":")[2]
        answer = httpx.post(f"http://127.0.0.1:{port}/v2/repository/models/a/unload", trust_env=False)
        assert answer.status_code == 403
        assert "--model-control" in answer.json()["error"]
        assert httpx.post(f"http://127.0.0.1:{port}/v2/repository/index", trust_env=False).status_code == 200
        assert server.stop() == 0
    with Serving.start(models, "--host", "0.0.0.0", "--auth", "off", "--model-control") as server:
        server.until("ready")
        port = server.http.rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/v2/repository/models/a/unload"
        assert httpx.post(url, headers={"origin": "http://evil"}, trust_env=False).status_code == 403
        assert httpx.post(url, trust_env=False).status_code == 200
        assert server.stop() == 0


def test_changes_on_disk_are_followed(models: Path) -> None:
    """New models are loaded, changed ones replaced, removed ones unloaded; one that is wrong is told, and heals."""
    with Serving.start(models, "--watch", "--watch-interval", "0.05", "--watch-settle", "0.1") as server:
        server.until("ready")
        fake(models / "c" / "model.fake.json", width=3)
        assert server.until("loaded")["model"] == "c"
        assert infer(server, "c", 3).status_code == 200
        fake(models / "c" / "model.fake.json", width=4)
        assert server.until("loaded")["model"] == "c"
        assert infer(server, "c", 4).status_code == 200
        (models / "c" / "model.yaml").write_text("nonsense: 1")
        failed = server.until("loadfailed")
        assert (failed["model"], failed["serving"]) == ("c", True)
        assert infer(server, "c", 4).status_code == 200
        (models / "c" / "model.yaml").write_text("name: d")
        assert server.until("loaded")["model"] == "d"
        assert infer(server, "d", 4).status_code == 200
        shutil.rmtree(models / "a")
        while server.until("unloaded")["model"] != "a":
            pass
        assert infer(server, "a").status_code == 404
        assert infer(server, "b").status_code == 200
        assert server.stop() == 0


def test_what_was_unloaded_stays_so(models: Path) -> None:
    """A change does not load it again; a load does."""
    with Serving.start(models, "--watch", "--watch-interval", "0.05", "--watch-settle", "0.1") as server:
        server.until("ready")
        assert post(server, "models/a/unload").status_code == 200
        for name in ("a", "b"):
            fake(models / name / "model.fake.json", width=3)
        assert server.until("loaded")["model"] == "b"
        assert states(server)["a/1"] == ("UNAVAILABLE", "it was unloaded")
        assert post(server, "models/a/load").status_code == 200
        assert infer(server, "a", 3).status_code == 200
        assert server.stop() == 0


POOL = 32
"""Threads that the event loop's own pool may grow to, whatever they are for."""


def cycles(server: Serving, count: int) -> None:
    """Load and unload a model so often, after a few times that fill caches: nothing may pile up."""
    process = psutil.Process(server.process.pid)

    def cycle(http: httpx.Client, times: int) -> tuple[int, int, int]:
        for _ in range(times):
            for verb in ("unload", "load"):
                assert http.post(f"/v2/repository/models/a/{verb}").status_code == 200
                server.until(f"{verb}ed")  # a pipe that nobody reads is full some day
        memory = process.memory_full_info().uss
        return memory, process.num_fds(), process.num_threads()

    # Over one connection, which is open when descriptors are counted: of one that the client has just closed nobody
    # can say whether the server knows. All else is closed before an unload is answered, so that the counts are equal.
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        memory, descriptors, threads = cycle(http, 10)
        after, descriptors_after, threads_after = cycle(http, count)
    assert descriptors_after == descriptors
    assert threads_after <= threads + POOL
    assert after - memory < (4 << 20) + count * 2048
    assert len(server.workers) == 2


def test_a_hundred_cycles_leave_nothing(server: Serving) -> None:
    """Neither memory nor descriptors, threads or processes."""
    cycles(server, 100)


@pytest.mark.soak
def test_a_thousand_cycles_leave_nothing(server: Serving) -> None:
    """The same, for longer."""
    cycles(server, 1000)
