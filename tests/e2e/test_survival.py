"""The whole server while its worker is killed, while it is killed itself, and while it is told to go."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from tidegate.testing.process import PATIENCE, Serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gevent's and grpc's own, at import
    import tritonclient.grpc

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

COLUMNS = (4, 20_000)
"""Every other request is small; the rest need shared memory."""
REFUSED = ("503", "StatusCode.UNAVAILABLE")
CUT = "the connection ended"

Array = npt.NDArray[np.float32]
Start = Callable[..., Serving]


class HttpClient:
    """One connection; binary tensors both ways."""

    def __init__(self, server: Serving) -> None:
        self._connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)

    def ask(self, array: Array, **parameters: str | bool) -> Array | str:
        """The answer, or why there is none."""
        tensor = {
            "name": "x",
            "datatype": "FP32",
            "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        wanted = [{"name": "x", "parameters": {"binary_data": True}}]
        head = json.dumps({"inputs": [tensor], "outputs": wanted, "parameters": parameters}).encode()
        headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
        try:
            self._connection.request("POST", "/v2/models/m/infer", head + array.tobytes(), headers)
            response = self._connection.getresponse()
            body = response.read()
        except (ConnectionError, http.client.HTTPException):
            return CUT
        if response.status != 200:
            return str(response.status)
        return np.frombuffer(body, np.float32, offset=int(response.headers["inference-header-content-length"]))

    def close(self) -> None:
        self._connection.close()


class GrpcClient:
    """One channel; raw contents both ways."""

    def __init__(self, server: Serving) -> None:
        self._client = tritonclient.grpc.InferenceServerClient(server.grpc)

    def ask(self, array: Array, **parameters: str | bool) -> Array | str:
        """The answer, or why there is none."""
        tensor = tritonclient.grpc.InferInput("x", list(array.shape), "FP32")
        tensor.set_data_from_numpy(array)
        try:
            answer = self._client.infer("m", [tensor], parameters=parameters, client_timeout=PATIENCE)
        except tritonclient.grpc.InferenceServerException as error:
            return str(error.status())
        found: Array = answer.as_numpy("x")
        return found.reshape(-1)

    def close(self) -> None:
        self._client.close()


Client = HttpClient | GrpcClient


class Load:
    """Clients that ask one request after the other, each with data of its own; ``outcomes`` counts the answers."""

    def __init__(self, server: Serving, clients: int = 8) -> None:
        self.outcomes: Counter[str] = Counter()
        self._clients: list[Client] = [(HttpClient, GrpcClient)[n % 2](server) for n in range(clients)]
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    def begin(self, requests: int, answered: Callable[[int], None]) -> None:
        """Send so many requests from all clients; ``answered`` is told of each answer, one after the other."""
        numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(requests):
            numbers.put(number)
        self._threads = [
            threading.Thread(target=self._work, args=(client, numbers, answered), daemon=True)
            for client in self._clients
        ]
        for thread in self._threads:
            thread.start()

    def begin_one_each(self, first: int, last: int, **parameters: str | bool) -> None:
        """One request from each client between these two."""
        for number in range(first, last):
            args = (self._clients[number], number)
            self._threads.append(threading.Thread(target=self._ask, args=args, kwargs=parameters, daemon=True))
            self._threads[-1].start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10 * PATIENCE)
            assert not thread.is_alive()

    def _work(self, client: Client, numbers: queue.SimpleQueue[int], answered: Callable[[int], None]) -> None:
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            outcome = self._ask(client, number)
            with self._lock:
                answered(self.outcomes.total())
            if outcome != "right":
                return

    def _ask(self, client: Client, number: int, **parameters: str | bool) -> str:
        array = np.full((1, COLUMNS[number % 2]), number, dtype=np.float32)
        answer = client.ask(array, **parameters)
        if not isinstance(answer, str):
            answer = "right" if np.array_equal(answer, array[0]) else "wrong"
        with self._lock:
            self.outcomes[answer] += 1
        return answer


def get(url: str) -> tuple[int, str]:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    connection.request("GET", f"/{path}")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


class Killer:
    """Kills the worker after every so many answers, each worker once."""

    def __init__(self, server: Serving, every: int, kills: int) -> None:
        self._server = server
        self._every = every
        self._kills = kills
        self.killed: set[int] = set()

    def answered(self, count: int) -> None:
        if count >= self._every * (len(self.killed) + 1) and len(self.killed) < self._kills:
            for worker in self._server.workers:
                if worker.pid not in self.killed:
                    worker.kill()
                    self.killed.add(worker.pid)


def hold(server: Serving, requests: int, kills: int) -> dict[str, int]:
    """Send so many requests, killing so many workers in between; returns the figures of the gateway's process."""
    gateway = psutil.Process(server.process.pid)
    with Load(server) as load:
        load.begin(requests // 10, lambda count: None)  # connections, slots and caches are there after this
        load.join()
        before = gateway.num_fds(), gateway.memory_info().rss
        load.outcomes.clear()
        killer = Killer(server, requests // (kills + 1), kills)
        began = time.monotonic()
        load.begin(requests, killer.answered)
        load.join()
        seconds = time.monotonic() - began
        after = gateway.num_fds(), gateway.memory_info().rss
        assert load.outcomes == {"right": requests}
    assert len(killer.killed) == kills
    [worker] = server.workers
    assert worker.pid not in killer.killed
    return {
        "requests": requests,
        "kills": kills,
        "milliseconds": round(seconds * 1e3),
        "descriptors before": before[0],
        "descriptors after": after[0],
        "KiB before": before[1] >> 10,
        "KiB after": after[1] >> 10,
    }


def bounded(figures: dict[str, int]) -> None:
    """A descriptor for each slot that the clients may hold at once, and memory that is not given back at once."""
    assert figures["descriptors after"] <= figures["descriptors before"] + 8
    assert figures["KiB after"] <= figures["KiB before"] + (64 << 10)


def test_workers_are_killed(start: Start) -> None:
    """1,000 requests, 10 kills: each is answered with its own data, and the gateway is as it was."""
    with start() as server:
        bounded(hold(server, 1000, 10))
        assert server.stop() == 0


@pytest.mark.soak
def test_workers_are_killed_for_long(start: Start) -> None:
    """10,000 requests, 100 kills."""
    with start() as server:
        figures = hold(server, 10_000, 100)
        print(figures)
        bounded(figures)
        assert server.stop() == 0


def test_the_gateway_is_killed(start: Start) -> None:
    """SIGKILL under load: its clients see the connection end, and nothing of it is left."""
    with start() as server:
        workers = server.workers
        assert len(workers) == 1
        hundredth = threading.Event()
        with Load(server) as load:
            load.begin(1_000_000, lambda count: hundredth.set() if count == 100 else None)
            assert hundredth.wait(PATIENCE)
            server.signal(signal.SIGKILL)
            assert server.ended() == -signal.SIGKILL
            load.join()
        assert set(load.outcomes) <= {"right", CUT, *REFUSED}
        _, alive = psutil.wait_procs(workers, PATIENCE)
        assert alive == []


def test_the_gateway_is_killed_while_a_model_loads(start: Start, tmp_path: Path) -> None:
    """The worker does not load to the end for nobody."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with start(until="found", load={"gate": str(gate), "hang": True}) as server:
        gate.open("wb").close()  # the worker is loading
        workers = server.workers
        assert len(workers) == 1
        server.signal(signal.SIGKILL)
        server.ended()
        _, alive = psutil.wait_procs(workers, PATIENCE)
        assert alive == []


def test_told_to_go_under_load(start: Start, tmp_path: Path) -> None:
    """SIGTERM: readiness falls while requests are in flight, each of them is answered, and then it ends."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with start() as server, Load(server) as load:
        assert get(f"{server.status}/readyz")[0] == 200
        load.begin_one_each(0, 1, gate=str(gate))
        with gate.open("wb"):  # the first request is executing; the others wait behind it
            load.begin_one_each(1, 8)
            server.until_figure(8, "tidegate_inflight_requests")
            server.signal(signal.SIGTERM)
            server.until("leaving")
            assert get(f"{server.status}/readyz")[0] == 503
            assert load.outcomes == {}
        load.join()
        assert load.outcomes == {"right": 8}
        assert server.until("stopped")["clean"] is True
        assert server.ended() == 0


def test_told_to_go_while_requests_come(start: Start) -> None:
    """SIGTERM: every request is answered with its own data, refused, or never taken."""
    with start() as server:
        hundredth = threading.Event()
        with Load(server) as load:
            load.begin(1_000_000, lambda count: hundredth.set() if count == 100 else None)
            assert hundredth.wait(PATIENCE)
            assert server.stop() == 0
            load.join()
        assert set(load.outcomes) <= {"right", CUT, *REFUSED}
        assert load.outcomes["right"] >= 100


def test_told_twice(start: Start, tmp_path: Path) -> None:
    """The second SIGTERM ends it at once, though requests hang, and nothing is left."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    words = ("--shutdown-grace", "600", "--stop-timeout", "600")
    with start(*words) as server, Load(server) as load:
        load.begin_one_each(0, 1, gate=str(gate), hang=True)
        gate.open("wb").close()
        load.begin_one_each(1, 8)
        server.until_figure(8, "tidegate_inflight_requests")
        server.signal(signal.SIGTERM)
        server.until("leaving")
        server.signal(signal.SIGTERM)
        assert server.until("stopped")["clean"] is False
        assert server.ended() == 128 + signal.SIGTERM
        load.join()
        assert set(load.outcomes) <= {CUT, *REFUSED}
