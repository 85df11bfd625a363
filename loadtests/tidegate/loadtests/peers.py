"""The other servers that tidegate is compared with, each in a virtual environment of its own, with the same model.

An environment is made once in a folder of the caller's choice and kept for the next run. Each peer is started with
its default settings; those of its documentation that promise more make further peers ("tuned").
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.loadtests.server import Server, free_ports

SCRIPTS = Path(__file__).resolve().parents[2]
"""The folder loadtests/ of the checkout: the peers' own programs stand there, and are no part of a wheel."""


class Peer(msgspec.Struct, frozen=True):
    """``serve`` makes the server from its environment's python, the model's file and an empty folder for its own."""

    name: str
    environment: str
    requirements: tuple[str, ...]
    serve: Callable[[Path, Path, Path], Server]
    tuned: bool = False


class NotInstalled(Exception):
    """A peer's environment cannot be made, and what pip says."""


def install(peer: Peer, folder: Path) -> Path:
    """The python of the peer's environment under ``folder``, which is made if it is not there.

    Raises:
        NotInstalled: pip could not.
    """
    home = (folder / peer.environment).resolve()
    python = home / "bin" / "python"
    stamp = home / "requirements"
    wanted = "\n".join(peer.requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing {peer.environment}; the first time takes a few minutes", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements],
    ):
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise NotInstalled(f"{peer.environment}: {ran.stderr[-1000:]}")
    stamp.write_text(wanted)
    return python


def train(python: Path, model: Path) -> Path:
    """The iris model, saved by the scikit-learn of this python."""
    subprocess.run([python, SCRIPTS / "train_iris.py", model], check=True)
    return model


def _mlserver(python: Path, model: Path, folder: Path, **settings: float) -> Server:
    http, grpc, metrics = free_ports(3)
    # Its parallel workers fail with uvloop 0.22 and later; without them the model runs in the server's process.
    ports = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(json.dumps({**ports, "parallel_workers": 0, "debug": False}))
    implementation = {"name": "iris", "implementation": "mlserver_sklearn.SKLearnModel"}
    told = {**implementation, "parameters": {"uri": str(model)}, **settings}
    (folder / "model-settings.json").write_text(json.dumps(told))
    return Server("mlserver", [python.with_name("mlserver"), "start", folder], http, "iris", cwd=folder)


def _mlserver_batching(python: Path, model: Path, folder: Path) -> Server:
    # The example of its page on adaptive batching, with room for as many as there are connections.
    return _mlserver(python, model, folder, max_batch_size=64, max_batch_time=0.001)


def _kserve(python: Path, model: Path, folder: Path, workers: int = 1) -> Server:
    http, grpc = free_ports(2)
    command: list[str | Path] = [python, SCRIPTS / "peer_kserve.py", model]
    command += ["--http_port", str(http), "--grpc_port", str(grpc), "--workers", str(workers)]
    return Server("kserve", command, http, "iris", cwd=folder)


def _kserve_workers(python: Path, model: Path, folder: Path) -> Server:
    return _kserve(python, model, folder, workers=2)


def _fastapi(python: Path, model: Path, folder: Path) -> Server:
    [http] = free_ports(1)
    return Server("fastapi", [python, SCRIPTS / "peer_fastapi.py", model, str(http)], http, "iris", cwd=folder)


_MLSERVER = ("mlserver", "mlserver-sklearn")
_KSERVE = ("kserve", "protobuf<7", "scikit-learn", "joblib")
PEERS = (
    Peer("mlserver", "mlserver", _MLSERVER, _mlserver),
    Peer("mlserver, adaptive batching", "mlserver", _MLSERVER, _mlserver_batching, tuned=True),
    Peer("kserve", "kserve", _KSERVE, _kserve),
    Peer("kserve, 2 workers", "kserve", _KSERVE, _kserve_workers, tuned=True),
    Peer("fastapi", "fastapi", ("fastapi", "uvicorn[standard]", "scikit-learn", "joblib"), _fastapi),
)
