"""Annotations that KServe, Knative and Prometheus read settings from, and what becomes of each here."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.resources.fate import Fate, Honoured, NotHonoured, Translated

_QUEUE = NotHonoured("replicas follow the queue (scalePolicy)")
_METRICS = NotHonoured("every replica and the gateway have metrics on their status port, without being asked")

ANNOTATIONS: Mapping[str, Fate] = {
    "serving.kserve.io/deploymentMode": NotHonoured(
        "there is one mode: a service sleeps and wakes with minReplicas: 0"
    ),
    "serving.kserve.io/autoscalerClass": _QUEUE,
    "serving.kserve.io/metrics": _QUEUE,
    "serving.kserve.io/metric": NotHonoured("KServe does not read it either; its own is serving.kserve.io/metrics"),
    "serving.kserve.io/targetUtilizationPercentage": _QUEUE,
    "serving.kserve.io/stop": Translated("spec.predictor.replicas", "0 where it is true"),
    "serving.kserve.io/enable-tag-routing": Honoured("the tags latest and prev can always be addressed"),
    "serving.kserve.io/enable-prometheus-scraping": _METRICS,
    "serving.kserve.io/enable-metric-aggregation": _METRICS,
    "serving.kserve.io/storageSecretName": Honoured("part of how a model in a bucket is fetched"),
    "serving.kserve.io/nodegroup": NotHonoured("models are cached on the node that they were fetched to"),
    "serving.kserve.io/disable-localmodel": NotHonoured("models are cached on the node that they were fetched to"),
    "storage.kserve.io/readonly": NotHonoured("models are read, and never written to"),
    "autoscaling.knative.dev/class": _QUEUE,
    "autoscaling.knative.dev/metric": _QUEUE,
    "autoscaling.knative.dev/target": _QUEUE,
    "autoscaling.knative.dev/min-scale": NotHonoured("write minReplicas"),
    "autoscaling.knative.dev/max-scale": NotHonoured("write maxReplicas"),
    "autoscaling.knative.dev/minScale": NotHonoured("write minReplicas"),
    "autoscaling.knative.dev/maxScale": NotHonoured("write maxReplicas"),
    "serving.knative.dev/rollout-duration": NotHonoured("write rollout, with its steps"),
    "sidecar.istio.io/inject": Honoured("passed on to whoever reads it"),
    "sidecar.opentelemetry.io/inject": Honoured("passed on to whoever reads it"),
    "prometheus.io/scrape": _METRICS,
    "prometheus.io/port": _METRICS,
    "prometheus.io/path": _METRICS,
    "prometheus.kserve.io/port": _METRICS,
    "prometheus.kserve.io/path": _METRICS,
}
"""Any other one is passed on."""
