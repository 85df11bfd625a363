"""What a model.yaml can say, and how it is told what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.sample import Sample
from tidegate.storage.config import BatcherConfig, ModelConfig, Padding, VersionPolicy, given, read_config, specs

WHOLE = """
name: iris
runtime: sklearn
options: {allow_version_mismatch: true, workers: 3, example: a.npy}
inputs:
  - {name: x, datatype: FP32, shape: [-1, 4]}
outputs:
  - {name: y, datatype: INT64, shape: [-1]}
device: cuda:1
threads: 2
replicas: 3
batcher:
  max_batch: 64
  max_latency: 0.005
  batch_sizes: [1, 8, 64]
  padded_dimensions: [{input: x, axis: 1, sizes: [16, 32], fill: -1}]
version_policy: {latest: 2}
warm_up:
  - {}
  - {batch_size: 8, shapes: {x: [8, 4]}}
  - {data: {x: [[5.1, 3.5, 1.4, 0.2]]}}
load: on_demand
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text)
    return path


def test_everything_can_be_said(tmp_path: Path) -> None:
    """Each field arrives as what it means."""
    config = read_config(written(tmp_path, WHOLE))
    assert config.runtime_options == {"allow_version_mismatch": "true", "workers": "3", "example": "a.npy"}
    assert specs(config.inputs) == (TensorSpec("x", Datatype.FP32, (-1, 4)),)
    assert given(config.batcher) == {
        "max_batch": 64,
        "max_latency": 0.005,
        "batch_sizes": (1, 8, 64),
        "padded_dimensions": (Padding(input="x", axis=1, sizes=(16, 32), fill=-1),),
    }
    assert config.version_policy == VersionPolicy(latest=2)
    assert config.warm_up == (
        Sample(),
        Sample(batch_size=8, shapes={"x": (8, 4)}),
        Sample(data={"x": [[5.1, 3.5, 1.4, 0.2]]}),
    )
    assert (config.name, config.runtime, config.device, config.threads, config.replicas, config.load) == (
        "iris",
        "sklearn",
        "cuda:1",
        2,
        3,
        "on_demand",
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_says_nothing(tmp_path: Path, text: str) -> None:
    """It is the same as none."""
    config = read_config(written(tmp_path, text))
    assert config == ModelConfig()
    assert given(config.batcher) == given(BatcherConfig()) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("max_batch: 3", "max_batch is no field; expected one of name, runtime, options, ", id="unknown"),
        pytest.param("replica: 3", "replica is no field; did you mean replicas?", id="misspelt"),
        pytest.param("batcher: {maxbatch: 3}", "batcher.maxbatch is no field; did you mean max_batch?", id="inner"),
        pytest.param("- a", "the document is a list, expected a mapping", id="no mapping"),
        pytest.param("replicas: many", "replicas is 'many', expected a whole number", id="no number"),
        pytest.param("replicas: 0", "replicas is 0, expected a whole number of at least 1", id="too small"),
        pytest.param("replicas:", "replicas is empty, expected a whole number", id="empty"),
        pytest.param("name: no", "name is false, expected text", id="a word that is no text in YAML"),
        pytest.param(
            "name: ../x",
            "name is '../x', expected text of up to 128 letters, digits, '.', '_' and '-', the first a letter or digit",
            id="no name",
        ),
        pytest.param("load: lazy", "load is 'lazy', expected one of eager, on_demand", id="no choice"),
        pytest.param(
            "inputs: [{name: x, datatype: FLOAT, shape: [1]}]",
            "inputs[0].datatype is 'FLOAT', expected one of BOOL, UINT8, UINT16, ",
            id="no datatype",
        ),
        pytest.param(
            "inputs: [{name: x, shape: [1, -2]}]",
            "inputs[0].datatype is missing; inputs[0].shape[1] is -2, expected a whole number of at least -1",
            id="missing",
        ),
        pytest.param("inputs: x", "inputs is 'x', expected a list", id="no list"),
        pytest.param("warm_up: [3]", "warm_up[0] is 3, expected a mapping", id="no sample"),
        pytest.param(
            "warm_up: [{}, {batch_size: 0}]",
            "warm_up[1].batch_size is 0, expected a whole number of at least 1",
            id="in the second",
        ),
        pytest.param(
            "version_policy: {latest: 2, all: true}",
            "version_policy: version_policy has several rules, expected one of latest, specific and all",
            id="contradiction",
        ),
        pytest.param(
            "replicas: x\nthreads: -1\nbatcher: {max_batch: true, idempotent: 1}",
            "threads is -1, expected a whole number of at least 0; replicas is 'x', expected a whole number; "
            "batcher.max_batch is true, expected a whole number; batcher.idempotent is 1, expected true or false",
            id="all at once",
        ),
        pytest.param(
            "options: {a: [1]}",
            "options.a is a list, expected true or false or a whole number or a number or text",
            id="no option",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, problem: str) -> None:
    """Every problem of the file at once: where it is, what is there, and what was expected."""
    path = written(tmp_path, text)
    with pytest.raises(ModelLoadFailed) as caught:
        read_config(path)
    told = caught.value.message
    assert told.startswith(f"'{path}': {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            b"a: &x [1]\nb: *x\n", "is no valid YAML in line 2, column 4: aliases are not allowed", id="alias"
        ),
        pytest.param(b"a: 1\na: 2\n", "is no valid YAML in line 2, column 1: 'a' stands twice", id="twice"),
        pytest.param(b"? [a]\n: 1\n", "is no valid YAML in line 1, column 3: a key is no text", id="key"),
        pytest.param(b"a: [\n", "is no valid YAML in line 2, column 1: expected the node content", id="cut short"),
        pytest.param(
            b"a: !!python/object/apply:os.system [x]\n",
            "is no valid YAML in line 1, column 4: could not determine a constructor for the tag",
            id="an object",
        ),
        pytest.param(b"[" * 99, "is no valid YAML in line 1, column 33: it is nested deeper than 32 levels", id="deep"),
        pytest.param(b"a: \xff\n", "is no text: byte 3 is not UTF-8", id="no text"),
        pytest.param(b"a: \x00\n", "is no valid YAML: unacceptable character", id="control"),
        pytest.param(
            b"a: 1\n---\nb: 2\n", "is no valid YAML in line 2, column 1: but found another document", id="two"
        ),
        pytest.param(b"a: " + b"9" * 5000, "is no valid YAML: Exceeds the limit", id="a number without end"),
        pytest.param(b" " * (256 << 10) + b"\n", "is larger than 262144 bytes", id="large"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: bytes, problem: str) -> None:
    """Nothing in it is executed, multiplied or dropped in silence."""
    path = tmp_path / "model.yaml"
    path.write_bytes(text)
    with pytest.raises(ModelLoadFailed) as caught:
        read_config(path)
    assert caught.value.message.startswith(f"'{path}' {problem}")


def test_a_date_is_text(tmp_path: Path) -> None:
    """YAML's own dates would reach a runtime as what it does not expect."""
    assert read_config(written(tmp_path, "options: {since: 2024-01-31}")).runtime_options == {"since": "2024-01-31"}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With the system's own reason."""
    with pytest.raises(ModelLoadFailed) as caught:
        read_config(tmp_path)
    assert caught.value.message == f"'{tmp_path}' cannot be read: Is a directory"
