"""KServe's ServingRuntime and ClusterServingRuntime (serving.kserve.io/v1alpha1): how a model's container is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidegate.resources.component import SAME, SupportedFormat
from tidegate.resources.fate import IN_A_CLUSTER, NotHonoured
from tidegate.resources.metadata import Resource
from tidegate.resources.pod import Container, EnvVar, Open, PodFields
from tidegate.resources.scalars import Count, Integer, LabelKey, LabelValue, Quoted
from tidegate.resources.section import Section

MODEL_MESH = NotHonoured("it is ModelMesh's; here several models share a replica by their repository")


class BuiltInAdapter(Section):
    """ModelMesh's adapter."""

    server_type: str | None = None
    """Server that is adapted: triton, mlserver, ovms; without it none."""
    runtime_management_port: Count | None = None
    """Port that models are loaded by; without it 8085."""
    mem_buffer_bytes: Count | None = None
    """Bytes that are kept free; without it 0."""
    model_loading_timeout_millis: Count | None = None
    """Milliseconds for a load; without it 90000."""
    env: list[EnvVar] = []
    """Variables of the adapter's environment."""


class StorageHelper(Section):
    """ModelMesh's fetcher of models."""

    disabled: bool = False
    """Whether there is none."""


class RuntimeWorker(PodFields):
    """Pods of a runtime that is spread over several nodes."""

    containers: list[Container] = []
    """The worker's container."""
    pipeline_parallel_size: Integer | None = None
    """Nodes that the layers are spread over; without it 1."""
    tensor_parallel_size: Integer | None = None
    """Devices of a node that a layer is spread over; without it 1."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of the pods."""
    annotations: dict[LabelKey, Quoted] = {}
    """Annotations of the pods."""


class ServingRuntimeSpec(Section):
    """Which formats a runtime reads, and the containers that do it."""

    supported_model_formats: Annotated[list[SupportedFormat], SAME] = []
    """Formats that it reads; without any it is taken by name only."""
    containers: Annotated[list[Container], SAME]
    """Its containers; the one named kserve-container serves the model."""
    protocol_versions: Annotated[list[Literal["v1", "v2", "grpc-v1", "grpc-v2"]], SAME] = []
    """What it speaks; without any, whatever a model asks for."""
    disabled: Annotated[bool, SAME] = False
    """Whether no model gets it."""
    multi_model: Annotated[bool, MODEL_MESH] = False
    """Whether one of its pods serves several models (ModelMesh)."""
    worker_spec: Annotated[RuntimeWorker | None, NotHonoured("a replica is one process on one node")] = None
    """Pods of a model that is spread over several nodes; without it it is on one."""
    labels: Annotated[dict[LabelKey, LabelValue], IN_A_CLUSTER] = {}
    """Labels of its pods."""
    annotations: Annotated[dict[LabelKey, Quoted], IN_A_CLUSTER] = {}
    """Annotations of its pods."""
    volumes: Annotated[list[Open], IN_A_CLUSTER] = []
    """Volumes that its containers can mount."""
    node_selector: Annotated[dict[LabelKey, Quoted], IN_A_CLUSTER] = {}
    """Labels of the nodes that it may run on."""
    affinity: Annotated[Open | None, IN_A_CLUSTER] = None
    """Nodes and pods that it likes or avoids; without it any."""
    tolerations: Annotated[list[Open], IN_A_CLUSTER] = []
    """Taints of nodes that it bears."""
    image_pull_secrets: Annotated[list[Open], IN_A_CLUSTER] = []
    """Secrets that images are fetched with."""
    scheduler_name: Annotated[str | None, IN_A_CLUSTER] = None
    """Who schedules its pods; without it Kubernetes' own."""
    resource_claims: Annotated[list[Open], IN_A_CLUSTER] = []
    """Devices that its pods claim."""
    host_ipc: Annotated[bool, IN_A_CLUSTER, Field(alias="hostIPC")] = False
    """Whether its pods share the memory of their node."""
    grpc_endpoint: Annotated[str | None, MODEL_MESH] = None
    """Where models are loaded by gRPC (ModelMesh)."""
    grpc_data_endpoint: Annotated[str | None, MODEL_MESH] = None
    """Where requests go by gRPC (ModelMesh)."""
    http_data_endpoint: Annotated[str | None, MODEL_MESH] = None
    """Where requests go by HTTP (ModelMesh)."""
    replicas: Annotated[Count | None, MODEL_MESH] = None
    """Pods that are shared by all models (ModelMesh)."""
    storage_helper: Annotated[StorageHelper | None, MODEL_MESH] = None
    """What fetches models (ModelMesh)."""
    built_in_adapter: Annotated[BuiltInAdapter | None, MODEL_MESH] = None
    """What loads models into the server (ModelMesh)."""


class ServingRuntime(Resource):
    """How the container of a model is made, for the models of one namespace."""

    api_version: Literal["serving.kserve.io/v1alpha1"]
    """Group and version of the kind: serving.kserve.io/v1alpha1."""
    kind: Literal["ServingRuntime"]
    """The kind: ServingRuntime."""
    spec: Annotated[ServingRuntimeSpec, SAME]
    """Formats and containers."""


class ClusterServingRuntime(Resource):
    """How the container of a model is made, for the models of all namespaces."""

    api_version: Literal["serving.kserve.io/v1alpha1"]
    """Group and version of the kind: serving.kserve.io/v1alpha1."""
    kind: Literal["ClusterServingRuntime"]
    """The kind: ClusterServingRuntime."""
    spec: Annotated[ServingRuntimeSpec, SAME]
    """Formats and containers."""
