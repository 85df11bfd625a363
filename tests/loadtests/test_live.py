"""A service under a schedule: its model, who sends what, and what the status port tells of its replicas."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import cast

import numpy as np

from tidegate.loadtests.census import Count
from tidegate.loadtests.live import MODEL, NextConnection, body, counted, program
from tidegate.testing.loading import load_model

METRICS = b"""\
# HELP tidegate_replicas Replicas by state
tidegate_replicas{model="sleeper",state="starting",version="1"} 3.0
tidegate_replicas{model="sleeper",state="ready",version="1"} 2.0
tidegate_replicas{model="sleeper",state="draining",version="1"} 1.0
tidegate_scaling_desired_replicas{model="sleeper",version="1"} 5.0
tidegate_scaling_term{model="sleeper",term="mu",version="1"} 5.5
"""


def test_the_model_answers_what_it_was_asked(tmp_path: Path) -> None:
    """It sleeps for so many seconds, here for none, and says for how many."""
    path = tmp_path / f"{MODEL}.model.py"
    path.write_text(program(0.0, 0.0, 0.3))
    [tensor] = json.loads(body(0.0))["inputs"]
    with load_model(path) as model:
        asked = np.array(tensor["data"]).reshape(tensor["shape"])
        assert model.predict({tensor["name"]: asked})["output"].tolist() == [0.0]


def test_replicas_are_read_off_the_status_port() -> None:
    """Those that are ordered, ready and there."""
    assert counted(1.5, METRICS) == Count(1.5, 5, 2, 6)


class Server(asyncio.Protocol):
    """Answers one request for each connection, notes it, and tells once so many connections are gone."""

    def __init__(self, heard: list[bytes], gone: asyncio.Semaphore) -> None:
        self._heard = heard
        self._gone = gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard.append(data)
        self._transport.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.release()


def test_each_request_is_sent_once_whoever_sends_it() -> None:
    """Connections share the messages, in the order in which their turns come."""
    heard: list[bytes] = []

    async def main() -> None:
        gone = asyncio.Semaphore(0)
        server = await asyncio.get_running_loop().create_server(lambda: Server(heard, gone), "127.0.0.1", 0)
        messages = iter([b"a", b"b", b"c"])
        port = server.sockets[0].getsockname()[1]
        first, second = (NextConnection("127.0.0.1", port, messages) for _ in range(2))
        for connection in (first, second, first):
            assert await connection.ask() == "200"
            await gone.acquire()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    assert heard == [b"a", b"b", b"c"]
