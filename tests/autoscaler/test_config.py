"""From a manifest to a policy and what it holds to, in our schema and in KServe's."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import yaml

from tidegate.autoscaler.config import UNBOUNDED, PolicyName, config_of
from tidegate.autoscaler.policies import NAMES
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.decode import decode, encode
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.model_service import ScalePolicy
from tidegate.resources.translate import translate

OPEN: dict[str, Any] = {"most": UNBOUNDED, "max_batch": 32}


@pytest.mark.parametrize(
    ("component", "name", "config"),
    [
        ({}, "qda", ScalingConfig(**OPEN)),
        (
            {"scalePolicy": {"preference": 0.8}, "minReplicas": 0, "maxReplicas": 9, "batcher": {"maxBatchSize": 8}},
            "qda",
            ScalingConfig(least=0, most=9, preference=0.8, max_batch=8),
        ),
        ({"scalePolicy": {"name": "kpa"}}, "kpa", ScalingConfig(metric="concurrency", **OPEN)),
        (
            {"scalePolicy": {"name": "kpa", "metric": "rps", "target": 50}, "containerConcurrency": 4},
            "kpa",
            ScalingConfig(metric="rps", target=50.0, concurrency=4, **OPEN),
        ),
        ({"scalePolicy": {"name": "kpa", "target": 0}}, "kpa", ScalingConfig(metric="concurrency", **OPEN)),
        ({"scalePolicy": {"name": "hpa"}}, "hpa", ScalingConfig(metric="cpu", **OPEN)),
        ({"scalePolicy": {"name": "ray"}}, "ray", ScalingConfig(**OPEN)),
        (
            {"scalePolicy": {"name": "ray", "metric": "concurrency", "target": 3}},
            "ray",
            ScalingConfig(metric="concurrency", target=3.0, **OPEN),
        ),
        (
            {"scalePolicy": {"name": "hpa", "metric": "cpu", "target": 60, "metricType": "Utilization"}},
            "hpa",
            ScalingConfig(metric="cpu", target=60.0, **OPEN),
        ),
        ({"scalePolicy": {"name": "fixed"}, "minReplicas": 3}, "fixed", ScalingConfig(least=3, **OPEN)),
        ({"scalePolicy": {"name": "kpa"}, "replicas": 2}, "fixed", ScalingConfig(least=2, most=2, max_batch=32)),
        ({"replicas": 0}, "fixed", ScalingConfig(least=0, most=0, max_batch=32)),
        ({"scaleTarget": 7}, "kpa", ScalingConfig(metric="concurrency", target=7.0, **OPEN)),
        ({"scaleMetric": "rps", "scaleTarget": 7}, "kpa", ScalingConfig(metric="rps", target=7.0, **OPEN)),
        ({"scaleMetric": "cpu", "scaleTarget": 70}, "hpa", ScalingConfig(metric="cpu", target=70.0, **OPEN)),
        ({"scaleMetricType": "Utilization"}, "hpa", ScalingConfig(metric="cpu", **OPEN)),
        ({"scaleTarget": 7, "scalePolicy": {}}, "qda", ScalingConfig(**OPEN)),
    ],
)
def test_what_a_component_says(component: dict[str, Any], name: str, config: ScalingConfig) -> None:
    """replicas goes before scalePolicy, and that before KServe's fields."""
    assert config_of(component) == (name, config)


@pytest.mark.parametrize(("latency", "seconds"), [("150ms", 0.15), ("1m30s", 90.0)])
def test_the_slo(latency: str, seconds: float) -> None:
    """As it stands in a manifest that was decoded."""
    assert config_of({}, {"latency": latency})[1].slo == seconds


def test_the_schema_has_every_policy() -> None:
    """A manifest can name what can decide, and nothing else."""
    assert get_args(ScalePolicy.model_fields["name"].annotation) == NAMES == get_args(PolicyName)


def test_a_manifest_of_ours() -> None:
    """Through the decoder, where a bare number is milliseconds."""
    document = encode(
        decode(
            yaml.safe_load("""
                apiVersion: tidegate.dev/v1
                kind: ModelService
                metadata: {name: iris}
                spec:
                  slo: {latency: 250}
                  predictor:
                    minReplicas: 2
                    maxReplicas: 8
                    scalePolicy: {name: kpa, target: 12}
                    model: {modelFormat: {name: sklearn}, storageUri: iris.joblib}
            """)
        )
    )
    found = config_of(document["spec"]["predictor"], document["spec"]["slo"])
    assert found == (
        "kpa",
        ScalingConfig(least=2, most=8, slo=0.25, target=12.0, metric="concurrency", max_batch=32),
    )


@pytest.mark.parametrize(
    "scaling",
    ["scaleTarget: 10", "{scaleMetric: rps, scaleTarget: 5}", "{scaleMetric: concurrency}", "minReplicas: 0"],
)
def test_a_manifest_of_kserve_says_the_same_before_and_after_its_translation(scaling: str) -> None:
    """In Knative mode, which is where these fields have a meaning of their own."""
    service = decode(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "iris", "annotations": {"serving.kserve.io/deploymentMode": "Knative"}},
            "spec": {
                "predictor": {
                    "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/iris"},
                    **yaml.safe_load(scaling),
                }
            },
        }
    )
    assert isinstance(service, InferenceService)
    theirs = encode(service)["spec"]["predictor"]
    ours = encode(translate(service)[0])["spec"]["predictor"]
    assert config_of(theirs) == config_of(ours)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"name": "hpa", "metric": "memory"}, "scalePolicy: 'metric' is 'memory', expected cpu"),
        ({"name": "hpa", "metricType": "AverageValue"}, "'metricType' is 'AverageValue', expected Utilization"),
    ],
)
def test_what_is_not_observed(told: dict[str, Any], message: str) -> None:
    """It is refused, and not scaled by something else in silence."""
    with pytest.raises(InvalidRequest, match=message):
        config_of({"scalePolicy": told})
