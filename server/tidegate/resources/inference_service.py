"""KServe's InferenceService (serving.kserve.io/v1beta1), as it is, and what becomes of each of its fields here."""

from __future__ import annotations

from typing import Annotated, Literal

from tidegate.resources.autoscaling import AutoScaling
from tidegate.resources.component import SAME, LoggerFields, ModelFormat, ScalingFields, Storage
from tidegate.resources.fate import Honoured, NotHonoured, Translated
from tidegate.resources.metadata import Resource
from tidegate.resources.pod import Container, ContainerFields, DeploymentStrategy, KServePodFields, Open
from tidegate.resources.scalars import Count, Integer, Percent, Quoted, Uri
from tidegate.resources.section import Section

LEGACY = Translated("model", "with the key as modelFormat.name, as KServe's own admission does")
ONE_PLACE = NotHonoured("a model has one place here (storageUri); a container can mount volumes")
PROTOCOLS = Literal["v1", "v2", "grpc-v1", "grpc-v2"]


class Confidential(Section):
    """An encrypted model and where its key is."""

    enabled: bool
    """Whether the model is encrypted."""
    resource_id: str | None = None
    """The key at a key broker, kbs:///a/b/c."""


class StorageUri(Section):
    """One of several places that files are fetched from."""

    uri: Uri
    """The place."""
    mount_path: str = "/mnt/models"
    """Where the container sees them."""


class FrameworkSpec(ContainerFields):
    """A model, and the container that serves it."""

    name: Annotated[str, NotHonoured("KServe refuses it, too: the container of a model has a name of its own")] = ""
    """The container's name, which KServe refuses to be told here."""
    storage_uri: Annotated[Uri | None, SAME] = None
    """Where the model lies; without it the container brings it along."""
    storage: Annotated[Storage | None, SAME] = None
    """Where the model lies, in a bucket that the secret storage-config knows; instead of storageUri."""
    runtime_version: Annotated[Quoted | None, SAME] = None
    """Version of the runtime: the tag of its image; without it what the runtime says."""
    protocol_version: Annotated[
        PROTOCOLS | None,
        Honoured("how a container that is not ours is spoken to; ours speak v1 and v2 over HTTP, v2 over gRPC"),
    ] = None
    """What the container speaks; without it v1, or what its format needs."""
    confidential: Annotated[Confidential | None, NotHonoured("models are not decrypted here")] = None
    """An encrypted model; without it the model is read as it is."""


class ModelSpec(FrameworkSpec):
    """A model of any format."""

    model_format: Annotated[ModelFormat, SAME]
    """What kind of file the model is."""
    runtime: Annotated[str | None, SAME] = None
    """Name of the ServingRuntime; without it one that reads the format is found."""


class WorkerSpec(KServePodFields):
    """Pods of a model that is spread over several nodes."""

    containers: list[Container] = []
    """The worker's container."""
    pipeline_parallel_size: Integer | None = None
    """Nodes that the layers are spread over; without it 1."""
    tensor_parallel_size: Integer | None = None
    """Devices of a node that a layer is spread over; without it 1."""


class KServeBatcher(Section):
    """Batches, in KServe's units."""

    max_batch_size: Annotated[Count, SAME] = 32
    """Requests in one batch, 0 for the default; a bound here, a trigger in KServe."""
    max_latency: Annotated[Count, Honoured("an upper bound: a request that finds an idle replica goes at once")] = 5000
    """Milliseconds that a request may wait for others."""
    timeout: Annotated[Integer | None, NotHonoured("KServe ignores it as well; the component's timeout holds")] = None
    """Seconds, without meaning."""


class KServeLoggerStorage(Storage):
    """A bucket for copies of requests."""

    service_account_name: str | None = None
    """Identity that writes them."""

    schema_path: Annotated[str | None, NotHonoured("it has no meaning here in KServe")] = None
    """Without meaning."""


_SINK = NotHonoured("copies are sent to an HTTP sink (url), one by one")


class KServeLogger(LoggerFields):
    """Copies of requests, in KServe's schema."""

    storage: Annotated[KServeLoggerStorage | None, _SINK] = None
    """A bucket that they are written to, instead of a sink."""
    marshaller_url: Annotated[str | None, _SINK] = None
    """A service that turns them into files."""
    batch_size: Annotated[Integer | None, _SINK] = None
    """Copies in one file."""
    batch_interval: Annotated[str | None, _SINK] = None
    """Time after which a file is written."""


class KServeComponent(KServePodFields, ScalingFields):
    """What predictor, transformer and explainer have in common."""

    containers: Annotated[list[Container], SAME] = []
    """Containers of its own, instead of a model's."""
    timeout: Annotated[Count | None, SAME] = None
    """Seconds for one request; without it 60."""
    batcher: Annotated[KServeBatcher | None, SAME] = None
    """Bounds of batches; without it KServe makes none, and tidegate those of its own defaults."""
    logger: Annotated[KServeLogger | None, SAME] = None
    """Copies of requests; without it none."""
    scale_metric: Annotated[
        Literal["cpu", "memory", "concurrency", "rps"] | None,
        Translated("scalePolicy.metric", "with kpa for concurrency and rps, hpa for cpu and memory as the policy"),
    ] = None
    """What replicas are counted by; without it concurrency (Knative) or cpu (HPA)."""
    scale_target: Annotated[Count | None, Translated("scalePolicy.target")] = None
    """The metric's value per replica; without it 100 (concurrency), 80 (cpu)."""
    scale_metric_type: Annotated[
        Literal["Utilization", "AverageValue"] | None, Translated("scalePolicy.metricType")
    ] = None
    """How the target is meant; without it Utilization."""
    auto_scaling: Annotated[
        AutoScaling | None,
        NotHonoured("replicas follow the queue; a metrics server that is asked every few seconds knows it late"),
    ] = None
    """Metrics for HPA and KEDA; without it scaleMetric and scaleTarget."""
    deployment_strategy: Annotated[
        DeploymentStrategy | None,
        NotHonoured("a revision has replicas of its own, and the old one keeps its until then; rollout says how"),
    ] = None
    """How a Deployment replaces its pods; without it one after the other."""
    canary_traffic_percent: Annotated[
        Percent | None, NotHonoured("traffic is split by the predictor's, for all components together")
    ] = None
    """Share of the traffic that the newest revision gets, in per cent; without it all once it is ready."""
    storage_uris: Annotated[list[StorageUri], ONE_PLACE] = []
    """Several places that files are fetched from."""


class KServePredictor(KServeComponent):
    """The component with the model: exactly one of model, a framework's key, and containers."""

    model: Annotated[ModelSpec | None, SAME] = None
    """The model."""
    sklearn: Annotated[FrameworkSpec | None, LEGACY] = None
    """A scikit-learn model (old form of model)."""
    xgboost: Annotated[FrameworkSpec | None, LEGACY] = None
    """An XGBoost model (old form of model)."""
    lightgbm: Annotated[FrameworkSpec | None, LEGACY] = None
    """A LightGBM model (old form of model)."""
    tensorflow: Annotated[FrameworkSpec | None, LEGACY] = None
    """A TensorFlow model (old form of model)."""
    pytorch: Annotated[FrameworkSpec | None, LEGACY] = None
    """A PyTorch model (old form of model)."""
    triton: Annotated[FrameworkSpec | None, LEGACY] = None
    """Models for Triton (old form of model)."""
    onnx: Annotated[FrameworkSpec | None, LEGACY] = None
    """An ONNX model (old form of model)."""
    huggingface: Annotated[FrameworkSpec | None, LEGACY] = None
    """A Hugging Face model (old form of model)."""
    pmml: Annotated[FrameworkSpec | None, LEGACY] = None
    """A PMML model (old form of model)."""
    paddle: Annotated[FrameworkSpec | None, LEGACY] = None
    """A Paddle model (old form of model)."""
    name: Annotated[str | None, NotHonoured("revisions are numbered; what KServe names is a Deployment")] = None
    """Part of the name of its Deployment; without it none."""
    storage_container_name: Annotated[
        str | None, NotHonoured("tidegate fetches models itself; there are no ClusterStorageContainers")
    ] = None
    """Which ClusterStorageContainer fetches the model; without it the one for the URI."""
    worker_spec: Annotated[WorkerSpec | None, NotHonoured("a replica is one process on one node")] = None
    """Pods of a model that is spread over several nodes; without it it is on one."""
    canary_traffic_percent: Annotated[Percent | None, SAME] = None
    """Share of the traffic that the newest revision gets, in per cent; without it all once it is ready. The first
    deployment ignores it."""


class KServeTransformer(KServeComponent):
    """The component before and after the model."""

    retired = {"custom": "that was v1alpha2; write containers"}


class ArtExplainer(FrameworkSpec):
    """An explainer of the Adversarial Robustness Toolbox."""

    type: str
    """Its kind: SquareAttack."""
    config: dict[str, Quoted] = {}
    """Its settings."""


class KServeExplainer(KServeComponent):
    """The component that explains answers: one of art and containers."""

    art: Annotated[ArtExplainer | None, NotHonoured("there is no built-in explainer; write containers")] = None
    """An explainer of the Adversarial Robustness Toolbox."""

    retired = {
        "alibi": "KServe has removed it; write containers",
        "aix": "KServe has removed it; write containers",
    }


class KServeCanary(Section):
    """One canary beside the stable predictor."""

    predictor: Annotated[KServePredictor, SAME]
    """How it differs from the stable one; a name is required in KServe."""
    traffic_percent: Annotated[Percent, SAME]
    """Share of the traffic, in per cent; 0 gets none."""


class InferenceServiceSpec(Section):
    """What KServe is to serve."""

    predictor: Annotated[KServePredictor, SAME]
    """The component with the model."""
    transformer: Annotated[KServeTransformer | None, SAME] = None
    """The component before and after the model; without it none."""
    explainer: Annotated[KServeExplainer | None, SAME] = None
    """The component that explains answers; without it none."""
    canary: Annotated[list[KServeCanary], SAME] = []
    """Canaries beside the stable predictor (KServe 0.20, Standard mode)."""
    tracing: Annotated[Open | None, NotHonoured("the server's own settings say where traces go")] = None
    """Where traces go; without it nowhere."""

    retired = {
        "default": "that was v1alpha2; write predictor",
        "logger": "it belongs to a component: spec.predictor.logger",
        "minReplicas": "it belongs to a component: spec.predictor.minReplicas",
        "maxReplicas": "it belongs to a component: spec.predictor.maxReplicas",
        "canaryTrafficPercent": "it belongs to the predictor: spec.predictor.canaryTrafficPercent",
    }


class InferenceService(Resource):
    """A model that KServe serves. tidegate takes it as it is, and serves the ModelService that it amounts to."""

    api_version: Literal["serving.kserve.io/v1beta1"]
    """Group and version of the kind: serving.kserve.io/v1beta1."""
    kind: Literal["InferenceService"]
    """The kind: InferenceService."""
    spec: Annotated[InferenceServiceSpec, SAME]
    """What is to be served."""
