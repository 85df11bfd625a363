"""Models on demand with real workers: many models, few of them awake, and nobody without an answer."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from tidegate.client import Client
from tidegate.testing.process import Serving

pytestmark = [pytest.mark.e2e]

MODELS = 30
AWAKE = 4


def fake(folder: Path, name: str, width: int, config: str = "", **more: Any) -> None:
    """A model that answers rows of this width with themselves; it appears at once."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    if config:
        (place / "model.yaml").write_text(config)
    draft = place / ".draft"
    draft.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, width]}]} | more))
    draft.rename(place / "model.fake.json")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Thirty, each for rows of a width of its own."""
    folder = tmp_path / "models"
    for number in range(MODELS):
        fake(folder, f"m{number}", number + 1)
    return folder


@pytest.fixture
def run(tmp_path: Path, temporary: Path) -> Callable[..., Any]:
    """Starts a server, which must end well and leave nothing."""

    @contextmanager
    def run(*words: str | Path) -> Iterator[Serving]:
        env = {**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        with Serving.start(*words, "--start-method", "spawn", env=env) as server:  # a zygote is a process more
            server.until("ready")
            yield server
            if server.process.poll() is None:
                assert server.stop() == 0

    return run


def ask(server: Serving, name: str, width: int, **more: Any) -> httpx.Response:
    row = {"name": "x", "datatype": "FP32", "shape": [1, width], "data": [float(width)] * width}
    document = {"inputs": [row], **more}
    return httpx.post(f"{server.url}/v2/models/{name}/infer", json=document, trust_env=False, timeout=60)


def get(server: Serving, path: str) -> httpx.Response:
    return httpx.get(server.url + path, trust_env=False, timeout=60)


def control(server: Serving, path: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v2/repository/{path}", trust_env=False, timeout=60)


def states(server: Serving) -> dict[str, tuple[str, str]]:
    return {entry["name"]: (entry["state"], entry["reason"]) for entry in control(server, "index").json()}


def until_reason(server: Serving, name: str, reason: str) -> None:
    """Return once the index tells this of a model."""
    deadline = time.monotonic() + 60
    while states(server)[name][1] != reason:
        assert time.monotonic() < deadline, f"{name} is {states(server)[name]}, and should be {reason!r}"


class Watcher:
    """Looks at a server all the time: how many workers it has, what they hold, and that its sums only grow."""

    def __init__(self, server: Serving) -> None:
        self.most = 0
        self.most_bytes = 0
        self.fell = ""
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        told: dict[str, int] = {}
        while not self._done.wait(0.02):
            workers = self._server.workers
            self.most = max(self.most, len(workers))
            self.most_bytes = max(self.most_bytes, sum(map(private, workers)))
            for each in get(self._server, "/v2/models/stats").json()["model_stats"]:
                count = each["inference_count"]
                if count < told.get(each["name"], 0):
                    self.fell = f"{each['name']}: {told[each['name']]} then {count}"
                told[each["name"]] = count


def private(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def random_access(server: Serving, models: int, seed: int, requests: int) -> list[float]:
    """Ask models at random, and hold every answer against what was asked; returns how long each took."""
    chance = random.Random(seed)
    url = server.url if seed % 2 else f"grpc://{server.grpc}"
    seconds: list[float] = []
    with Client(url) as client:
        for _ in range(requests):
            number = chance.randrange(models)
            row = np.full((1, number + 1), chance.random(), np.float32)
            began = time.perf_counter()
            answer = client.infer(f"m{number}", {"x": row}, timeout=60)
            seconds.append(time.perf_counter() - began)
            assert np.array_equal(answer.outputs["x"], row)
    return seconds


def test_random_access_to_many_with_few_awake(models: Path, run: Callable[..., Any]) -> None:
    """Every answer is right, no more workers live than may, and what is counted survives sleep."""
    with run(models, "--on-demand", "--max-awake", str(AWAKE)) as server:
        assert server.events[-1] == {"event": "ready", "loaded": 0, "failed": 0, "asleep": MODELS}
        assert server.workers == []
        assert set(states(server).values()) == {("READY", "asleep")}
        with Watcher(server) as watcher, ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(random_access, server, MODELS, seed, 8) for seed in range(4)]
            for client in clients:
                client.result()
        assert 1 <= watcher.most <= AWAKE
        assert watcher.fell == ""
        stats = get(server, "/v2/models/stats").json()["model_stats"]
        assert sum(each["inference_stats"]["success"]["count"] for each in stats) == 32
        assert sum(each["inference_count"] for each in stats) == 32
        assert server.figure("tidegate_executed_rows_total") == 32
        assert server.figure("tidegate_awake_models") <= AWAKE
        woken = server.figure("tidegate_wakings_total", outcome="woken")
        assert woken == server.figure("tidegate_waking_duration_seconds_count") > AWAKE
        evicted = server.figure("tidegate_evictions_total", cause="room")
        assert woken - AWAKE <= evicted <= woken


def test_what_is_asleep_knows_its_signature(models: Path, run: Callable[..., Any]) -> None:
    """What needs it wakes the model once; a request that does not fit wakes nobody afterwards."""
    fake(models, "many", 3, decoupled=True)
    with run(models, "--on-demand", "--max-awake", "1") as server:
        assert get(server, "/v2/models/m0/ready").status_code == 200
        assert server.workers == []
        assert get(server, "/v2/models/m0").json()["inputs"][0]["shape"] == [-1, 1]
        assert get(server, "/v2/models/m1/config").json()["parameters"]["load"] == {"string_value": "on_demand"}
        assert server.figure("tidegate_wakings_total", outcome="woken") == 2
        until_reason(server, "m0", "asleep")
        refused = ask(server, "m0", 5)
        assert (refused.status_code, "the model expects [-1, 1]" in refused.text) == (400, True)
        assert get(server, "/v2/models/m0/config").json()["name"] == "m0"
        assert server.figure("tidegate_wakings_total", outcome="woken") == 2
        v1 = httpx.post(f"{server.url}/v1/models/m2:predict", json={"instances": [[1, 2, 3]]}, timeout=60)
        assert v1.json() == {"predictions": [[1.0, 2.0, 3.0]]}
        raw = httpx.post(
            f"{server.url}/v2/models/m3/infer",
            content=np.zeros((1, 4), np.float32).tobytes(),
            headers={"inference-header-content-length": "0"},
            timeout=60,
        )
        assert raw.status_code == 200, raw.text
        generated = httpx.post(f"{server.url}/v2/models/m0/generate", json={"x": [[1.0]]}, timeout=60)
        assert generated.status_code == 200, generated.text
        events = httpx.post(f"{server.url}/v2/models/many/generate_stream", json={"x": [[1, 2, 3]] * 2}, timeout=60)
        assert events.text.count("data:") == 2, events.text


def test_a_waking_that_fails_is_told_and_tried_again(tmp_path: Path, run: Callable[..., Any]) -> None:
    """To those who wait, in the index, and with Retry-After; the server as a whole stays ready."""
    folder = tmp_path / "models"
    fake(folder, "good", 1)
    fake(folder, "bad", 1, load={"refuse": "no such layer"})
    with run(folder, "--on-demand") as server:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: ask(server, "bad", 1), range(4)))
        assert {answer.status_code for answer in answers} == {503}
        assert all("no such layer" in answer.text for answer in answers)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        state, reason = states(server)["bad"]
        assert (state, "no such layer" in reason) == ("UNAVAILABLE", True)
        assert get(server, "/v2/models/bad/ready").status_code == 503
        assert get(server, "/v2/health/ready").status_code == 200
        assert ask(server, "good", 1).status_code == 200
        assert control(server, "models/bad/load").status_code == 503
        fake(folder, "bad", 2)
        assert control(server, "models/bad/load").status_code == 200
        assert ask(server, "bad", 2).status_code == 200
        assert states(server)["bad"] == ("READY", "")


def test_control_of_models_that_sleep(models: Path, run: Callable[..., Any]) -> None:
    """A load wakes, an unload takes away, and a model wakes as what it was until its new files are loaded."""
    with run(models, "--on-demand", "--max-awake", "1") as server:
        assert control(server, "models/m0/load").json() == {"name": "m0", "load": True}
        assert states(server)["m0"] == ("READY", "")
        fake(models, "m0", 9)
        assert ask(server, "m1", 2).status_code == 200
        until_reason(server, "m0", "asleep")
        assert ask(server, "m0", 1).status_code == 200  # of the copy that it was first loaded from
        assert control(server, "models/m0/load").status_code == 200
        assert ask(server, "m0", 9).status_code == 200
        fake(models, "m0", 1, load={"refuse": "broken"})
        assert control(server, "models/m0/load").status_code == 503
        assert ask(server, "m0", 9).status_code == 200
        assert control(server, "models/m2/unload").status_code == 200
        assert states(server)["m2"] == ("UNAVAILABLE", "it was unloaded")
        assert ask(server, "m2", 3).status_code == 503
        assert control(server, "models/m2/load").status_code == 200
        assert ask(server, "m2", 3).status_code == 200
        assert len(server.workers) == 1


def test_changes_on_disk_are_taken_by_the_next_waking(models: Path, run: Callable[..., Any]) -> None:
    """--watch wakes nobody; what is awake is replaced as ever."""
    with run(models, "--on-demand", "--watch", "--watch-interval", "0.1", "--watch-settle", "0.05") as server:
        assert ask(server, "m0", 1).status_code == 200
        fake(models, "m0", 7)
        fake(models, "m1", 8)
        fake(models, "new", 5)
        server.until("loaded")
        assert ask(server, "m0", 7).status_code == 200
        deadline = time.monotonic() + 60
        while "new" not in get(server, "/v2/models").json()["models"]:
            assert time.monotonic() < deadline
        assert len(server.workers) == 1
        assert ask(server, "m1", 8).status_code == 200
        assert ask(server, "new", 5).status_code == 200


def test_who_is_always_awake(tmp_path: Path, run: Callable[..., Any]) -> None:
    """model.yaml goes before the server's option, both ways; limits do not touch those that never sleep."""
    folder = tmp_path / "models"
    fake(folder, "eager", 1, config="load: eager\n")
    fake(folder, "other", 2)
    with run(folder, "--on-demand", "--max-awake", "1", "--sleep-after", "0.2") as server:
        assert states(server) == {"eager": ("READY", ""), "other": ("READY", "asleep")}
        assert ask(server, "other", 2).status_code == 200
        until_reason(server, "other", "asleep")
        server.until_figure(1, "tidegate_evictions_total", cause="idle")
        assert len(server.workers) == 1
    fake(folder, "eager", 1, config="load: on_demand\n")
    with run(folder, "--max-awake", "1") as server:
        assert states(server) == {"eager": ("READY", "asleep"), "other": ("READY", "")}
    fake(folder, "eager", 1, config="load: eager\n")
    with run(folder, "--max-awake", "1") as server:
        assert states(server) == {"eager": ("READY", ""), "other": ("READY", "")}


@pytest.mark.parametrize("forced", [False, True], ids=["orderly", "forced"])
def test_the_end_while_models_wake_and_drain(models: Path, run: Callable[..., Any], forced: bool) -> None:
    """Nothing is left of them, and who waits has an answer."""
    fake(models, "slow", 1, load={"slow": 30.0})
    fake(models, "late", 1, close={"slow": 2.0})
    words = ("--on-demand", "--max-awake", "2", "--sleep-after", "0.1", "--shutdown-grace", "1")
    with run(models, *words) as server, ThreadPoolExecutor(1) as pool:
        assert ask(server, "late", 1).status_code == 200
        waiting = pool.submit(ask, server, "slow", 1)
        until_reason(server, "slow", "waking")
        server.signal(signal.SIGTERM)
        server.until("leaving")
        if forced:
            server.signal(signal.SIGTERM)
        assert server.ended() == (128 + signal.SIGTERM if forced else 0)
        if not forced:  # else its connection is cut
            assert waiting.result().status_code == 503


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, run: Callable[..., Any]) -> None:
    """As that of any model: its request is executed again, and the model has not slept in between."""
    folder = tmp_path / "models"
    fake(folder, "m", 1)
    with run(folder, "--on-demand") as server, ThreadPoolExecutor(1) as pool:
        assert ask(server, "m", 1).status_code == 200
        (worker,) = server.workers
        asked = pool.submit(ask, server, "m", 1, parameters={"slow": 1.0})
        server.until_figure(1, "tidegate_inflight_batches")
        worker.kill()
        assert asked.result().status_code == 200
        assert server.figure("tidegate_wakings_total", outcome="woken") == 1
        assert server.figure("tidegate_replica_restarts_total") == 1


@pytest.mark.soak
@pytest.mark.framework
def test_300_models_are_served_by_4_awake(tmp_path: Path, run: Callable[..., Any]) -> None:
    """Under random access by four clients; it prints what that took."""
    joblib = pytest.importorskip("joblib")
    linear = pytest.importorskip("sklearn.linear_model")
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(300):
        fitted = linear.LinearRegression().fit([[0.0], [1.0]], [0.0, float(number)])
        joblib.dump(fitted, folder / f"m{number}.joblib")
    began = time.perf_counter()
    with run(folder, "--on-demand", "--max-awake", str(AWAKE), "--log-level", "info") as server:
        print(f"\nstart: {time.perf_counter() - began:.1f} s, {len(server.workers)} workers")
        main = psutil.Process(server.process.pid)
        print(f"the server: {private(main) >> 20} MiB before")
        began = time.perf_counter()
        with Watcher(server) as watcher, ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask_lines, server, seed, 100) for seed in range(4)]
            seconds = sorted(each for client in clients for each in client.result())
        spent = time.perf_counter() - began
        wakings = sorted(float(line.split(" awake after ")[1].split()[0]) for line in server.told.splitlines()
                         if " awake after " in line)  # fmt: skip
        assert watcher.most <= AWAKE
        assert watcher.fell == ""
        assert len(wakings) == server.figure("tidegate_wakings_total", outcome="woken")
        print(f"{len(seconds)} requests in {spent:.0f} s: {len(seconds) / spent:.2f} a second")
        print(f"a request: p50 {share(seconds, 0.5):.2f} s, p99 {share(seconds, 0.99):.2f} s")
        print(f"{len(wakings)} wakings: p50 {share(wakings, 0.5):.2f} s, p99 {share(wakings, 0.99):.2f} s")
        print(f"workers: at most {watcher.most}, {watcher.most_bytes >> 20} MiB together")
        print(f"the server: {private(main) >> 20} MiB after, {main.num_fds()} descriptors")


def ask_lines(server: Serving, seed: int, requests: int) -> list[float]:
    """Ask lines through the origin, each with a slope of its own, for their value at random places."""
    chance = random.Random(seed)
    seconds: list[float] = []
    with Client(server.url if seed % 2 else f"grpc://{server.grpc}") as client:
        for _ in range(requests):
            number, at = chance.randrange(300), chance.random()
            began = time.perf_counter()
            answer = client.infer(f"m{number}", {"X": np.array([[at]])}, timeout=300)
            seconds.append(time.perf_counter() - began)
            assert np.allclose(answer.outputs["predict"], number * at)
    return seconds


def share(values: list[float], part: float) -> float:
    """The value below which this part of the sorted values lies."""
    return values[min(int(len(values) * part), len(values) - 1)]
