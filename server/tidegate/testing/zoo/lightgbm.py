"""A few boosted trees over the iris flowers as LightGBM's text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tidegate.runtimes.lightgbm import RUNTIME
from tidegate.testing.zoo.case import Arrays, Case
from tidegate.testing.zoo.iris import flowers

_METHODS = {
    "predict": {},
    "margin": {"raw_score": True},
    "contributions": {"pred_contrib": True},
    "leaf": {"pred_leaf": True},
}


def train(rounds: int = 3, **settings: Any) -> Any:
    """A booster; ``label`` among the settings replaces the classes."""
    import lightgbm

    rows, labels = flowers()
    data = lightgbm.Dataset(rows, settings.pop("label", labels), **settings.pop("data", {}))
    small = {"num_leaves": 4, "min_data_in_leaf": 5, "num_threads": 1, "seed": 0, "verbosity": -1}
    return lightgbm.train(small | settings, data, rounds)


def write(folder: Path) -> Path:
    path = folder / "iris.lgb.txt"
    train(objective="multiclass", num_class=3).save_model(path)
    return path


def sample() -> Arrays:
    return {"input": flowers()[0]}


def expected(path: Path, inputs: Arrays) -> Arrays:
    import lightgbm

    booster, rows = lightgbm.Booster(model_file=path), inputs["input"]
    answers = {name: np.asarray(booster.predict(rows, num_threads=1, **kind)) for name, kind in _METHODS.items()}
    answers["contributions"] = answers["contributions"].reshape(len(rows), 3, 5)
    return answers


def age(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\nversion=v4\n", b"\nversion=v99\n"))


CASES = (
    Case(
        id="lightgbm",
        runtime=RUNTIME,
        format="text",
        write=write,
        sample=sample,
        expected=expected,
        framework="lightgbm",
        options={"methods": "predict,margin,contributions,leaf"},
        age=age,
        aged="has LightGBM's text format v99",
    ),
)
