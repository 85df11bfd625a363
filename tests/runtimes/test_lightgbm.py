"""The LightGBM runtime over real boosters, beyond what the contract of all runtimes holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.runtimes.lightgbm import RUNTIME
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.testing.zoo.iris import flowers
from tidegate.testing.zoo.lightgbm import train

pytestmark = pytest.mark.framework

X, Y = flowers()


def saved(tmp_path: Path, booster: Any) -> Artifact:
    path = tmp_path / "m.lgb"
    booster.save_model(path)
    return Artifact("m", "1", path, threads=1)


def load(tmp_path: Path, booster: Any, **options: str) -> Model:
    return RUNTIME.load(msgspec.structs.replace(saved(tmp_path, booster), options=options))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        pytest.param({"objective": "binary", "label": Y == 1}, (-1,), id="binary"),
        pytest.param({"objective": "multiclass", "num_class": 3}, (-1, 3), id="classes"),
        pytest.param({"objective": "multiclassova", "num_class": 3}, (-1, 3), id="one against all"),
        pytest.param({"objective": "regression"}, (-1,), id="regression"),
        pytest.param({"objective": "regression", "linear_tree": True}, (-1,), id="linear trees"),
        pytest.param({"objective": "lambdarank", "data": {"group": [50, 50, 50]}}, (-1,), id="ranking"),
        pytest.param({"boosting": "dart"}, (-1,), id="dart"),
        pytest.param({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, (-1,), id="forest"),
        pytest.param({"num_leaves": 31, "min_data_in_leaf": 150}, (-1,), id="trees of one leaf"),
    ],
)
def test_the_objective_shapes_the_answer(tmp_path: Path, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Every kind of objective and booster passes the checks and answers exactly as LightGBM does."""
    booster = train(**settings)
    model = load(tmp_path, booster)
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.metadata.outputs] == [
        ("predict", Datatype.FP64, shape)
    ]
    np.testing.assert_array_equal(model.predict({"input": X}, (), {})["predict"], booster.predict(X, num_threads=1))


def test_a_method_that_fails_is_refused_at_load(tmp_path: Path) -> None:
    """Linear trees have no contributions, and the message says so in LightGBM's words."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': contributions fails on a row of zeros \(LightGBMError: Pr"):
        load(tmp_path, train(linear_tree=True), methods="contributions")


def test_columns_can_come_by_name_and_without_a_value(tmp_path: Path) -> None:
    """Each feature is an input of its own, of any number; NaN is no value."""
    names = ["a", "b", "c", "d"]
    booster = train(data={"feature_name": names})
    model = load(tmp_path, booster, columns="named")
    assert model.metadata.properties["feature_names"] == '["a","b","c","d"]'
    rows = X.copy()
    rows[0, 2] = np.nan
    answers = model.predict({name: rows[:, index] for index, name in enumerate(names)}, (), {})
    np.testing.assert_array_equal(answers["predict"], booster.predict(rows, num_threads=1))


def test_categories_come_as_their_codes(tmp_path: Path) -> None:
    """A categorical feature is told in the properties, with the data frame's categories that its codes count."""
    pandas = pytest.importorskip("pandas")
    lightgbm = pytest.importorskip("lightgbm")
    colours = pandas.Categorical.from_codes(Y, ["red", "green", "blue"])
    frame = pandas.DataFrame({"colour": colours, "length": X[:, 0]})
    small = {"verbosity": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 0}
    booster = lightgbm.train(small, lightgbm.Dataset(frame, X[:, 2]), 3)
    model = load(tmp_path, booster, columns="named")
    properties = model.metadata.properties
    assert properties["categorical_features"] == '["colour"]'
    assert properties["pandas_categorical"] == '[["red", "green", "blue"]]'
    answers = model.predict({"colour": Y, "length": X[:, 0]}, (), {})
    np.testing.assert_array_equal(answers["predict"], booster.predict(frame, num_threads=1))


def test_a_newer_format_passes_only_by_name(tmp_path: Path) -> None:
    """The option lets a newer text format through, and the properties keep saying so."""
    artifact = saved(tmp_path, train())
    artifact.path.write_bytes(artifact.path.read_bytes().replace(b"\nversion=v4\n", b"\nversion=v77\n"))
    with pytest.raises(ModelLoadFailed, match=r"^model 'm' has LightGBM's text format v77, and \S+ is installed, whic"):
        RUNTIME.load(artifact)
    model = RUNTIME.load(msgspec.structs.replace(artifact, options={"allow_version_mismatch": "true"}))
    assert model.metadata.properties["format_version"] == "v77"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\nversion=v4\n", b"\nversion=4\n", "its version is '4', expected v and a number"),
        (b"\nversion=v4\n", b"\n", "no 'version'"),
        (b"max_feature_idx=3", b"max_feature_idx=9", "4 feature_names, max_feature_idx 9"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=9", "num_class 1, num_tree_per_iteration 9"),
        (b"Tree=1\n", b"Tree=7\n", "tree 1 is not where tree_sizes says"),
        (b"\nleft_child=", b"\nleft_chilt=", "no 'left_child'"),
        (b"\nleft_child=-1 2", b"\nleft_child=-1 1", "tree 0: left_child leads back to an earlier node"),
        (b"\nleft_child=-1", b"\nleft_child=-7", "tree 0: left_child has values outside -4 to 2"),
        (b"\nsplit_feature=2", b"\nsplit_feature=4", "tree 0: split_feature has values outside 0 to 3"),
        (b"\nnum_leaves=4", b"\nnum_leaves=3", "tree 0: leaf_value has 4 values, expected 3"),
        (b"\nleaf_value=0", b"\nleaf_value=x", "tree 0: could not convert string to float"),
        (b"\nnum_cat=0", b"\nnum_cat\0\0", "is '\\x00', expected text"),
        (b"\n[max_bin: 255]", b"\n[max_bin", "'[max_bin' is no parameter, expected '[name: value]'"),
        (b"\nend of trees\n", b"\nend of treez\n", "it does not hold the line 'end of trees'"),
        (b"\nend of parameters\n", b"\n", "it does not hold the line 'end of parameters'"),
    ],
)
def test_damage_is_told_before_lightgbm_sees_it(tmp_path: Path, old: bytes, new: bytes, reason: str) -> None:
    """What LightGBM would believe, or end the process over, is refused for a reason that helps."""
    artifact = saved(tmp_path, train())
    whole = artifact.path.read_bytes()
    assert old in whole
    artifact.path.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'm\.lgb' cannot be read; it is corrupt, cut") as caught:
        RUNTIME.load(artifact)
    assert reason in caught.value.message


def test_cuda_is_never_the_cpu_in_silence(tmp_path: Path) -> None:
    """LightGBM's predictions are the CPU's, so another device is refused."""
    artifact = msgspec.structs.replace(saved(tmp_path, train()), device="cuda:0")
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': device 'cuda:0' cannot be used: LightGBM predicts on the"):
        RUNTIME.load(artifact)
