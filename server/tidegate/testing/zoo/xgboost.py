"""A few boosted trees over the iris flowers, in both forms of XGBoost's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tidegate.runtimes.xgboost import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers

_METHODS = {"predict": {}, "margin": {"output_margin": True}, "contributions": {"pred_contribs": True}}


def train(rounds: int = 3, **settings: Any) -> Any:
    """A booster over float32 rows; ``label`` among the settings replaces the classes."""
    import xgboost

    rows, labels = flowers("float32")
    matrix = xgboost.DMatrix(rows, settings.pop("label", labels), **settings.pop("matrix", {}))
    return xgboost.train({"max_depth": 2, "nthread": 1, "seed": 0, **settings}, matrix, rounds)


def write_ubjson(folder: Path) -> Path:
    return _write(folder / "iris.ubj")


def write_json(folder: Path) -> Path:
    return _write(folder / "iris.xgb.json")


def _write(path: Path) -> Path:
    train(objective="multi:softprob", num_class=3).save_model(path)
    return path


def sample() -> Arrays:
    return {"input": flowers("float32")[0]}


def expected(path: Path, inputs: Arrays) -> Arrays:
    import xgboost

    booster = xgboost.Booster(model_file=path)
    matrix = xgboost.DMatrix(inputs["input"])
    answers = {name: booster.predict(matrix, **kind) for name, kind in _METHODS.items()}
    return answers | {"leaf": booster.predict(matrix, pred_leaf=True).astype("int32")}


def age_ubjson(path: Path) -> None:
    """The last member of the document is the version, one byte for each of its three numbers."""
    data = bytearray(path.read_bytes())
    data[-6] = 99
    path.write_bytes(data)


def age_json(path: Path) -> None:
    model = json.loads(path.read_bytes())
    model["version"][0] = 99
    path.write_text(json.dumps(model))


def _case(id: str, **further: Any) -> Case:
    return Case(
        id=id,
        runtime=RUNTIME,
        sample=sample,
        expected=expected,
        framework="xgboost",
        options={"methods": "predict,margin,contributions,leaf"},
        aged="model 'iris' was saved by XGBoost 99.",
        **further,
    )


CASES = (
    _case("xgboost-ubj", format="UBJSON", write=write_ubjson, age=age_ubjson),
    _case("xgboost-json", format="JSON", write=write_json, age=age_json),
)
