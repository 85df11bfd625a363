"""The whole server and kill -9: what was acknowledged is there, and nothing is half applied."""

from __future__ import annotations

import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidegate.testing.service_server import ServiceServer, manifest, ready, split

pytestmark = pytest.mark.e2e

NAMES = ("a", "b", "c")
LONGEST = 0.4
"""Seconds at most from the first write to the kill: long enough for a canary to become ready, now and then."""


class Writer(threading.Thread):
    """Edits services, one after the other, until the server is gone. ``acknowledged`` has the last spec of each, and
    ``begun`` the one whose answer never came."""

    def __init__(self, server: ServiceServer, models: Path, chance: random.Random, held: dict[str, Any]) -> None:
        super().__init__()
        self._server = server
        self._models = models
        self._chance = chance
        self.acknowledged = held
        self.begun: dict[str, Any] = {}
        self.refused: list[AssertionError] = []

    def run(self) -> None:
        while True:
            name = self._chance.choice(NAMES)
            wish = self._wish(name)
            self.begun = {name: wish["spec"]}
            try:
                self._server.write(wish)
            except httpx.TransportError:
                return
            except AssertionError as error:
                self.refused.append(error)
                return
            self.acknowledged[name] = wish["spec"]

    def _wish(self, name: str) -> dict[str, Any]:
        """A model, a number of replicas, and a share for what is new, all at random."""
        model = self._models / f"{self._chance.choice('xyz')}.fake.json"
        share = self._chance.choice([None, 0, 10, 50])
        more = {} if share is None else {"canaryTrafficPercent": share}
        return manifest(name, model, "fake", replicas=self._chance.choice([1, 1, 2]), **more)


def kill_often(state: Path, models: Path, times: int, seed: int) -> None:
    """Kill a server time and again while its services are edited, and hold what is left against what was said."""
    chance = random.Random(seed)
    held: dict[str, Any] = {}
    with ServiceServer.start(state, "--threads", "1") as server:
        for _ in range(times):
            writer = Writer(server, models, chance, held)
            writer.start()
            writer.join(chance.uniform(0, LONGEST))
            server.serving.process.kill()
            writer.join()
            assert writer.refused == []
            assert server.serving.ended() == -9  # and no replica is left
            server.begin_again()
            check(server, held, writer.begun)
        for name in held:
            answered(server, name)


def check(server: ServiceServer, held: dict[str, Any], begun: dict[str, Any]) -> None:
    """Every service is as it was acknowledged, or as it was being written; and becomes what it says."""
    for name in held.keys() | begun.keys():
        answer = server.admin.get(f"/apis/tidegate.dev/v1/namespaces/default/modelservices/{name}")
        if answer.status_code == 404:
            assert name not in held
            continue
        spec = answer.json()["spec"]
        assert spec in [held.get(name), begun.get(name)]
        held[name] = spec
        numbers = [revision["spec"]["number"] for revision in server.revisions(name)]
        assert len(set(numbers)) == len(numbers)
    for name in held:
        service = server.until(name, ready)
        shares = split(service["status"])
        assert sum(shares.values()) == 100
        known = {revision["metadata"]["name"]: revision["spec"] for revision in server.revisions(name)}
        assert shares.keys() <= known.keys()
        if "canaryTrafficPercent" not in service["spec"]["predictor"]:
            settled = server.until(name, lambda status: len(split(status)) == 1)
            [revision] = split(settled["status"])
            model = (
                known.get(revision)
                or {each["metadata"]["name"]: each["spec"] for each in server.revisions(name)}[revision]
            )
            assert model["template"]["predictor"]["model"] == service["spec"]["predictor"]["model"]


def answered(server: ServiceServer, name: str) -> None:
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
    answer = server.http.post(f"/v2/models/{name}/infer", json=row)
    assert answer.status_code == 200, answer.text


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in "xyz":
        spec = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}], "journal": ""}
        (folder / f"{name}.fake.json").write_text(json.dumps(spec) + " " * "xyz".index(name))
    return folder


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, models: Path) -> None:
    """Killed 30 times at random while services are written and their traffic moves."""
    kill_often(tmp_path / "state", models, 30, seed=1)


@pytest.mark.soak
def test_what_was_acknowledged_survives_300_times(tmp_path: Path, models: Path) -> None:
    """The same, 300 times."""
    kill_often(tmp_path / "state", models, 300, seed=int.from_bytes(os.urandom(4)))
