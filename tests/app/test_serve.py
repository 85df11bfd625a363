"""The all-in-one server inside this process, from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest
import uvloop

from tidegate.app.admin import AdminSettings
from tidegate.app.events import Event, Leaving, Listening, Loaded, LoadFailed, Ready, Stopped
from tidegate.app.models import find_models, told
from tidegate.app.serve import address, serve
from tidegate.app.settings import ServeSettings
from tidegate.gateway.address import CannotListen
from tidegate.gateway.dataplane import GatewaySettings
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.replicas.settings import ReplicaSettings


def settings(*paths: Path, grpc_port: int = 0, workers: Path | None = None) -> ServeSettings:
    return ServeSettings(
        paths,
        GatewaySettings("0"),
        http=HttpSettings(port=0),
        grpc=GrpcSettings(port=grpc_port),
        admin=AdminSettings(http=HttpSettings(port=0)),
        status=HttpSettings(port=0),
        replica=ReplicaSettings(directory=str(workers or "")),
    )


def lived(settings: ServeSettings, end: type[Event]) -> tuple[int, list[Event]]:
    """Run a server, with a SIGTERM to this process once an event of the type ``end`` is announced."""
    events: list[Event] = []

    def announce(event: Event) -> None:
        events.append(event)
        if isinstance(event, end):
            os.kill(os.getpid(), signal.SIGTERM)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(serve(settings, announce)), events
        finally:
            gc.unfreeze()


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    path = tmp_path / "echo.fake.json"
    path.write_text("{}")
    return path


@pytest.mark.e2e
def test_a_life_in_order(echo: Path) -> None:
    """Every event in its place, and nothing left of the replica."""
    # Not pytest's own directory, which may be longer than the 107 bytes of a Unix socket's path.
    with tempfile.TemporaryDirectory() as workers:
        code, events = lived(settings(echo, workers=Path(workers)), Ready)
        assert list(Path(workers).iterdir()) == []
    assert code == 0
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Listening", "Found", "Loaded", "Ready", "Leaving", "Stopped"]
    assert events[-2:] == [Leaving("SIGTERM", 30.0), Stopped(True)]


@pytest.mark.e2e
def test_a_signal_before_the_models_are_loaded(echo: Path) -> None:
    """The start is broken off."""
    code, events = lived(settings(echo), Listening)
    assert code == 0
    assert not any(isinstance(event, Loaded) for event in events)
    assert events[-1] == Stopped(True)


@pytest.mark.e2e
def test_nothing_to_serve(tmp_path: Path) -> None:
    """Every model has failed: the server ends by itself."""
    path = tmp_path / "broken.fake.json"
    path.write_text("{")
    code, events = lived(settings(path), Leaving)
    assert code == 1
    assert isinstance(events[-1], LoadFailed)
    assert "'broken.fake.json' is no fake model" in events[-1].reason


def test_a_taken_port_leaves_nothing_open(echo: Path) -> None:
    """The listeners that had been opened by then are closed again, and no replica was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            lived(settings(echo, grpc_port=port), Leaving)


def test_models_come_from_every_path(tmp_path: Path) -> None:
    """Files and directories, in the order in which they are named."""
    folder = tmp_path / "models"
    (folder / "b" / "7").mkdir(parents=True)
    for path in (tmp_path / "z.fake.json", folder / "a.fake.json", folder / "b" / "7" / "model.fake.json"):
        path.write_text("{}")
    sources = find_models([tmp_path / "z.fake.json", folder])
    assert [(source.name, source.version) for source in sources] == [("z", "1"), ("a", "1"), ("b", "7")]
    assert told(sources[0]).reason == "its name ends in .fake.json"


def test_a_name_renames_the_only_model(echo: Path) -> None:
    """The file keeps its own."""
    (source,) = find_models([echo], "parrot")
    assert (source.name, source.path) == ("parrot", echo)


def test_two_models_of_one_name_are_refused(echo: Path, tmp_path: Path) -> None:
    """Both paths are named."""
    other = tmp_path / "other" / echo.name
    other.parent.mkdir()
    other.write_text("{}")
    with pytest.raises(ModelLoadFailed, match="would both be model 'echo' version 1"):
        find_models([echo, other])


@pytest.mark.parametrize(
    ("host", "text"),
    [
        pytest.param("127.0.0.1", "127.0.0.1:80", id="IPv4"),
        pytest.param("::1", "[::1]:80", id="IPv6"),
        pytest.param("localhost", "localhost:80", id="name"),
    ],
)
def test_addresses_can_be_pasted_into_a_url(host: str, text: str) -> None:
    """So an IPv6 one has brackets."""
    assert address(host, 80) == text
