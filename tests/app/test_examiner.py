"""A revision is tried out by stored requests before it answers anybody."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import msgspec
import pytest

from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.app.examiner import LocalExaminer
from tidegate.app.golden import GoldenSettings
from tidegate.control.actuator import LocalActuator, LocalActuatorSettings
from tidegate.control.model import Model
from tidegate.control.rollouts.examiner import Examiner
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import ExecutionFailed, ModelNotReady, ShuttingDown
from tidegate.replicas.log import Log
from tidegate.resources.actuator import Resolved, RevisionId, Workload
from tidegate.resources.rollout import Check, Golden, Tolerance, Webhook
from tidegate.runtimes.trust import TrustPolicy
from tidegate.testing.backends import IdentityBackend, identity_metadata
from tidegate.testing.clock import run_virtual
from tidegate.testing.lives import FakeLives

STABLE, CANARY = RevisionId("default", "iris", 1), RevisionId("default", "iris", 2)


class Scene:
    """A revision that answers with its inputs, whose model is a directory with stored requests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "golden").mkdir()
        self.backend: IdentityBackend | None = IdentityBackend(identity_metadata("iris"))
        self.workload: Workload | None = Workload(CANARY, {}, Resolved(str(directory), ""))
        self.examiner = LocalExaminer(
            lambda revision: self.backend if revision == CANARY else None,
            lambda revision: self.workload,
            TrustPolicy(),
            OutgoingSettings(origins=("http://checks.example",)),
            GoldenSettings(timeout=5.0),
            transport=httpx.MockTransport(
                lambda request: httpx.Response(200, stream=httpx.ByteStream(b'{"outcome": "pass"}'))
            ),
        )

    def store(self, name: str, given: list[float], expected: list[float], **request: object) -> None:
        tensor = {"name": "fp32", "datatype": "FP32", "shape": [1, len(given)]}
        document = {
            "request": {"inputs": [{**tensor, "data": given}], **request},
            "response": {"outputs": [{**tensor, "data": expected}]},
        }
        (self.directory / "golden" / name).write_text(json.dumps(document))

    def golden(self, uri: str = "golden", **tolerance: float) -> Verdict:
        told = Golden(uri=uri, tolerance=Tolerance(**tolerance) if tolerance else None)
        return run_virtual(self.examiner.golden(CANARY, told))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_revision_that_answers_as_stored_passes(scene: Scene) -> None:
    """The answers' memory is given back."""
    scene.store("a.json", [1, 2], [1, 2])
    assert scene.golden() == Verdict(
        "golden", Outcome.PASS, "golden: 1 stored request is answered as expected", {"requests": 1}
    )
    scene.store("b.json", [3], [3])
    assert scene.golden().sentence == "golden: all 2 stored requests are answered as expected"
    assert scene.backend is not None
    assert all(answer.released for answer in scene.backend.answers)


def test_the_first_one_that_is_answered_otherwise_fails_it(scene: Scene) -> None:
    """With its file, its output, and both values; those behind it are not sent."""
    scene.store("a.json", [1, 2], [1, 2])
    scene.store("b.json", [1, 2], [1, 2.5])
    scene.store("c.json", [1, 2], [1, 2])
    assert scene.golden() == Verdict(
        "golden", Outcome.FAIL, "golden b.json: output 'fp32'[0, 1] is 2, expected 2.5", {"requests": 2}
    )
    assert scene.backend is not None
    assert len(scene.backend.requests) == 2
    assert scene.golden(rtol=0.25).outcome is Outcome.PASS


def test_a_request_that_fails_fails_it(scene: Scene) -> None:
    """Whether the model raises, takes too long, or does not take it."""
    scene.store("a.json", [1], [1])
    assert scene.backend is not None
    scene.backend.error = ExecutionFailed("it raised")
    assert scene.golden().sentence == "golden a.json: it raised"
    scene.backend.error = ZeroDivisionError()
    assert scene.golden().outcome is Outcome.FAIL
    scene.backend.error = None
    scene.backend.gate = asyncio.Event()
    assert scene.golden().sentence == "golden a.json: model 'iris' did not answer before the request's deadline"
    scene.backend.gate = None
    scene.store("a.json", [1], [1], outputs=[{"name": "y"}])
    verdict = scene.golden()
    assert verdict.outcome is Outcome.FAIL
    assert "'y'" in verdict.sentence


@pytest.mark.parametrize("error", [ShuttingDown(), ModelNotReady("iris", "it starts")])
def test_a_server_that_ends_says_nothing_of_the_revision(scene: Scene, error: ShuttingDown | ModelNotReady) -> None:
    """It must not be rejected for it."""
    scene.store("a.json", [1], [1])
    assert scene.backend is not None
    scene.backend.error = error
    assert scene.golden() == Verdict("golden", Outcome.NO_DATA, f"golden: {error.message}")


def test_what_cannot_be_read_is_no_data(scene: Scene) -> None:
    """One broken document among good ones, too: nobody knows what it was to say."""
    assert "has no requests" in scene.golden().sentence
    assert "neither in the model's own directory" in scene.golden("/etc").sentence
    scene.store("a.json", [1], [1])
    (scene.directory / "golden" / "b.json").write_text("{}")
    verdict = scene.golden()
    assert verdict.outcome is Outcome.NO_DATA
    assert verdict.sentence.startswith("golden: b.json")
    assert scene.backend is not None
    assert scene.backend.requests == []


def test_what_does_not_run_or_has_no_one_answer_is_no_data(scene: Scene) -> None:
    """Streams, and models that keep a state."""
    scene.store("a.json", [1], [1])
    assert scene.backend is not None
    for change in ({"decoupled": True}, {"stateful": True}):
        scene.backend._metadata = msgspec.structs.replace(identity_metadata("iris"), **change)
        assert scene.golden().outcome is Outcome.NO_DATA
    scene.backend = None
    assert scene.golden().sentence == "golden: revision 2 of default/iris does not answer"


def test_a_model_of_another_machine_has_no_directory_here(scene: Scene) -> None:
    """A relative path counts from nowhere then."""
    scene.workload = Workload(CANARY, {}, Resolved("s3://bucket/iris", ""))
    assert "is a relative path" in scene.golden().sentence


def test_a_revision_of_an_actuator_is_tried_out(tmp_path: Path) -> None:
    """By what the actuator tells of it, as long as it runs."""
    scene = Scene(tmp_path)
    scene.store("a.json", [1, 2], [1, 2])
    lives = FakeLives("iris")

    async def make(workload: Workload, log: Log) -> Model:
        return lives.next()

    async def main() -> None:
        actuator = LocalActuator(make, LocalActuatorSettings())
        examiner: Examiner = LocalExaminer(actuator.backend, actuator.workload, TrustPolicy(), OutgoingSettings())
        golden = Golden(uri="golden")
        assert (await examiner.golden(CANARY, golden)).outcome is Outcome.NO_DATA
        assert scene.workload is not None
        await actuator.run(scene.workload)
        await asyncio.sleep(60.0)
        assert actuator.workload(CANARY) == scene.workload
        assert (await examiner.golden(CANARY, golden)).outcome is Outcome.PASS
        await actuator.stop()

    run_virtual(main())


def test_a_check_is_asked_about_both_revisions(scene: Scene) -> None:
    """Through the guard of outgoing requests."""
    check = Check(name="slo", webhook=Webhook(url="http://checks.example/a"))
    verdict = asyncio.run(scene.examiner.ask(check, STABLE, CANARY, "step 1"))
    assert verdict == Verdict("check/slo", Outcome.PASS, "check/slo says pass")
