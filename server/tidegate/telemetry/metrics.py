"""The one list of metrics.

A metric exists only if it stands here, where events are counted as they happen, in ``traffic.py``, where requests are,
or in ``families.py``, where it is read off the statistics of a revision. The registry is a value that its owner makes,
so that two gateways, or two tests, never share one. Labels are bound when a revision loads.
Tensor names never become labels, because models name tensors as they like.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from tidegate.telemetry.collector import Read, RevisionCollector
from tidegate.telemetry.traffic import SECONDS, Protocol, Traffic, TrafficCollector

__all__ = ["SECONDS", "Metrics", "Protocol", "RevisionMetrics", "ShadowMetrics"]


class Metrics:
    """Every metric of one process."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # a second series per series, which nobody asks for
        self.registry = CollectorRegistry()
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self.registry.register(TrafficCollector(self._traffic))
        self._ready = self._gauge("model_ready", "1 while the model answers", "model", "version")
        self._loads = Histogram(
            "tidegate_model_load_duration_seconds",
            "Time to load a model into a replica",
            ["model", "version"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._restarts = self._counter(
            "replica_restarts", "Replicas started again, by what ended the one before", "model", "version", "reason"
        )
        self._refused = self._counter("refused_requests", "Requests that named no served model", "protocol", "code")
        self.activation = ActivationMetrics(
            self._gauge("awake_models", "Models on demand that hold memory: waking, awake or going to sleep"),
            self._gauge("awake_bytes", "Memory that they hold, measured once each is awake and expected until then"),
            self._counter("wakings", "Wakings of models on demand, by outcome", "outcome"),
            Histogram(
                "tidegate_waking_duration_seconds",
                "Time from the beginning of a waking to the model's being ready",
                buckets=SECONDS,
                registry=self.registry,
            ),
            self._counter("evictions", "Models on demand that were put to sleep, by cause", "cause"),
        )
        self._copies = self._counter(
            "shadow_requests", "Copies of requests for a shadow, by what came of them", "model", "version", "outcome"
        )
        self._notifications = self._counter(
            "notifications", "Attempts to send a notification, by what became of it", "channel", "outcome"
        )
        self._transitions = self._counter(
            "rollout_transitions",
            "Transitions of rollouts, by the state that they led to",
            "namespace",
            "service",
            "to",
        )
        self._gauge("build_info", "The running version of tidegate", "tidegate_version").labels(version).set(1)
        self._desired = self._gauge(
            "scaling_desired_replicas", "Replicas that a revision which scales is to have", "model", "version"
        )
        self._terms = self._gauge(
            "scaling_term", "Numbers that the last decision was made of, by name", "model", "version", "term"
        )
        self._by_revision = (self._ready, self._loads, self._restarts, self._copies, self._desired, self._terms)
        self._answering: dict[tuple[str, str], set[RevisionMetrics]] = {}
        self._revisions = RevisionCollector()
        self.registry.register(self._revisions)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tidegate_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tidegate_{name}", text, labels, registry=self.registry)

    def bind(self, model: str, version: str) -> RevisionMetrics:
        """The metrics of one revision, its labels bound. Bound again it counts on: what happened has happened."""
        return RevisionMetrics(self, model, version)

    def shadow(self, model: str, version: str) -> ShadowMetrics:
        """The metrics of a revision as a shadow, its labels bound."""
        return ShadowMetrics(self._copies, model, version)

    def watch(self, model: str, version: str, read: Read) -> None:
        """Show a revision's statistics from now on; ``read`` is called for each scrape, in the thread of it."""
        self._revisions.watch(model, version, read)

    def unwatch(self, model: str, version: str) -> None:
        """Show its statistics no more. What was counted for it stays until it is forgotten, for it has happened."""
        self._revisions.unwatch(model, version)

    def forget(self, model: str, version: str) -> None:
        """Drop everything that was counted for a version that is gone for good; one that comes back begins at 0."""
        self._traffic.pop((model, version), None)
        self._answering.pop((model, version), None)
        labels = {"model": model, "version": version}
        for metric in self._by_revision:
            metric.remove_by_labels(labels)

    def refused(self, protocol: Protocol, code: int) -> None:
        """Count a request that reached no model: an unknown name, an unknown route, a broken frame."""
        self._refused.labels(protocol, str(code)).inc()

    def notified(self, channel: str, outcome: str) -> None:
        """Count an attempt to send a notification: channel is slack, teams or webhook, outcome delivered, retried or
        failed."""
        self._notifications.labels(channel, outcome).inc()

    def rollout_moved(self, namespace: str, service: str, to: str) -> None:
        """Count a transition of a service's rollout."""
        self._transitions.labels(namespace, service, to).inc()

    def scaled(self, model: str, version: str, desired: int, terms: Mapping[str, float]) -> None:
        """A revision is to have so many replicas; ``terms`` are the numbers that say why. Those before go."""
        self._desired.labels(model, version).set(desired)
        self._terms.remove_by_labels({"model": model, "version": version})
        for term, value in terms.items():
            self._terms.labels(model, version, term).set(value)

    def not_scaled(self, model: str, version: str) -> None:
        """It is not scaled any more."""
        for metric in (self._desired, self._terms):
            metric.remove_by_labels({"model": model, "version": version})

    def forget_service(self, namespace: str, service: str) -> None:
        """Drop what was counted for a service that is gone."""
        self._transitions.remove_by_labels({"namespace": namespace, "service": service})

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes, version 0.0.4."""
        return generate_latest(self.registry)


WAKINGS = ("woken", "failed", "broken_off")
EVICTIONS = ("room", "idle", "wish")
"""By the names of ``tidegate.control.activation``, which is a layer above."""


class ActivationMetrics:
    """What models on demand do, all of them together."""

    def __init__(self, models: Gauge, nbytes: Gauge, wakings: Counter, seconds: Histogram, evictions: Counter) -> None:
        self._models = models
        self._bytes = nbytes
        self._seconds = seconds
        self._wakings = {outcome: wakings.labels(outcome) for outcome in WAKINGS}
        self._evictions = {cause: evictions.labels(cause) for cause in EVICTIONS}

    def holding(self, models: int, nbytes: int) -> None:
        """So many models hold so much memory now."""
        self._models.set(models)
        self._bytes.set(nbytes)

    def woken(self, seconds: float) -> None:
        """One is ready, after so many seconds."""
        self._wakings["woken"].inc()
        self._seconds.observe(seconds)

    def not_woken(self, *, failed: bool) -> None:
        """One is not: it failed, or was broken off because it is served no more."""
        self._wakings["failed" if failed else "broken_off"].inc()

    def evicted(self, cause: str) -> None:
        """One is put to sleep."""
        self._evictions[cause].inc()


class ShadowMetrics:
    """What comes of the copies that one revision gets. None of them is among its requests, for nobody is answered."""

    def __init__(self, copies: Counter, model: str, version: str) -> None:
        self._equal = copies.labels(model, version, "equal")
        self._different = copies.labels(model, version, "different")
        self._failed = copies.labels(model, version, "failed")
        self._dropped = copies.labels(model, version, "dropped")

    def compared(self, *, different: bool) -> None:
        """One brought outputs."""
        (self._different if different else self._equal).inc()

    def failed(self) -> None:
        """One brought an error."""
        self._failed.inc()

    def dropped(self) -> None:
        """One was not made, or given up."""
        self._dropped.inc()


class RevisionMetrics:
    """One revision's: ``traffic`` is for the data plane to count, the children for its replicas."""

    def __init__(self, metrics: Metrics, model: str, version: str) -> None:
        self.traffic = metrics._traffic.setdefault((model, version), Traffic())
        self._ready = metrics._ready.labels(model, version)
        self._answering = metrics._answering.setdefault((model, version), set())
        self.load_seconds = metrics._loads.labels(model, version)
        self._restarts = lru_cache(maxsize=16)(lambda reason: metrics._restarts.labels(model, version, reason))

    def answers(self, ready: bool) -> None:
        """Whether its replicas take requests. While one takes the place of another of the same name, there are two who
        tell, and one that answers is enough."""
        (self._answering.add if ready else self._answering.discard)(self)
        self._ready.set(bool(self._answering))

    def restarted(self, reason: str) -> None:
        """Count a replica that had to be started again."""
        self._restarts(reason).inc()
