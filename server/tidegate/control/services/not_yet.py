"""What a ModelService may say and this version does not act on yet: it is told, never passed over in silence. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.resources.document import Document
from tidegate.resources.parts import at, part


def not_yet(spec: Document) -> tuple[str, ...]:
    """One sentence for each thing, which begins with the field's path."""
    return tuple(f"spec.{field} is not honoured yet: {instead}" for field, instead in _fields(spec))


def _fields(spec: Document) -> Iterator[tuple[str, str]]:
    predictor = part(spec, "predictor")
    if at(spec, "rollout", "strategy") not in (None, "immediate"):
        yield "rollout.strategy", "a new revision takes over once it is ready"
    if at(spec, "rollout", "analysis") is not None:
        yield "rollout.analysis", "nothing is compared before a new revision takes over"
    if spec.get("notify"):
        yield "notify", "nobody is told"
    if "slo" in spec:
        yield "slo", "batches and replicas do not aim at it"
    if "logger" in predictor:
        yield "predictor.logger", "no copies are sent"
    if "timeout" in predictor:
        yield "predictor.timeout", "the server's --timeout holds"
    for name in ("levels", "default"):
        if at(predictor, "batcher", "priorities", name) is not None:
            yield f"predictor.batcher.priorities.{name}", "the server's levels hold"
    if at(predictor, "model", "runtimeVersion") is not None:
        yield "predictor.model.runtimeVersion", "the framework that is installed here reads the model"
    if "replicas" in predictor:
        return
    least, most = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if least == 0:
        yield "predictor.minReplicas", "one replica is kept"
    if most > max(least, 1):
        yield "predictor.maxReplicas", f"there are always {max(least, 1)}"
    if "scalePolicy" in predictor and predictor["scalePolicy"].get("name") != "fixed":
        yield "predictor.scalePolicy", "replicas do not scale"
