"""A table of manifests that are wrong, each with exactly what is said of it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.decode import decode, inspect
from tidegate.resources.faults import InvalidManifest

ABSENT = object()
"""Instead of a value: the field is taken out."""

OURS = {
    "apiVersion": "tidegate.dev/v1",
    "kind": "ModelService",
    "metadata": {"name": "iris"},
    "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "models:/iris@champion"}}},
}
KSERVE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "iris"},
    "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://models/iris"}}},
}
RUNTIME = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ServingRuntime",
    "metadata": {"name": "server"},
    "spec": {
        "supportedModelFormats": [{"name": "sklearn", "version": "1", "autoSelect": True, "priority": 1}],
        "containers": [{"name": "kserve-container", "image": "me/server:1"}],
    },
}
BASES = {"ours": OURS, "kserve": KSERVE, "runtime": RUNTIME}

Case = dict[str, Any]
CASES: list[Case] = yaml.safe_load((Path(__file__).parent / "bad_manifests.yaml").read_text())


def set_at(document: Any, path: str, value: Any) -> None:
    """Set, or take out, what stands at a path of fields and positions."""
    *steps, last = path.replace("P.", "spec.predictor.").split(".")
    for step in steps:
        document = document[int(step)] if isinstance(document, list) else document.setdefault(step, {})
    if value is ABSENT:
        del document[last]
    else:
        document[last] = value


def made(case: Case) -> dict[str, Any]:
    document = deepcopy(BASES[case["base"]])
    for path, value in case.get("set", {}).items():
        set_at(document, path, value)
    for path in case.get("without", ()):
        set_at(document, path, ABSENT)
    return document


def named(case: Case) -> str:
    return "-".join((case["base"], *case.get("set", {}), *case.get("without", ())))


@pytest.mark.parametrize("case", CASES, ids=map(named, CASES))
def test_what_is_said(case: Case) -> None:
    """Each fault with its path, its value and what was expected, in our own words."""
    found = inspect(made(case))
    assert [fault.message for fault in found.faults] == case["faults"]
    assert found.resource is None


@pytest.mark.parametrize("base", BASES)
def test_the_bases_are_in_order(base: str) -> None:
    """So that nothing but the change is at fault."""
    assert inspect(BASES[base], strict=True).faults == ()


def test_the_table_is_long() -> None:
    """At least eighty ways to be wrong, and no message twice for one document."""
    assert len(CASES) >= 80
    assert all(len(set(case["faults"])) == len(case["faults"]) >= 1 for case in CASES)


def test_an_unknown_field_of_kserve_is_a_warning() -> None:
    """A later KServe may know it; with strict it is a fault."""
    document = made({"base": "kserve", "set": {"P.minReplica": 1}})
    told = ["spec.predictor.minReplica is no field; did you mean minReplicas?"]
    found = inspect(document)
    assert ([fault.message for fault in found.warnings], found.faults) == (told, ())
    found = inspect(document, strict=True)
    assert ([fault.message for fault in found.faults], found.warnings, found.resource) == (told, (), None)


def test_the_error_has_them_all() -> None:
    """Its message tells the first twenty, its faults are all of them; a client must change its request."""
    document = made({"base": "ours", "set": {"P.model.args": list(range(30))}})
    with pytest.raises(InvalidManifest) as caught:
        decode(document)
    assert isinstance(caught.value, InvalidRequest)
    assert (caught.value.http_status, len(caught.value.faults)) == (422, 30)
    assert caught.value.message.count("expected text") == 20
    assert caught.value.message.endswith("; and 10 more")
    assert caught.value.faults[3].path == ("spec", "predictor", "model", "args", 3)
