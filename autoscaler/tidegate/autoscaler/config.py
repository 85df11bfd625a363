"""What a component's document says of its scaling: ours (``scalePolicy``), and KServe's where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from tidegate.autoscaler.policy import Metric, ScalingConfig
from tidegate.protocol.errors import InvalidRequest
from tidegate.resources.model_service import Batcher
from tidegate.resources.scalars import INT32, Duration

PolicyName = Literal["qda", "kpa", "hpa", "ray", "fixed"]

UNBOUNDED = INT32
"""``most`` of a service with maxReplicas 0."""
_BY_METRIC: dict[str, PolicyName] = {"concurrency": "kpa", "rps": "kpa", "cpu": "hpa", "memory": "hpa"}
_BATCH = int(Batcher.model_fields["max_batch_size"].default)


def config_of(component: Mapping[str, Any], slo: Mapping[str, Any] | None = None) -> tuple[PolicyName, ScalingConfig]:
    """The policy's name, and what it is to hold to.

    ``component`` is the document of a predictor or another component, valid by ModelService or by InferenceService;
    ``slo`` is that of ``spec.slo``. Where both say something, ``replicas`` goes before everything else, and
    ``scalePolicy`` before KServe's ``scaleMetric``, ``scaleTarget`` and ``scaleMetricType``.

    Raises:
        InvalidRequest: a metric that no observation has.
    """
    if (replicas := component.get("replicas")) is not None:
        return "fixed", _config(component, slo, least=replicas, most=replicas)
    name, told = _policy(component)
    metric = _metric(name, told)
    least = component.get("minReplicas", 1)
    config = _config(
        component,
        slo,
        least=least,
        most=max(least, component.get("maxReplicas", 0) or UNBOUNDED),
        preference=told.get("preference", 0.5),
        target=float(told["target"]) if told.get("target") else None,  # 0 is Knative's default, too
        metric=metric,
    )
    return name, config


def _config(component: Mapping[str, Any], slo: Mapping[str, Any] | None, **told: Any) -> ScalingConfig:
    batcher = component.get("batcher") or {}
    latency = (slo or {}).get("latency")
    return ScalingConfig(
        slo=None if latency is None else Duration(latency).seconds,
        max_batch=batcher.get("maxBatchSize") or _BATCH,
        concurrency=component.get("containerConcurrency", 0),
        **told,
    )


def _policy(component: Mapping[str, Any]) -> tuple[PolicyName, Mapping[str, Any]]:
    told = component.get("scalePolicy")
    if told is not None:
        return told.get("name", "qda"), told
    names = (("scaleMetric", "metric"), ("scaleTarget", "target"), ("scaleMetricType", "metricType"))
    by_kserve = {ours: component[theirs] for theirs, ours in names if component.get(theirs) is not None}
    if not by_kserve:
        return "qda", {}
    default = "cpu" if "metricType" in by_kserve else "concurrency"
    return _BY_METRIC[by_kserve.get("metric", default)], by_kserve


def _metric(name: PolicyName, told: Mapping[str, Any]) -> Metric | None:
    default = {"kpa": "concurrency", "hpa": "cpu"}.get(name)
    metric = told.get("metric", default)
    if metric == "memory":
        raise InvalidRequest(
            "scalePolicy: 'metric' is 'memory', expected cpu: what replicas need of it is not observed"
        )
    if name == "hpa" and told.get("metricType") == "AverageValue":
        raise InvalidRequest(
            "scalePolicy: 'metricType' is 'AverageValue', expected Utilization: what is observed of a processor is the "
            "share of time in which replicas execute"
        )
    return cast("Metric | None", metric)
