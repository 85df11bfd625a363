"""ModelService (tidegate.dev/v1): what a service is to be.

Fields that KServe's InferenceService has, too, have the same name and meaning here. Those that tidegate does not
honour are not in it: a manifest of ours that sets one is at fault, and the message says why.
"""

from __future__ import annotations

from typing import Annotated, Literal

from tidegate.resources.component import LoggerFields, ModelFormat, ScalingFields, Storage
from tidegate.resources.metadata import Resource
from tidegate.resources.pod import Container, ContainerFields, Open, PodFields
from tidegate.resources.rollout import Channel, Rollout
from tidegate.resources.scalars import Count, Form, Fraction, Milliseconds, Percent, Positive, Quoted, Seconds, Uri
from tidegate.resources.section import Section

Digest = Annotated[str, Form("a digest like sha256:… with 64 hexadecimal digits", r"^sha256:[0-9a-f]{64}$", 71)]
Dimension = Annotated[str, Form("INPUT:AXIS, like tokens:1", r"^[^:\x00-\x20]+:[0-9]{1,2}$", 256)]


class Slo(Section):
    """What batches and the number of replicas aim at."""

    latency: Milliseconds
    """Time in which a request is to be answered; a bare number is milliseconds."""


class Model(ContainerFields):
    """The model, and the container that serves it where it is not tidegate's own."""

    model_format: ModelFormat
    """What kind of file it is."""
    storage_uri: Uri | None = None
    """Where it lies: a path, s3://, gs://, hf://, models:/name@alias, oci://, …; without it the container brings it."""
    storage: Storage | None = None
    """Where it lies, in a bucket that the secret storage-config knows; instead of storageUri."""
    digest: Digest | None = None
    """What its content must be; without it whatever is found is taken, and recorded."""
    runtime: str | None = None
    """Who reads it: a runtime of tidegate or a ServingRuntime; without it one that reads the format is found."""
    runtime_version: Quoted | None = None
    """Version of the runtime; without it the installed one, or what the ServingRuntime says."""
    protocol_version: Literal["v1", "v2", "grpc-v1", "grpc-v2"] | None = None
    """What a container that is not ours speaks; without it v1, or what its format needs."""
    options: dict[str, Quoted] = {}
    """Options of the runtime, as `tidegate serve --option` has them."""
    device: str = "auto"
    """Where it computes: auto, cpu, cuda or cuda:N."""
    threads: Count = 0
    """Threads of the framework within one execution; 0 shares the cores among the replicas."""


class ScalePolicy(Section):
    """What decides the number of replicas between minReplicas and maxReplicas."""

    name: Literal["qda", "kpa", "hpa", "ray", "fixed"] = "qda"
    """qda: the queue, the service time and the SLO; kpa: Knative's law; hpa: Kubernetes'; ray: Ray Serve's; fixed:
    minReplicas."""
    preference: Fraction = 0.5
    """For qda, from 0 (cheap) to 1 (fast)."""
    # In KServe's order, as in inference_service: Python takes two that differ in it for one, whichever was read first.
    metric: Literal["cpu", "memory", "concurrency", "rps"] | None = None
    """For kpa concurrency (without it) or rps; for hpa cpu (without it) or memory; for ray concurrency."""
    target: Count | None = None
    """The metric's value per replica; without it 100 for concurrency (ray: 2), 200 for rps and 80 for cpu."""
    metric_type: Literal["Utilization", "AverageValue"] | None = None
    """For hpa, how the target is meant; without it Utilization."""


class Priorities(Section):
    """Classes of urgency among the requests of one service."""

    levels: Positive = 9
    """How many there are; 1 is served first."""
    default: Positive = 5
    """The level of a request that names none."""
    ageing: Seconds | None = None
    """Waiting that is worth one level; a bare number is seconds. Without it 5s."""


class Batcher(Section):
    """The queue and its batches. Batches grow only while replicas are busy, so that there is no window to tune."""

    max_batch_size: Positive = 32
    """Rows in one execution."""
    max_latency: Milliseconds | None = None
    """Time that requests may be held back for company; a bare number is milliseconds. Without it 0ms."""
    max_queue: Count = 4096
    """Rows that wait; a request beyond is refused with 503."""
    allowed_sizes: list[Positive] = []
    """Rows that batches are padded to, ascending, for runtimes that compile a program per size; without any, none."""
    pad: dict[Dimension, list[Positive]] = {}
    """Sizes that a dimension of an input is padded to, by INPUT:AXIS, so that nearly equal requests share a batch."""
    priorities: Priorities | None = None
    """Classes of urgency; without it the server's."""


class Logger(LoggerFields):
    """Copies of requests and answers, sent as CloudEvents."""


class WarmUp(Section):
    """One execution before a replica takes requests: exactly one of file and batchSize."""

    file: str | None = None
    """A request in v2's JSON, relative to the model."""
    batch_size: Positive | None = None
    """Rows of zeros by the model's signature."""


class Component(PodFields, ScalingFields):
    """What predictor, transformer and explainer have in common."""

    containers: list[Container] = []
    """Containers of its own."""
    timeout: Seconds | None = None
    """Time for one request; a bare number is seconds. Without it 60s."""
    batcher: Batcher | None = None
    """The queue and its batches; without it the server's settings."""
    logger: Logger | None = None
    """Copies of requests and answers; without it none."""
    replicas: Count | None = None
    """A fixed number, instead of what scalePolicy says; `kubectl scale` writes it. Without it they scale."""
    scale_policy: ScalePolicy | None = None
    """What decides their number; without it qda."""


class Predictor(Component):
    """The component with the model: model, or containers of its own."""

    model: Model | None = None
    """The model."""
    canary_traffic_percent: Percent | None = None
    """Share of the traffic that the newest revision gets, in per cent, for whoever decides by hand; without it
    all of it once it is ready. The first deployment ignores it."""
    warmup: list[WarmUp] = []
    """What is executed before a replica takes requests; a sample that fails is a load that fails."""


class Image(Section):
    """From an encoded image to a tensor."""

    size: list[Positive] = []
    """Height and width in pixels; without it the image's own."""
    mean: list[float] = []
    """Per channel, subtracted after scaling to 0..1; without it 0."""
    std: list[float] = []
    """Per channel, what is divided by then; without it 1."""


class Builtin(Section):
    """A transformer that tidegate brings along: exactly one of them."""

    image: Image | None = None
    """From an encoded image to a tensor."""
    text: Open | None = None
    """From a text to tokens."""
    tabular: Open | None = None
    """From named columns to tensors."""
    top_k: Open | None = None
    """From scores to the best labels."""


class Transformer(Component):
    """What is done before and after the model: builtin, or containers of its own."""

    builtin: Builtin | None = None
    """One that tidegate brings along."""
    placement: Literal["collocated", "separate"] = "collocated"
    """Beside the replicas of the model, or as a component with replicas of its own."""


class Explainer(Component):
    """What explains answers: containers of its own."""


class Canary(Section):
    """A canary beside the stable predictor."""

    predictor: Predictor
    """How it differs from the stable one."""
    traffic_percent: Percent
    """Share of the traffic, in per cent; 0 gets none."""


class ModelServiceSpec(Section):
    """What a service is to be."""

    slo: Slo | None = None
    """What batches and replicas aim at; without it batches at throughput, replicas at four times a request's time."""
    predictor: Predictor
    """The component with the model."""
    transformer: Transformer | None = None
    """What is done before and after the model; without it nothing."""
    explainer: Explainer | None = None
    """What explains answers; without it nothing does."""
    canary: list[Canary] = []
    """Canaries beside the stable predictor, for whoever decides by hand."""
    rollout: Rollout | None = None
    """How a new revision takes over; without it once it is ready."""
    notify: list[Channel] = []
    """Who is told of what."""


class ModelService(Resource):
    """A model that is served: where it lies, how many replicas, which batches, how a new one takes over."""

    api_version: Literal["tidegate.dev/v1"]
    """Group and version of the kind: tidegate.dev/v1."""
    kind: Literal["ModelService"]
    """The kind: ModelService."""
    spec: ModelServiceSpec
    """What is to be served."""
