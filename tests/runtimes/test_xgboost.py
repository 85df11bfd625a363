"""The XGBoost runtime over real boosters, beyond what the contract of all runtimes holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.runtime import Artifact, Model
from tidegate.runtimes.xgboost import RUNTIME, plain_reason
from tidegate.testing.zoo.iris import flowers
from tidegate.testing.zoo.xgboost import train

pytestmark = pytest.mark.framework

X, Y = flowers("float32")


def load(tmp_path: Path, booster: Any, device: str = "auto", **options: str) -> Model:
    path = tmp_path / "m.ubj"
    booster.save_model(path)
    return RUNTIME.load(Artifact("m", "1", path, options=options, device=device))


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {spec.name: spec.shape for spec in model.metadata.outputs}


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        pytest.param({"objective": "binary:logistic", "label": Y == 1}, (-1,), id="binary"),
        pytest.param({"objective": "multi:softprob", "num_class": 3}, (-1, 3), id="probabilities"),
        pytest.param({"objective": "multi:softmax", "num_class": 3}, (-1,), id="classes"),
        pytest.param({"objective": "reg:squarederror"}, (-1,), id="regression"),
        pytest.param({"objective": "reg:squarederror", "label": X[:, :2]}, (-1, 2), id="two targets"),
        pytest.param({"objective": "rank:ndcg", "matrix": {"group": [50, 50, 50]}}, (-1,), id="ranking"),
        pytest.param({"booster": "dart", "objective": "reg:squarederror", "rate_drop": 0.5}, (-1,), id="dart"),
    ],
)
def test_the_objective_shapes_the_answer(tmp_path: Path, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Every kind of objective and booster answers exactly as XGBoost does, in the shape that the signature tells."""
    booster = train(**settings)
    model = load(tmp_path, booster)
    assert shapes(model) == {"predict": shape}
    assert model.metadata.properties["objective"] == settings.get("objective")
    np.testing.assert_array_equal(model.predict({"input": X}, (), {})["predict"], booster.predict(xgboost.DMatrix(X)))


def test_a_linear_booster_has_no_leaves(tmp_path: Path) -> None:
    """What a booster cannot give is refused when it is loaded, in XGBoost's words without their places."""
    matrix = xgboost.DMatrix(X, Y)
    booster = xgboost.train({"booster": "gblinear", "updater": "coord_descent", "nthread": 1}, matrix, 2)
    answers = load(tmp_path, booster, methods="predict,contributions").predict({"input": X}, (), {})
    np.testing.assert_array_equal(answers["predict"], booster.predict(matrix))
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, booster, methods="leaf")
    assert caught.value.message == (
        "model 'm': leaf fails on a row of zeros (RuntimeError: gblinear does not support prediction of leaf index)"
    )


def test_early_stopping_is_honoured(tmp_path: Path) -> None:
    """Iterations behind the best one are not used, unless the option says so."""
    booster = train(rounds=6)
    booster.set_attr(best_iteration="1")
    matrix = xgboost.DMatrix(X)
    best = booster.predict(matrix, iteration_range=(0, 2))
    assert not np.array_equal(best, booster.predict(matrix))
    np.testing.assert_array_equal(load(tmp_path, booster).predict({"input": X}, (), {})["predict"], best)
    everything = load(tmp_path, booster, iterations="all").predict({"input": X}, (), {})["predict"]
    np.testing.assert_array_equal(everything, booster.predict(matrix))
    booster.set_attr(best_iteration="last")
    with pytest.raises(ModelLoadFailed, match=r"attribute best_iteration is 'last', expected a whole number; the opt"):
        load(tmp_path, booster)


def test_columns_can_come_by_name(tmp_path: Path) -> None:
    """With named features each is an input of its own, of any number, and the answer is the same; NaN is no value."""
    names = ["sepal length", "b", "c", "d"]
    booster = train(matrix={"feature_names": names})
    model = load(tmp_path, booster, columns="named")
    assert [spec.name for spec in model.metadata.inputs] == names
    assert {(spec.datatype, spec.shape) for spec in model.metadata.inputs} == {(Datatype.FP32, (-1,))}
    assert model.metadata.properties["feature_names"] == '["sepal length","b","c","d"]'
    rows = X.copy()
    rows[0, 2] = np.nan
    inputs = {name: rows[:, index].astype(np.float64) for index, name in enumerate(names)}
    expected = booster.predict(xgboost.DMatrix(rows, feature_names=names))
    np.testing.assert_array_equal(model.predict(inputs, (), {})["predict"], expected)
    np.testing.assert_array_equal(load(tmp_path, booster).predict({"input": rows}, (), {})["predict"], expected)


def test_columns_without_names_come_as_a_matrix_only(tmp_path: Path) -> None:
    """A booster that was trained on an array has no names to ask for."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, train(), columns="named")
    assert caught.value.message == (
        "model 'm': option 'columns' is 'named', but 'm.ubj' does not hold a name of its own for each of its 4 "
        "features; send them as a matrix"
    )


def test_categories_come_as_their_codes(tmp_path: Path) -> None:
    """A categorical feature is told in the properties, and takes the code of the category."""
    rows = np.c_[Y, X[:, 0]].astype(np.float32)
    kinds = {"feature_names": ["kind", "length"], "feature_types": ["c", "float"]}
    matrix = xgboost.DMatrix(rows, X[:, 1], enable_categorical=True, **kinds)
    booster = xgboost.train({"nthread": 1, "max_depth": 2, "max_cat_to_onehot": 1}, matrix, 3)
    model = load(tmp_path, booster, methods="predict,contributions")
    assert model.metadata.properties["feature_types"] == '["c","float"]'
    answers = model.predict({"input": rows}, (), {})
    np.testing.assert_array_equal(answers["predict"], booster.predict(matrix))
    np.testing.assert_array_equal(answers["contributions"], booster.predict(matrix, pred_contribs=True))


def test_a_newer_file_passes_only_by_name(tmp_path: Path) -> None:
    """The option lets the file of a newer XGBoost through, and the properties keep saying so."""
    path = tmp_path / "m.ubj"
    train().save_model(path)
    data = bytearray(path.read_bytes())
    data[-6] = 99
    path.write_bytes(data)
    artifact = Artifact("m", "1", path)
    with pytest.raises(ModelLoadFailed, match=r"^model 'm' was saved by XGBoost 99\..+ which may misread what a newer"):
        RUNTIME.load(artifact)
    model = RUNTIME.load(msgspec.structs.replace(artifact, options={"allow_version_mismatch": "true"}))
    assert model.metadata.properties["saved_by_xgboost"].startswith("99.")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"binf" + bytes(200), "it begins with b'binf', expected '{'", id="binary form of old"),
        pytest.param(b"{}", "Object missing required field `learner`", id="empty document"),
        pytest.param(
            b'{"learner": {}, "version": [3,0,0]}', "missing required field `gradient_booster`", id="no model"
        ),
        pytest.param(b"{L" + b"\x7f" * 8, "where 9187201950435737471 more from byte 10", id="endless name"),
        pytest.param(b"{i\x01a[$d#L" + b"\x7f" * 8 + b"}", "it ends at byte ", id="endless array"),
        pytest.param(b"{i\x01a" + b"[" * 1000, "it is nested deeper than 64 levels", id="deep"),
        pytest.param(b"{i\x01aQ}", "byte 4 is 0x51, expected the mark of a value", id="unknown mark"),
    ],
)
def test_what_is_no_model_is_told_before_xgboost_sees_it(tmp_path: Path, data: bytes, reason: str) -> None:
    """A file that lies about its lengths, or holds something else, is refused for a reason that helps."""
    path = tmp_path / "m.ubj"
    path.write_bytes(data)
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': 'm\.ubj' cannot be read; it is corrupt, cut") as caught:
        RUNTIME.load(Artifact("m", "1", path))
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": "predict,proba"}, "option 'methods' names 'proba', expected names out of predict, margin, contri"),
        ({"methods": "leaf, leaf"}, "option 'methods' names one twice: 'leaf, leaf'"),
        ({"iterations": "12"}, "option 'iterations' is '12', expected 'best' or 'all'"),
        ({"columns": "yes"}, "option 'columns' is 'yes', expected 'matrix' or 'named'"),
    ],
)
def test_a_bad_option_is_told(tmp_path: Path, options: dict[str, str], message: str) -> None:
    """What an option does not understand is refused with what it would have understood."""
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path, train(), **options)
    assert caught.value.message.startswith(f"model 'm': {message}")


def test_cuda_is_never_the_cpu_in_silence(tmp_path: Path) -> None:
    """A build without CUDA refuses the device."""
    if xgboost.build_info()["USE_CUDA"]:
        return
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': device 'cuda' cannot be used: this XGBoost is built with"):
        load(tmp_path, train(), device="cuda")


def test_a_declared_signature_must_name_the_model_s_tensors(tmp_path: Path) -> None:
    """What the owner declares is held against the model."""
    path = tmp_path / "m.ubj"
    train().save_model(path)
    other = (TensorSpec("x", Datatype.FP32, (-1, 4)),)
    with pytest.raises(ModelLoadFailed, match=r"^model 'm': inputs declared are 'x', the file has 'input'$"):
        RUNTIME.load(Artifact("m", "1", path, inputs=other))


def test_errors_of_xgboost_name_no_place_of_this_machine(tmp_path: Path) -> None:
    """A run that fails tells why, without the time, the source's folders and the stack."""
    text = "[18:00:01] /workspace/src/data/data.cc:1196: Check failed: valid: Input data contains `inf`\nStack trace:\n"
    assert plain_reason(RuntimeError(text)) == "Check failed: valid: Input data contains `inf`"
    model = load(tmp_path, train(), methods="contributions")
    with pytest.raises(RuntimeError, match=r"^Check failed: valid: Input data contains `inf` or a value too large"):
        model.predict({"input": np.full((1, 4), np.inf, np.float32)}, (), {})


@pytest.mark.models
def test_a_model_from_the_field_is_served(from_package: Callable[[str, str], Path]) -> None:
    """The win probability of American football, twelve named features, from the package index."""
    path = from_package("sportsdataverse==0.1.4", "sportsdataverse/nfl/models/wp_spread.ubj")
    model = RUNTIME.load(Artifact("wp", "1", path, threads=1, options={"columns": "named"}))
    names = [spec.name for spec in model.metadata.inputs]
    assert len(names) == 12
    assert names[-2:] == ["posteam_timeouts_remaining", "defteam_timeouts_remaining"]
    rows = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    booster = xgboost.Booster(model_file=path)
    expected = booster.predict(xgboost.DMatrix(rows, feature_names=booster.feature_names))
    answers = model.predict({name: rows[:, index] for index, name in enumerate(names)}, (), {})
    np.testing.assert_array_equal(answers["predict"], expected)
