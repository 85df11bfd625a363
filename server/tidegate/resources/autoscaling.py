"""KServe's ``autoScaling``: metrics for HPA and KEDA. None of it scales anything here, where the queue does."""

from __future__ import annotations

from typing import Literal

from tidegate.resources.pod import Open
from tidegate.resources.scalars import AmountOf, Percent
from tidegate.resources.section import Section


class Target(Section):
    """The value that a metric is held at."""

    type: Literal["Utilization", "AverageValue", "Value"] | None = None
    """How it is meant: a share of what is requested, a mean per pod, or the whole."""
    value: AmountOf | None = None
    """The whole."""
    average_value: AmountOf | None = None
    """The mean per pod."""
    average_utilization: Percent | None = None
    """The share of what is requested, in per cent."""


class ResourceMetric(Section):
    """Processor or memory."""

    name: Literal["cpu", "memory"]
    """Which of them."""
    target: Target
    """The value that it is held at."""


class AuthenticationName(Section):
    """A TriggerAuthentication of KEDA."""

    name: str
    """Its name."""


class Authentication(Section):
    """How KEDA proves to a metrics server who it is."""

    auth_modes: str | None = None
    """basic, bearer, tls or custom; several with commas. Without it none."""
    authentication_ref: AuthenticationName
    """Which TriggerAuthentication of KEDA has the secret."""

    retired = {"name": "the secret's name stands in authenticationRef below"}


class MetricFields(Section):
    """A query, and who answers it."""

    query: str | None = None
    """The query, in the server's own language."""
    server_address: str | None = None
    """URL of the server."""


class ExternalQuery(MetricFields):
    """A query to a metrics server."""

    backend: Literal["prometheus", "graphite"] = "prometheus"
    """What kind of server it is."""
    namespace: str | None = None
    """Namespace that the query is confined to; without it none."""

    retired = {
        "authModes": "in KServe it stands in external.authenticationRef",
    }


class ExternalMetric(Section):
    """A metric of a server outside of the pods."""

    metric: ExternalQuery
    """What is asked."""
    target: Target
    """The value that it is held at."""
    authentication_ref: Authentication | None = None
    """How KEDA proves who it is; without it not at all."""


class PodQuery(MetricFields):
    """A query to the pods by OpenTelemetry."""

    backend: Literal["opentelemetry"] = "opentelemetry"
    """What collects them."""
    metric_names: list[str] = []
    """Metrics that are collected."""
    operation_over_time: str | None = None
    """How they are summed up over time: last_one, avg, max, min, rate or count."""


class PodMetric(Section):
    """A metric that the pods tell."""

    metric: PodQuery
    """What is asked."""
    target: Target
    """The value that it is held at."""


class Metric(Section):
    """One metric; the field of its type tells the rest."""

    type: Literal["Resource", "External", "PodMetric"]
    """Which of the three it is."""
    resource: ResourceMetric | None = None
    """Processor or memory."""
    external: ExternalMetric | None = None
    """A metric of a server outside of the pods."""
    podmetric: PodMetric | None = None
    """A metric that the pods tell."""


class AutoScaling(Section):
    """Metrics that HPA or KEDA scale by."""

    metrics: list[Metric] = []
    """The metrics; the largest number of replicas that one of them asks for holds."""
    behavior: Open | None = None
    """How fast HPA follows them; without it HPA's defaults."""
