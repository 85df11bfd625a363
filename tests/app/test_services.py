"""From a revision to the model that runs: its template, the model's own settings, and then real replicas."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from tidegate.app.events import Event, Found, Loaded, LoadFailed, Unloaded
from tidegate.app.news import News
from tidegate.app.services import ServiceModels, plan_of
from tidegate.app.settings import ServeSettings
from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.control.activation import ActivationSettings
from tidegate.control.activator import Activator
from tidegate.control.actuator import LocalActuator, LocalActuatorSettings
from tidegate.control.resolver import LocalResolver, ResolverSettings
from tidegate.gateway.dataplane import GatewaySettings
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.settings import ReplicaSettings
from tidegate.resources.actuator import Phase, Resolved, RevisionId, Standing, Workload
from tidegate.runtimes.sample import Sample
from tidegate.runtimes.trust import TrustPolicy
from tidegate.storage.cache import ArtifactCache, CacheSettings
from tidegate.storage.config import parse_config
from tidegate.storage.repository import ModelSource
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.process import PATIENCE
from tidegate.testing.zoo.python import write_folder

ONE = RevisionId("default", "m", 1)
SETTINGS = ServeSettings((), GatewaySettings("test"))


def planned(
    template: dict[str, Any],
    config: dict[str, Any] | None = None,
    files: Path = Path(),
    replicas: int = 1,
    settings: ServeSettings = SETTINGS,
) -> Any:
    source = ModelSource("m", "1", Path("m.fake.json"), "fake", "fake", config=parse_config(config))
    workload = Workload(ONE, {"predictor": template}, Resolved("m", "", runtime="fake"), replicas)
    return plan_of(workload, source, files, settings, 8)


def test_a_template_that_says_nothing() -> None:
    """Everything is as the model's own settings say, and else as the server's."""
    own = {"threads": 3, "device": "cpu", "batcher": {"max_batch": 7}, "options": {"a": "1"}, "replicas": 4}
    settings = msgspec.structs.replace(SETTINGS, batching=BatchSettings(max_queue=11), on_demand=True)
    plan = planned({}, own, replicas=2, settings=settings)
    assert (plan.artifact.threads, plan.artifact.device, plan.artifact.options) == (3, "cpu", {"a": "1"})
    assert (plan.batching.max_batch, plan.batching.max_queue) == (7, 11)
    assert (plan.replica.replicas, plan.on_demand) == (2, False)


def test_what_a_template_says_goes_before_the_model_s_own_settings() -> None:
    """Field by field."""
    template = {
        "model": {
            "modelFormat": {"name": "fake"},
            "threads": 2,
            "device": "cuda:1",
            "options": {"a": "2"},
        },
        "batcher": {
            "maxBatchSize": 16,
            "maxLatency": "5ms",
            "maxQueue": 9,
            "allowedSizes": [4, 16],
            "pad": {"x:1": [8, 64]},
            "priorities": {"ageing": "2s"},
        },
        "warmup": [{"batchSize": 4}],
    }
    own = {
        "threads": 3,
        "device": "cpu",
        "options": {"a": "1", "b": "1"},
        "batcher": {"max_batch": 7, "max_latency": 1.0, "max_buckets": 5},
        "warm_up": [{"batch_size": 1}],
    }
    plan = planned(template, own)
    assert (plan.artifact.threads, plan.artifact.device) == (2, "cuda:1")
    assert plan.artifact.options == {"a": "2", "b": "1"}
    assert plan.artifact.warm_up == (Sample(batch_size=4),)
    assert plan.batching == BatchSettings(
        max_batch=16,
        max_latency=0.005,
        max_queue=9,
        batch_sizes=(4, 16),
        padded_dimensions=(PaddedDimension("x", 1, (8, 64)),),
        ageing=2.0,
        max_buckets=5,
    )


def test_several_replicas_share_the_cores() -> None:
    """As many threads each as there are cores for; a number that is told holds."""
    assert planned({}, replicas=4).artifact.threads == 2
    model = {"model": {"modelFormat": {"name": "fake"}, "threads": 5}}
    assert planned(model, replicas=4).artifact.threads == 5


def test_a_sample_from_a_file_of_the_model(tmp_path: Path) -> None:
    """A request in v2's JSON, its data flat or nested."""
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]},
        {"name": "t", "datatype": "BYTES", "shape": [2, 1], "data": [["a"], ["b"]]},
    ]
    (tmp_path / "sample.json").write_text(json.dumps({"inputs": inputs}))
    plan = planned({"warmup": [{"file": "sample.json"}]}, files=tmp_path)
    assert plan.artifact.warm_up == (Sample(data={"x": [[1, 2], [3, 4]], "t": [["a"], ["b"]]}),)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param(
            {"warmup": [{"file": "../secret.json"}]},
            "spec.predictor.warmup[0].file '../secret.json' is none of the model's files",
            id="a file elsewhere",
        ),
        pytest.param(
            {"warmup": [{"batchSize": 1}, {"file": "bad.json"}]},
            "spec.predictor.warmup[1].file 'bad.json' is no request in v2's JSON: Object missing required field "
            "`inputs`",
            id="no request",
        ),
        pytest.param(
            {"batcher": {"allowedSizes": [8, 4]}},
            "spec.predictor.batcher: batch_sizes is 8,4, expected ascending whole numbers of at least 1",
            id="sizes that do not ascend",
        ),
        pytest.param(
            {"batcher": {"pad": {"x:0": [4]}}},
            "spec.predictor.batcher.pad.x:0: axis is 0, expected at least 1",
            id="the axis of the rows",
        ),
        pytest.param(
            {"batcher": {"maxBatchSize": "many"}},
            "spec.predictor.batcher.maxBatchSize of the revision is not as this version of tidegate expects it",
            id="of another version",
        ),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, template: dict[str, Any], message: str) -> None:
    """The field is named."""
    (tmp_path.parent / "secret.json").write_text("{}")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ModelLoadFailed) as caught:
        planned(template, files=tmp_path)
    assert caught.value.message == message


class Stage:
    """An actuator of real processes, and the resolver before it."""

    def __init__(self, path: Path, *trusted: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.cache = ArtifactCache(CacheSettings(directory=path / "cache"))
        resolving = ResolverSettings(base=path, trust=TrustPolicy(trusted))
        replica = ReplicaSettings(directory=str(path), backoff_initial=0.01)
        settings = msgspec.structs.replace(SETTINGS, replica=replica)
        metrics = Metrics("test")
        activator = Activator(ActivationSettings(), metrics.activation)
        models = ServiceModels(
            settings, 4, self.cache, resolving, activator, lambda workload: metrics.bind("m", "1"), self.told
        )
        self.resolver = LocalResolver(self.cache, resolving)
        self.actuator = LocalActuator(models.make, LocalActuatorSettings(), News(self.told, lambda *_: False))
        self.changed = asyncio.Event()
        self.actuator.subscribe(lambda *_: self.changed.set())

    def told(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def workload(self, number: int = 1, replicas: int = 1, **spec: Any) -> Workload:
        (self.path / "m.fake.json").write_text(json.dumps(spec))
        template = {"predictor": {"model": {"modelFormat": {"name": "fake"}, "storageUri": "m.fake.json"}}}
        resolved = await self.resolver.resolve("default", template)
        return Workload(RevisionId("default", "m", number), template, resolved, replicas)

    async def until(self, holds: Callable[[dict[int, Standing]], bool]) -> None:
        while not holds(dict(await self.actuator.observe("default", "m"))):
            self.changed.clear()
            await self.changed.wait()

    async def ready(self, number: int = 1, replicas: int = 1) -> None:
        await self.until(
            lambda told: number in told and (told[number].phase, told[number].ready) == (Phase.READY, replicas)
        )

    async def infer(self, number: int = 1, **parameters: Any) -> str:
        lease = self.actuator.backend(RevisionId("default", "m", number))
        assert lease is not None
        request = InferRequest("m", (Tensor.from_numpy("x", np.ones((1, 2), np.float32)),), parameters=parameters)
        answer = await lease.infer(request, asyncio.get_running_loop().time() + PATIENCE)
        answer.release()
        return answer.response.model_version


def run(path: Path, main: Callable[[Stage], Coroutine[Any, Any, None]], *trusted: Path) -> None:
    async def whole() -> None:
        stage = Stage(path, *trusted)
        try:
            await main(stage)
        finally:
            await stage.actuator.stop()
            stage.cache.close()
        assert psutil.Process().children() == []

    asyncio.run(asyncio.wait_for(whole(), 2 * PATIENCE))


@pytest.mark.e2e
def test_a_revision_in_real_processes(tmp_path: Path) -> None:
    """It answers by its number as version, has more and fewer replicas, survives a crash, and ends."""

    async def main(stage: Stage) -> None:
        await stage.actuator.run(await stage.workload(number=4))
        await stage.ready(4)
        assert await stage.infer(4) == "4"
        await stage.actuator.run(await stage.workload(number=4, replicas=2))
        await stage.ready(4, 2)
        for process in psutil.Process().children():
            os.kill(process.pid, 9)
        await stage.until(lambda told: told[4].phase is Phase.STARTING)
        await stage.ready(4, 2)
        await stage.actuator.run(await stage.workload(number=4, replicas=1))
        await stage.ready(4, 1)
        assert await stage.infer(4) == "4"
        await stage.actuator.end(RevisionId("default", "m", 4))
        await stage.until(lambda told: not told)
        await stage.actuator.run(await stage.workload(number=4))
        await stage.ready(4)

    run(tmp_path, main)


@pytest.mark.e2e
def test_two_revisions_beside_each_other_and_the_way_back(tmp_path: Path) -> None:
    """Each of its own content; the older one starts anew from its copy though its file is another one by now."""

    async def main(stage: Stage) -> None:
        old = await stage.workload(1)
        new = await stage.workload(2, behaviour="raise")
        await stage.actuator.run(old)
        await stage.actuator.run(new)
        await stage.ready(1)
        await stage.ready(2)
        await stage.actuator.end(old.id)
        await stage.until(lambda told: 1 not in told)
        (tmp_path / "m.fake.json").unlink()
        await stage.actuator.run(old)
        await stage.ready(1)
        assert await stage.infer(1) == "1"
        with pytest.raises(Exception, match="True"):
            await stage.infer(2)

    run(tmp_path, main)


@pytest.mark.e2e
def test_a_model_that_refuses_has_failed_with_its_own_words(tmp_path: Path) -> None:
    """And what its replica wrote is there to be read; a crash loop has failed, too, and is tried on."""

    async def main(stage: Stage) -> None:
        refused = await stage.workload(1, load={"refuse": "it is too old"})
        looping = await stage.workload(2, load={"noise": True, "crash": True})
        await stage.actuator.run(refused)
        await stage.actuator.run(looping)
        await stage.until(lambda told: {each.phase for each in told.values()} == {Phase.FAILED})
        told = await stage.actuator.observe("default", "m")
        assert told[1] == Standing(Phase.FAILED, 0, 1, "it is too old")
        assert "its worker was killed by SIGKILL while it loaded" in told[2].reason
        assert "a model prints" in [line.text for line in stage.actuator.logs(looping.id)]

    run(tmp_path, main)


@pytest.mark.e2e
def test_what_becomes_of_a_revision_is_told(tmp_path: Path) -> None:
    """Once for each life: which model it is, that it answers or why not, and that it is gone."""

    async def main(stage: Stage) -> None:
        good, bad = await stage.workload(1), await stage.workload(2, load={"refuse": "it is too old"})
        await stage.actuator.run(good)
        await stage.ready(1)
        await stage.actuator.run(msgspec.structs.replace(good, replicas=2))
        await stage.ready(1, 2)
        await stage.actuator.end(good.id)
        await stage.until(lambda told: not told)
        await stage.actuator.run(bad)
        await stage.until(lambda told: isinstance(stage.events[-1], LoadFailed))
        found, loaded, unloaded, other, failed = stage.events
        assert isinstance(found, Found)
        assert (found.model, found.version, found.path) == ("m", "1", str(tmp_path / "m.fake.json"))
        assert isinstance(loaded, Loaded)
        assert unloaded == Unloaded("m", "1")
        assert isinstance(other, Found)
        assert failed == LoadFailed("m", "2", "it is too old")

    run(tmp_path, main)


@pytest.mark.e2e
def test_a_copy_that_is_gone_is_told(tmp_path: Path) -> None:
    """Nothing is started in its place."""

    async def main(stage: Stage) -> None:
        workload = await stage.workload()
        await stage.resolver.keep(frozenset())
        with ArtifactCache(CacheSettings(directory=tmp_path / "cache", max_bytes=0)) as other:
            (tmp_path / "o.onnx").write_text("other")
            other.hold(tmp_path / "o.onnx")
        await stage.actuator.run(workload)
        await stage.until(lambda told: told[1].phase is Phase.FAILED)
        told = await stage.actuator.observe("default", "m")
        assert told[1].reason == (
            f"the content of revision 1 of default/m, {workload.resolved.digest}, is not in the model cache"
        )

    run(tmp_path, main)


@pytest.mark.e2e
def test_trust_that_was_taken_back_holds_for_what_was_resolved_before(tmp_path: Path) -> None:
    """A program runs where its place is trusted; after a start without that, its replicas refuse to read it."""
    write_folder(tmp_path)
    template = {"predictor": {"model": {"modelFormat": {"name": "python"}, "storageUri": "iris"}}}
    made: list[Workload] = []

    async def trusting(stage: Stage) -> None:
        made.append(Workload(ONE, template, await stage.resolver.resolve("default", template)))
        await stage.actuator.run(made[0])
        await stage.ready()

    async def no_more(stage: Stage) -> None:
        await stage.actuator.run(made[0])
        await stage.until(lambda told: told[1].phase is Phase.FAILED)
        told = await stage.actuator.observe("default", "m")
        assert "is a Python folder file, and reading one can run any code" in told[1].reason

    run(tmp_path, trusting, tmp_path)
    run(tmp_path, no_more)
