"""Scale (autoscaling/v1): a service's number of replicas by itself, as ``kubectl scale`` reads and writes it. Pure."""

from __future__ import annotations

from typing import Any

from tidegate.protocol.errors import InvalidResource, quoted
from tidegate.resources.document import Document
from tidegate.resources.parts import at, part
from tidegate.resources.scalars import INT32


def scale_of(service: Document) -> Document:
    """The Scale of a service. Without ``replicas``, which pins them, it is as many as it has at least."""
    predictor = part(service, "spec", "predictor")
    metadata = service["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": predictor.get("replicas", predictor.get("minReplicas", 1))},
        "status": {"replicas": at(service, "status", "replicas") or 0},
    }


def scaled(service: Document, scale: object) -> Document:
    """The service with the number of replicas of a Scale, and its resourceVersion as a precondition.

    Raises:
        InvalidResource: it says no number.
    """
    replicas: Any = at(scale, "spec", "replicas")
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= INT32:
        found = "is missing" if replicas is None else f"is {quoted(replicas)}"
        raise InvalidResource("spec.replicas", f"{found}, expected a whole number of at least 0")
    spec = part(service, "spec")
    predictor = {**part(spec, "predictor"), "replicas": replicas}
    version = at(scale, "metadata", "resourceVersion")
    metadata = {name: value for name, value in service["metadata"].items() if name != "resourceVersion"}
    if version:
        metadata["resourceVersion"] = version
    return {**service, "metadata": metadata, "spec": {**spec, "predictor": predictor}}
