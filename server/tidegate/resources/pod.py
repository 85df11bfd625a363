"""Pods and containers, as Kubernetes has them and KServe passes them on.

What tidegate has to understand is typed; what only the kubelet reads is open data and passed on as it is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tidegate.resources.fate import IN_A_CLUSTER, OF_A_CONTAINER, NotHonoured
from tidegate.resources.scalars import AmountOf, Count, IntOrString, LabelKey, Quoted, Whole
from tidegate.resources.section import Section

Open = dict[str, Any]


class EnvVar(Section):
    """A variable of the environment."""

    name: str
    """Its name."""
    value: Quoted | None = None
    """Its value; without it and valueFrom the variable is empty."""
    value_from: Open | None = None
    """A field, a resource, a key of a ConfigMap or of a Secret that it is read from."""


class Resources(Section):
    """What a container asks the node for."""

    requests: dict[str, AmountOf] = {}
    """What it gets for certain, by resource (cpu, memory, nvidia.com/gpu)."""
    limits: dict[str, AmountOf] = {}
    """What it gets at most."""
    claims: list[Open] = []
    """Claims of the pod that it uses."""


class Port(Section):
    """A port that a container listens on."""

    container_port: Annotated[int, Whole(1, 65535)]
    """Its number."""
    name: str | None = None
    """Its name: h2c for gRPC, http1 for HTTP."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    """What is spoken below HTTP."""
    host_ip: Annotated[str | None, Field(alias="hostIP")] = None
    """Address of the node that the port is opened on, too."""
    host_port: Count | None = None
    """Port of the node that leads to it."""


class ContainerFields(Section):
    """What a container has beside its name; KServe's model has these, too."""

    image: Annotated[str | None, OF_A_CONTAINER] = None
    """The image; without it the runtime's."""
    command: Annotated[list[Quoted], OF_A_CONTAINER] = []
    """The program, instead of the image's entry point."""
    args: Annotated[list[Quoted], OF_A_CONTAINER] = []
    """Arguments of the program."""
    working_dir: Annotated[str | None, OF_A_CONTAINER] = None
    """Where it is started; without it, what the image says."""
    env: Annotated[list[EnvVar], OF_A_CONTAINER] = []
    """Variables of the environment."""
    env_from: Annotated[list[Open], OF_A_CONTAINER] = []
    """ConfigMaps and Secrets whose keys become variables."""
    ports: Annotated[list[Port], OF_A_CONTAINER] = []
    """Ports that it listens on; without any, 8080."""
    resources: Annotated[Resources | None, OF_A_CONTAINER] = None
    """What it asks the node for; without it, what the runtime or the cluster says."""
    image_pull_policy: Annotated[Literal["Always", "IfNotPresent", "Never"] | None, OF_A_CONTAINER] = None
    """When the image is fetched; without it, always for the tag latest and else where it is not there."""
    volume_mounts: Annotated[list[Open], OF_A_CONTAINER] = []
    """Where volumes of the pod are seen."""
    volume_devices: Annotated[list[Open], OF_A_CONTAINER] = []
    """Where block devices of the pod are seen."""
    liveness_probe: Annotated[Open | None, OF_A_CONTAINER] = None
    """How one knows that it has to be restarted; without it, by its process."""
    readiness_probe: Annotated[Open | None, OF_A_CONTAINER] = None
    """How one knows that it takes requests; without it, by its port."""
    startup_probe: Annotated[Open | None, OF_A_CONTAINER] = None
    """How one knows that it has started; without it, at once."""
    lifecycle: Annotated[Open | None, OF_A_CONTAINER] = None
    """What is run after its start and before its end; without it nothing."""
    security_context: Annotated[Open | None, OF_A_CONTAINER] = None
    """User, capabilities, profile; without it, those of the pod."""
    resize_policy: Annotated[list[Open], OF_A_CONTAINER] = []
    """Whether it is restarted when its resources change."""
    restart_policy: Annotated[str | None, OF_A_CONTAINER] = None
    """Of an init container: Always makes it run beside the others."""
    restart_policy_rules: Annotated[list[Open], OF_A_CONTAINER] = []
    """Exit codes after which it is restarted."""
    termination_message_path: Annotated[str | None, OF_A_CONTAINER] = None
    """File that its last words are read from; without it /dev/termination-log."""
    termination_message_policy: Annotated[str | None, OF_A_CONTAINER] = None
    """Where its last words come from: File, or FallbackToLogsOnError."""
    stdin: Annotated[bool, OF_A_CONTAINER] = False
    """Whether its standard input is kept open."""
    stdin_once: Annotated[bool, OF_A_CONTAINER] = False
    """Whether that ends with the first who is attached."""
    tty: Annotated[bool, OF_A_CONTAINER] = False
    """Whether it has a terminal."""


class Container(ContainerFields):
    """One container of a pod."""

    name: Annotated[str, OF_A_CONTAINER] = ""
    """Its name; KServe names a lone one kserve-container."""


class PodFields(Section):
    """What a component says of its pods."""

    init_containers: Annotated[list[Container], IN_A_CLUSTER] = []
    """Containers that are run to their end before the others."""
    volumes: Annotated[list[Open], IN_A_CLUSTER] = []
    """Volumes that its containers can mount."""
    service_account_name: Annotated[str | None, IN_A_CLUSTER] = None
    """Identity of the pod, and of what fetches its model; without it default."""
    service_account: Annotated[str | None, IN_A_CLUSTER] = None
    """Kubernetes' old name of serviceAccountName."""
    automount_service_account_token: Annotated[bool | None, IN_A_CLUSTER] = None
    """Whether containers see the token of that identity; without it, what the account says."""
    image_pull_secrets: Annotated[list[Open], IN_A_CLUSTER] = []
    """Secrets that images are fetched with."""
    node_selector: Annotated[dict[LabelKey, Quoted], IN_A_CLUSTER] = {}
    """Labels of the nodes that it may run on."""
    affinity: Annotated[Open | None, IN_A_CLUSTER] = None
    """Nodes and pods that it likes or avoids."""
    tolerations: Annotated[list[Open], IN_A_CLUSTER] = []
    """Taints of nodes that it bears."""
    topology_spread_constraints: Annotated[list[Open], IN_A_CLUSTER] = []
    """How its pods are spread over zones and nodes."""
    scheduler_name: Annotated[str | None, IN_A_CLUSTER] = None
    """Who schedules it; without it Kubernetes' own."""
    scheduling_gates: Annotated[list[Open], IN_A_CLUSTER] = []
    """What must be opened before it is scheduled."""
    scheduling_group: Annotated[Open | None, IN_A_CLUSTER] = None
    """Pods that it is scheduled with."""
    priority_class_name: Annotated[str | None, IN_A_CLUSTER] = None
    """How important it is where there is no room; without it the cluster's default."""
    priority: Annotated[int | None, IN_A_CLUSTER] = None
    """The number behind priorityClassName."""
    preemption_policy: Annotated[str | None, IN_A_CLUSTER] = None
    """Whether it may push others away: PreemptLowerPriority or Never."""
    runtime_class_name: Annotated[str | None, IN_A_CLUSTER] = None
    """What runs its containers (gVisor, Kata, NVIDIA's); without it the cluster's default."""
    security_context: Annotated[Open | None, IN_A_CLUSTER] = None
    """User, groups and profile of all its containers."""
    resources: Annotated[Resources | None, IN_A_CLUSTER] = None
    """What the pod as a whole asks the node for."""
    resource_claims: Annotated[list[Open], IN_A_CLUSTER] = []
    """Devices that it claims."""
    overhead: Annotated[dict[str, AmountOf], IN_A_CLUSTER] = {}
    """What the pod takes beside its containers."""
    termination_grace_period_seconds: Annotated[Count | None, IN_A_CLUSTER] = None
    """Seconds that requests in flight have to end; without it 30."""
    dns_policy: Annotated[str | None, IN_A_CLUSTER] = None
    """Whose DNS it asks; without it ClusterFirst."""
    dns_config: Annotated[Open | None, IN_A_CLUSTER] = None
    """Servers and search domains of DNS."""
    host_aliases: Annotated[list[Open], IN_A_CLUSTER] = []
    """Lines of /etc/hosts."""
    host_network: Annotated[bool, IN_A_CLUSTER] = False
    """Whether it shares the network of its node; restricted clusters refuse it."""
    host_pid: Annotated[bool, IN_A_CLUSTER, Field(alias="hostPID")] = False
    """Whether it sees the processes of its node; restricted clusters refuse it."""
    host_ipc: Annotated[bool, IN_A_CLUSTER, Field(alias="hostIPC")] = False
    """Whether it shares the memory of its node; restricted clusters refuse it."""
    host_users: Annotated[bool | None, IN_A_CLUSTER] = None
    """Whether its users are those of the node."""
    hostname: Annotated[str | None, IN_A_CLUSTER] = None
    """Its host name, instead of the pod's name."""
    hostname_override: Annotated[str | None, IN_A_CLUSTER] = None
    """Its whole host name, DNS or not."""
    subdomain: Annotated[str | None, IN_A_CLUSTER] = None
    """Domain below the namespace's."""
    set_hostname_as_fqdn: Annotated[bool, IN_A_CLUSTER, Field(alias="setHostnameAsFQDN")] = False
    """Whether the host name is the whole one."""
    share_process_namespace: Annotated[bool, IN_A_CLUSTER] = False
    """Whether its containers see each other's processes."""
    enable_service_links: Annotated[bool | None, IN_A_CLUSTER] = None
    """Whether each Service becomes variables; without it true."""
    readiness_gates: Annotated[list[Open], IN_A_CLUSTER] = []
    """Conditions that must hold before it takes requests."""
    os: Annotated[Open | None, IN_A_CLUSTER] = None
    """Operating system of its containers."""


class KServePodFields(PodFields):
    """KServe's, which are those of Kubernetes: some of them cannot work in a pod that serves."""

    active_deadline_seconds: Annotated[
        Count | None, NotHonoured("a replica that is stopped after some time would take its requests with it")
    ] = None
    """Seconds after which the pod is stopped."""
    ephemeral_containers: Annotated[list[Open], NotHonoured("they are added to a running pod, not to a manifest")] = []
    """Containers for looking into a running pod."""
    node_name: Annotated[
        str | None, NotHonoured("it goes past the scheduler, and ends with its node; nodeSelector does not")
    ] = None
    """The one node that it runs on."""
    restart_policy: Annotated[str | None, NotHonoured("replicas are always restarted")] = None
    """Whether containers that end are started again."""


class RollingUpdate(Section):
    """How far a Deployment may be from its number of pods while it changes."""

    max_surge: IntOrString | None = None
    """Pods beyond the number; without it 25%."""
    max_unavailable: IntOrString | None = None
    """Pods that may be missing; without it 25%."""


class DeploymentStrategy(Section):
    """How a Deployment replaces its pods."""

    type: Literal["RollingUpdate", "Recreate"] | None = None
    """One after the other, or all at once; without it RollingUpdate."""
    rolling_update: RollingUpdate | None = None
    """Bounds of a rolling update."""
