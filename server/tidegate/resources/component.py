"""What a component of a service (predictor, transformer, explainer) says, in KServe's schema and in ours alike."""

from __future__ import annotations

from typing import Annotated, Literal

from tidegate.resources.fate import Honoured
from tidegate.resources.scalars import Count, LabelKey, LabelValue, Positive, Quoted, Uri
from tidegate.resources.section import Section

SAME = Honoured()


class Storage(Section):
    """A model in a bucket that the secret storage-config knows."""

    key: Annotated[str | None, SAME] = None
    """Entry of the secret; without it, the one for the kind of storage."""
    path: Annotated[str | None, SAME] = None
    """Path of the model in the bucket."""
    schema_path: Annotated[str | None, SAME] = None
    """Path of the model's signature in the bucket; without it the model tells it."""
    parameters: Annotated[dict[str, Quoted], SAME] = {}
    """What goes before the entry of the secret: type, bucket and others."""


class ModelFormat(Section):
    """What kind of file a model is."""

    name: Annotated[str, SAME]
    """Framework or format: sklearn, onnx, xgboost, pytorch, tensorflow and others."""
    version: Annotated[Quoted | None, SAME] = None
    """Version of the format; without it any."""


class LoggerFields(Section):
    """Copies of requests and answers, sent as CloudEvents."""

    url: Annotated[Uri | None, SAME] = None
    """Where they are sent; without it the cluster's default sink."""
    mode: Annotated[Literal["all", "request", "response"] | None, SAME] = None
    """Which are sent; without it all."""
    metadata_headers: Annotated[list[str], SAME] = []
    """Headers of the request that are sent along."""
    metadata_annotations: Annotated[list[str], SAME] = []
    """Annotations of the service that are sent along."""


class ScalingFields(Section):
    """Bounds of the number of replicas, and labels of its pods."""

    min_replicas: Annotated[Count, SAME] = 1
    """Replicas that are kept at least; 0 lets the component sleep while nobody asks."""
    max_replicas: Annotated[Count, SAME] = 0
    """Replicas at most; 0 is no bound."""
    container_concurrency: Annotated[
        Count, Honoured("credits of a replica whose container is not ours; ours take batches")
    ] = 0
    """Requests at a time in one replica; 0 is no bound."""
    labels: Annotated[dict[LabelKey, LabelValue], SAME] = {}
    """Labels of its pods."""
    annotations: Annotated[dict[LabelKey, Quoted], SAME] = {}
    """Annotations of its pods."""


class SupportedFormat(Section):
    """A format that a runtime reads."""

    name: str
    """The format's name, as modelFormat.name has it."""
    version: Quoted | None = None
    """Its version, equal text; without it any."""
    auto_select: bool = False
    """Whether models that name no runtime get this one."""
    priority: Positive | None = None
    """Of several that are selected by themselves the highest goes first; without it the last."""
