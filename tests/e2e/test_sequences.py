"""Sequences through the whole server: Triton's clients against a model that keeps a sum for each of them."""

from __future__ import annotations

import json
import signal
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import psutil
import pytest

from tidegate.testing.process import Serving
from tidegate.testing.runtime import read_journal

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gevent's and grpc's own, at import
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

Start = Callable[..., AbstractContextManager[Serving]]
TRANSPORTS: list[Any] = [tritonclient.http, tritonclient.grpc]


def both_ready(server: Serving) -> None:
    """A server is ready with its first replica; these tests look at which of two takes what."""
    server.until_figure(2, "tidegate_replicas", state="ready")


def address(server: Serving, module: Any) -> str:
    return server.http if module is tritonclient.http else server.grpc


def tensor(module: Any, value: float) -> Any:
    tensor = module.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.full((1, 1), value, np.float32))
    return tensor


def ask(
    client: Any, module: Any, value: float, sequence: int | str = 7, start: bool = False, end: bool = False
) -> float:
    answer = client.infer("m", [tensor(module, value)], sequence_id=sequence, sequence_start=start, sequence_end=end)
    return float(answer.as_numpy("x")[0, 0])


@pytest.mark.parametrize("module", TRANSPORTS, ids=["http", "grpc"])
@pytest.mark.parametrize("identity", [7, "seven"])
def test_the_steps_of_a_sequence_share_a_state(serving: Start, module: Any, identity: int | str) -> None:
    """From its start to its end, beside others on other replicas; then it is not open any more."""
    with serving("--replicas", "2", stateful=True) as server:
        with module.InferenceServerClient(address(server, module)) as client:
            others = [f"other {number}" for number in range(4)]
            assert ask(client, module, 1, identity, start=True) == 1
            assert [ask(client, module, 100, other, start=True) for other in others] == [100] * 4
            assert ask(client, module, 2, identity) == 3
            assert [ask(client, module, 1, other) for other in others] == [101] * 4
            assert ask(client, module, 3, identity, end=True) == 6
            with pytest.raises(InferenceServerException, match="is not open"):
                ask(client, module, 4, identity)
            assert ask(client, module, 5, identity, start=True) == 5
            with pytest.raises(InferenceServerException, match="expected the parameter sequence_id"):
                client.infer("m", [tensor(module, 1)])
        assert server.figure("tidegate_sequences") == 5


def test_steps_on_a_stream_keep_their_order(serving: Start, tmp_path: Path) -> None:
    """Sent without waiting, two sequences in turns: each is executed in order, by one replica each."""
    journal = tmp_path / "journal"
    with serving("--replicas", "2", stateful=True, journal=str(journal)) as server:
        both_ready(server)
        told: Queue[tuple[Any, Any]] = Queue()
        with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
            client.start_stream(lambda result, error: told.put((result, error)))
            for number in range(1, 51):
                for identity in (1, 2):
                    client.async_stream_infer(
                        "m",
                        [tensor(tritonclient.grpc, number * identity)],
                        request_id=str(identity),
                        sequence_id=identity,
                        sequence_start=number == 1,
                        sequence_end=number == 50,
                    )
            sums: dict[str, list[float]] = {"1": [], "2": []}
            for _ in range(100):
                result, error = told.get(timeout=60)
                assert error is None, error
                sums[result.get_response().id].append(float(result.as_numpy("x")[0, 0]))
            client.stop_stream()
    running = np.cumsum(np.arange(1, 51)).tolist()
    assert sums == {"1": running, "2": [2 * total for total in running]}
    assert len({execution.pid for execution in read_journal(journal)}) == 2


def test_a_replica_that_dies_loses_its_sequences(serving: Start, tmp_path: Path) -> None:
    """The next step is told to start again, and never goes to another replica with a state that is not its own."""
    journal = tmp_path / "journal"
    with (
        serving("--replicas", "2", stateful=True, journal=str(journal)) as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        module = tritonclient.http
        both_ready(server)
        assert ask(client, module, 1, 1, start=True) == 1
        assert ask(client, module, 1, 2, start=True) == 1
        first, second = (execution.pid for execution in read_journal(journal))
        assert first != second
        psutil.Process(first).send_signal(signal.SIGKILL)
        server.until_figure(1, "tidegate_ended_sequences_total", outcome="lost")
        assert ask(client, module, 1, 2) == 2
        with pytest.raises(InferenceServerException, match="start it again with sequence_start") as lost:
            ask(client, module, 1, 1)
        assert lost.value.status() == "409"
        assert ask(client, module, 5, 1, start=True) == 5
        assert ask(client, module, 1, 1) == 6


def test_an_idle_sequence_ends(serving: Start) -> None:
    """After the time for it; and as many may be open as the setting says."""
    with (
        serving("--sequence-idle", "0", stateful=True) as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        assert ask(client, tritonclient.http, 1, start=True) == 1
        with pytest.raises(InferenceServerException, match="was idle for 0 s"):
            ask(client, tritonclient.http, 1)
    with (
        serving("--max-sequences", "1", stateful=True) as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        assert ask(client, tritonclient.http, 1, start=True) == 1
        with pytest.raises(InferenceServerException, match="has 1 sequences open"):
            ask(client, tritonclient.http, 1, 8, start=True)
        assert ask(client, tritonclient.http, 1, end=True) == 2
        assert ask(client, tritonclient.http, 1, 8, start=True) == 1
        assert json.dumps(client.get_server_metadata()["extensions"]).count("sequence") == 2
