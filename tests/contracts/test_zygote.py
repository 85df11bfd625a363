"""What every framework must bear: it is imported in one process, and computes in those that are forked from it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidegate.batching.settings import BatchSettings
from tidegate.protocol.messages import InferRequest
from tidegate.protocol.tensors import Tensor
from tidegate.replicas.backend import LocalBackend
from tidegate.replicas.settings import ReplicaSettings
from tidegate.replicas.zygotes import Kind, Zygotes
from tidegate.runtimes.runtime import Artifact
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.zoo import huggingface, lightgbm, onnx, python, sklearn, tensorflow, torch, xgboost
from tidegate.testing.zoo.case import Case

pytestmark = [
    pytest.mark.framework,
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no zygotes"),
]

CASES = tuple(zoo.CASES[0] for zoo in (sklearn, onnx, xgboost, lightgbm, torch, tensorflow, huggingface, python))

LOOKING = """
from typing import Annotated
import threadpoolctl
import numpy as np
from tidegate.runtimes import model

@model
def look(x: Annotated[np.ndarray, "FP64", -1, 1]) -> Annotated[np.ndarray, "FP64", -1, -1]:
    x @ x.T
    threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return np.array([[*threads, np.random.random(), np.random.random()]] * len(x))
"""

Answers = dict[str, npt.NDArray[Any]]


async def answers(
    artifact: Artifact, runtime: str, path: Path, zygotes: Zygotes | None, inputs: dict[str, npt.NDArray[Any]]
) -> Answers:
    """Of a worker that is started for them alone."""
    settings = ReplicaSettings(directory=str(path), start_method="spawn" if zygotes is None else "zygote")
    metrics = Metrics("t").bind("m", "1")
    backend = LocalBackend(artifact, runtime, settings, metrics, BatchSettings(), zygotes=zygotes)
    await backend.start()
    try:
        await backend.wait_ready(120)
        assert backend.metadata is not None
        specs = backend.metadata.inputs
        tensors = tuple(Tensor.from_numpy(spec.name, inputs[spec.name], spec.datatype) for spec in specs)
        answer = await backend.infer(InferRequest("m", tensors), asyncio.get_running_loop().time() + 60)
        try:
            return {output.name: output.numpy().copy() for output in answer.response.outputs}
        finally:
            answer.release()
    finally:
        await backend.stop()


async def with_zygote(kind: Kind, use: Callable[[Zygotes], Any]) -> Any:
    """Use zygotes of which the one of this kind is ready."""
    zygotes = Zygotes(timeout=60)
    try:
        zygotes.worker_ready(kind, "zygote")
        async with asyncio.timeout(120):
            while not (zygote := zygotes.running[kind]).ready:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        result = await use(zygotes)
        assert zygote.forked > 0
        return result
    finally:
        zygotes.close()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.runtime.name) for case in CASES])
def test_a_forked_worker_computes(case: Case, tmp_path: Path) -> None:
    """Two threads, a batch of many rows: the answers are the framework's own."""
    (tmp_path / "model").mkdir()
    path = case.write(tmp_path / "model")
    artifact = Artifact(
        "m", "1", path, True, 2, dict(case.options or {}), inputs=case.inputs, outputs=case.outputs, device="cpu"
    )
    inputs = dict(case.sample())
    name = case.runtime.name
    given = asyncio.run(with_zygote(Kind(name, 2), lambda zygotes: answers(artifact, name, tmp_path, zygotes, inputs)))
    wanted = case.expected(path, inputs)
    assert given.keys() == wanted.keys()
    for output, array in wanted.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(given[output], array, rtol=case.tolerance, atol=case.tolerance)
        else:
            assert [_text(value) for value in given[output].flat] == [_text(value) for value in array.flat]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_random_numbers(threads: int, tmp_path: Path) -> None:
    """A forked worker has as many threads as a spawned one, and draws numbers of its own."""
    path = tmp_path / "look.model.py"
    path.write_text(LOOKING)
    artifact = Artifact("m", "1", path, trusted=True, threads=threads)
    inputs = {"x": np.zeros((1, 1))}

    async def look(zygotes: Zygotes | None) -> list[float]:
        [output] = (await answers(artifact, "python", tmp_path, zygotes, inputs)).values()
        return [float(value) for value in output[0]]

    async def looks(zygotes: Zygotes) -> list[list[float]]:
        return [await look(zygotes), await look(zygotes), await look(None)]

    first, second, spawned = asyncio.run(with_zygote(Kind("python", threads), looks))
    assert first[:-2] == second[:-2] == spawned[:-2] != []
    assert set(first[:-2]) == {threads}
    assert len({*first[-2:], *second[-2:], *spawned[-2:]}) == 6
