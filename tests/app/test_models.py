"""How each model is run: what its owner says and what was given beside it; threads share the cores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tidegate.app.models import available_cores, cache_of, find_models, plan, threads_of
from tidegate.app.settings import ServeSettings
from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.gateway.dataplane import GatewaySettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.replicas.settings import ReplicaSettings
from tidegate.runtimes.runtime import Artifact
from tidegate.runtimes.sample import Sample
from tidegate.storage.config import BatcherConfig, parse_config
from tidegate.storage.repository import ModelSource


def source(document: dict[str, Any]) -> ModelSource:
    """A model whose model.yaml says this."""
    return ModelSource(
        "m", "1", Path("m.x"), "fake", "x", config=parse_config(document), config_path=Path("/m.model.yaml")
    )


def settings(*given: str, **more: Any) -> ServeSettings:
    return ServeSettings((), GatewaySettings("0"), given=frozenset(given), **more)


def test_a_model_can_say_whatever_the_settings_say() -> None:
    """A setting of the batcher that model.yaml does not know would be one that no owner can set."""
    assert BatcherConfig.__struct_fields__ == tuple(
        field for field in BatcherConfig.__struct_fields__ if field in BatchSettings.__struct_fields__
    )
    assert set(BatcherConfig.__struct_fields__) == set(BatchSettings.__struct_fields__)


def test_everything_that_an_owner_says_reaches_its_place() -> None:
    """Artifact, replicas, queue and batches."""
    planned = plan(
        source(
            {
                "options": {"a": True, "b": "mine"},
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
                "outputs": [{"name": "y", "datatype": "BYTES", "shape": [-1]}],
                "device": "cuda:1",
                "threads": 3,
                "replicas": 2,
                "batcher": {
                    "max_batch": 4,
                    "idempotent": False,
                    "padded_dimensions": [{"input": "x", "axis": 1, "sizes": [8]}],
                },
                "warm_up": [{"batch_size": 4}],
            }
        ),
        settings(options={"b": "given"}, trusted=False),
        8,
    )
    assert planned.artifact == Artifact(
        "m",
        "1",
        Path("m.x"),
        trusted=False,
        threads=3,
        options={"a": "true", "b": "given"},
        inputs=(TensorSpec("x", Datatype.FP32, (-1, 4)),),
        outputs=(TensorSpec("y", Datatype.BYTES, (-1,)),),
        device="cuda:1",
        warm_up=(Sample(batch_size=4),),
    )
    assert planned.replica == ReplicaSettings(replicas=2)
    assert planned.batching == BatchSettings(
        max_batch=4, idempotent=False, padded_dimensions=(PaddedDimension("x", 1, (8,)),)
    )


def test_what_was_given_goes_before_what_a_model_says() -> None:
    """And that before what holds for all models by default."""
    one = source({"replicas": 2, "threads": 3, "batcher": {"max_batch": 4, "max_queue": 5}})
    everywhere = {
        "threads": 1,
        "replica": ReplicaSettings(replicas=7),
        "batching": BatchSettings(max_batch=9, max_queue=9, ageing=1.0),
    }
    planned = plan(one, settings("replicas", "threads", "max_batch", **everywhere), 8)
    assert (planned.artifact.threads, planned.replica.replicas) == (1, 7)
    assert planned.batching == BatchSettings(max_batch=9, max_queue=5, ageing=1.0)
    planned = plan(one, settings(**everywhere), 8)
    assert (planned.artifact.threads, planned.replica.replicas) == (3, 2)
    assert planned.batching == BatchSettings(max_batch=4, max_queue=5, ageing=1.0)


@pytest.mark.parametrize(
    ("said", "option", "expected"),
    [(None, False, False), (None, True, True), ("eager", True, False), ("on_demand", False, True)],
)
def test_when_a_model_is_loaded_is_its_own_affair_first(said: str | None, option: bool, expected: bool) -> None:
    """The option is for all, and some must always be awake."""
    document = {} if said is None else {"load": said}
    assert plan(source(document), settings("on_demand", on_demand=option), 2).on_demand is expected


def test_who_shares_an_execution_is_bounded_as_the_model_s_own_queue() -> None:
    """Not as that of the models that say nothing."""
    small = plan(source({"batcher": {"max_queue": 7}}), settings(cache_bytes=1000), 2)
    assert (cache_of(small, 1000).max_bytes, cache_of(small, 1000).max_queue) == (1000, 7)


def test_threads_are_shared_among_the_replicas_that_a_model_has() -> None:
    """Its own number of them, not that of all models."""
    assert plan(source({"replicas": 4}), settings(), 8).artifact.threads == 2


def test_a_contradiction_is_told_with_its_file() -> None:
    """Whether within the file, or with what was given."""
    with pytest.raises(ModelLoadFailed) as caught:
        plan(source({"batcher": {"batch_sizes": [4, 2]}}), settings(), 8)
    assert caught.value.message == (
        "'/m.model.yaml': batcher: batch_sizes is 4,2, expected ascending whole numbers of at least 1"
    )


def test_a_model_that_counts_its_executions_is_not_cached() -> None:
    """What its owner says contradicts the server's option, and no execution that is wanted is spared in silence."""
    counting = source({"batcher": {"idempotent": False}})
    assert not plan(counting, settings(), 2).batching.idempotent
    with pytest.raises(
        ModelLoadFailed, match=r"^'/m\.model\.yaml': batcher: idempotent is false, expected true beside"
    ):
        plan(counting, settings(cache_bytes=1000), 2)


def test_versions_of_one_model_ascend_over_all_paths(tmp_path: Path) -> None:
    """The last one is the default, whichever path was named first."""
    for place in ("b/m/10", "a/m/9"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "x.fake.json").touch()
    found = find_models([tmp_path / "b", tmp_path / "a"])
    assert [(each.name, each.version) for each in found] == [("m", "9"), ("m", "10")]


@pytest.mark.parametrize(
    ("threads", "replicas", "cores", "expected"),
    [
        pytest.param(0, 1, 8, 0, id="one-replica-is-the-frameworks-choice"),
        pytest.param(0, 2, 8, 4, id="shared"),
        pytest.param(0, 3, 8, 2, id="rounded-down"),
        pytest.param(0, 9, 8, 1, id="more-replicas-than-cores"),
        pytest.param(3, 1, 8, 3, id="as-told"),
        pytest.param(6, 4, 8, 6, id="as-told-beyond-the-cores"),
    ],
)
def test_replicas_share_the_cores(threads: int, replicas: int, cores: int, expected: int) -> None:
    """Unless the number of threads is told; one replica alone is left to its framework."""
    assert threads_of(threads, replicas, cores) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinities")
def test_only_cores_that_may_be_used_are_counted() -> None:
    """A container or taskset gives a process fewer than the machine has."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cores() == len(allowed)
