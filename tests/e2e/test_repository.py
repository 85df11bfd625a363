"""A repository of models from the command line: versions, model.yaml, warm-up, and copies that do not change."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidegate.testing.process import Serving

pytestmark = pytest.mark.e2e


def fake(path: Path, width: int = 2, **more: Any) -> Path:
    """A model whose answer tells how wide its rows are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, width]}]} | more))
    return path


def get(server: Serving, path: str) -> Any:
    return httpx.get(f"{server.url}/v2/models/{path}", trust_env=False).json()


def width(server: Serving, path: str) -> int:
    return int(get(server, path)["inputs"][0]["shape"][1])


def infer(server: Serving, path: str, size: int) -> httpx.Response:
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, size], "data": [1.0] * size}]}
    return httpx.post(f"{server.url}/v2/models/{path}/infer", json=row, trust_env=False, timeout=60)


def test_versions_are_served_side_by_side(tmp_path: Path) -> None:
    """Those of the policy, each by its number; the highest where a caller names none."""
    for version in (1, 2, 10):
        fake(tmp_path / "m" / str(version) / "model.fake.json", width=version)
    (tmp_path / "m" / "model.yaml").write_text("name: wide\nversion_policy: {latest: 2}\n")
    with Serving.start(tmp_path) as server:
        assert server.until("ready")["loaded"] == 2
        assert [event["version"] for event in server.events if event["event"] == "found"] == ["2", "10"]
        assert width(server, "wide") == width(server, "wide/versions/10") == 10
        assert width(server, "wide/versions/2") == 2
        assert "no version '1'" in get(server, "wide/versions/1")["error"]
        assert server.stop() == 0


def test_what_a_model_says_holds_unless_the_command_line_says_otherwise(tmp_path: Path) -> None:
    """Two replicas by the file, one by the option; a variable is an option, too."""
    fake(tmp_path / "echo.fake.json")
    (tmp_path / "echo.model.yaml").write_text("replicas: 2\n")
    for words, env, count in (((), {}, 2), (("--replicas", "1"), {}, 1), ((), {"TIDEGATE_SERVE_REPLICAS": "1"}, 1)):
        with Serving.start(tmp_path / "echo.fake.json", *words, env=dict(os.environ) | env) as server:
            server.until("ready")
            assert len(server.workers) == count
            assert server.stop() == 0


def test_a_warm_up_comes_before_ready(tmp_path: Path) -> None:
    """A model that fails with it is not loaded, and says why; the others are served."""
    fake(tmp_path / "good.fake.json")
    (tmp_path / "good.model.yaml").write_text("warm_up: [{batch_size: 4}, {data: {x: [[1, 2]]}}]\n")
    fake(tmp_path / "bad.fake.json", behaviour="raise")
    (tmp_path / "bad.model.yaml").write_text("warm_up: [{}]\n")
    with Serving.start(tmp_path) as server:
        ready = server.until("ready")
        assert (ready["loaded"], ready["failed"]) == (1, 1)
        (failed,) = (event for event in server.events if event["event"] == "loadfailed")
        assert failed["model"] == "bad"
        assert failed["reason"] == "model 'bad': warm_up sample 1: ValueError: True"
        assert infer(server, "good", 2).status_code == 200
        assert server.stop() == 0


def test_every_problem_of_a_model_yaml_is_told(tmp_path: Path) -> None:
    """In one line, and nothing is started."""
    fake(tmp_path / "echo.fake.json")
    (tmp_path / "echo.model.yaml").write_text("replica: 2\nbatcher: {max_batch: 0}\n")
    with Serving.start(tmp_path) as server:
        assert server.ended() == 1
        assert (
            f"error: '{tmp_path}/echo.model.yaml': replica is no field; did you mean replicas?; batcher.max_batch is "
            f"0, expected a whole number of at least 1" in server.told
        )


def test_batches_that_contradict_themselves_are_told(tmp_path: Path) -> None:
    """With the file and the field."""
    fake(tmp_path / "echo.fake.json")
    (tmp_path / "echo.model.yaml").write_text("batcher: {batch_sizes: [4, 2]}\n")
    with Serving.start(tmp_path) as server:
        assert server.ended() == 1
        assert f"'{tmp_path}/echo.model.yaml': batcher: batch_sizes is 4,2, expected ascending" in server.told


def test_a_replica_that_starts_later_loads_the_same_model(tmp_path: Path) -> None:
    """Though the file was overwritten: its worker is killed, and the next one is what the first was."""
    source = fake(tmp_path / "m" / "echo.fake.json")
    cache = tmp_path / "cache"
    with Serving.start(source, "--model-cache-directory", cache) as server:
        server.until("ready")
        source.write_text("{")
        server.workers[0].send_signal(signal.SIGKILL)
        assert infer(server, "echo", 2).status_code == 200
        assert infer(server, "echo", 2).json()["outputs"][0]["shape"] == [1, 2]
        assert server.stop() == 0
    assert len(list(cache.iterdir())) == 1


def test_without_copies_a_model_is_what_lies_there(tmp_path: Path) -> None:
    """So the same ends otherwise."""
    source = fake(tmp_path / "echo.fake.json")
    with Serving.start(source, "--no-model-cache", "--model-cache-directory", tmp_path / "cache") as server:
        server.until("ready")
        source.write_text("{")
        server.workers[0].send_signal(signal.SIGKILL)
        answers = [infer(server, "echo", 2) for _ in range(2)]
        assert "is no fake model" in answers[-1].json()["error"]
        assert server.stop() == 0
    assert not (tmp_path / "cache").exists()


def test_a_model_that_cannot_be_copied_says_so(tmp_path: Path) -> None:
    """And the others are served."""
    good = fake(tmp_path / "good.fake.json")
    (tmp_path / "bad.fake.json").mkdir()
    bad = tmp_path / "pipe.fake.json"
    os.mkfifo(bad)
    with Serving.start(good, bad) as server:
        server.until("ready")
        answer = infer(server, "pipe", 2)
        assert answer.status_code == 503
        assert f"'{bad}' is neither a file nor a directory" in answer.json()["error"]
        assert infer(server, "good", 2).status_code == 200
        assert server.stop() == 0


@pytest.mark.framework
def test_models_of_frameworks_are_served_from_copies(tmp_path: Path) -> None:
    """ONNX with weights in another file, which goes with it; scikit-learn with options of its own."""
    onnx = pytest.importorskip("onnx")
    joblib = pytest.importorskip("joblib")
    linear = pytest.importorskip("sklearn.linear_model")
    import numpy as np

    weights = onnx.numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 3])],
        [weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "linear" / "3").mkdir(parents=True)
    onnx.save_model(
        model,
        tmp_path / "linear" / "3" / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "linear" / "model.yaml").write_text(
        "runtime: onnx\noptions: {batch_dimension: true}\nwarm_up: [{batch_size: 2}]\n"
    )
    regression = linear.LinearRegression().fit([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], [0.0, 1.0, 2.0])
    joblib.dump(regression, tmp_path / "line.joblib")
    (tmp_path / "line.model.yaml").write_text("name: regression\nbatcher: {max_batch: 16}\nwarm_up: [{}]\n")
    with Serving.start(tmp_path) as server:
        assert server.until("ready")["loaded"] == 2
        (found,) = (event for event in server.events if event["event"] == "found" and event["model"] == "linear")
        assert (found["version"], found["reason"]) == ("3", "model.yaml names it")
        assert infer(server, "linear", 2).json()["outputs"][0]["data"] == [2.0, 2.0, 2.0]
        name = get(server, "regression")["inputs"][0]["name"]
        row = {"inputs": [{"name": name, "datatype": "FP64", "shape": [1, 2], "data": [1.0, 0.0]}]}
        answer = httpx.post(f"{server.url}/v2/models/regression/infer", json=row, trust_env=False)
        assert answer.status_code == 200
        assert server.stop() == 0
