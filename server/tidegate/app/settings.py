"""What the all-in-one server is told to be. Whoever makes it has read the command line; nothing below does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

import msgspec

from tidegate.app.admin import AdminSettings
from tidegate.app.golden import GoldenSettings
from tidegate.app.manifests import TypedManifest
from tidegate.batching.settings import BatchSettings
from tidegate.control.activation import ActivationSettings
from tidegate.control.notifications.settings import NotificationSettings
from tidegate.control.store.settings import StoreSettings
from tidegate.control.watch import WatchSettings
from tidegate.gateway.dataplane import GatewaySettings
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.identity.settings import IdentitySettings, TlsSettings
from tidegate.replicas.settings import ReplicaSettings
from tidegate.storage.cache import CacheSettings


class ServeSettings(msgspec.Struct, frozen=True):
    """All of it.

    Raises:
        ValueError: answers are to be kept of executions that must not be spared.
    """

    paths: tuple[Path, ...]
    """Model files and directories of them."""
    gateway: GatewaySettings
    manifests: tuple[TypedManifest, ...] = ()
    """What is to be stored before anything is served."""
    name: str | None = None
    """The name under which the only path is served, instead of the one that its file name gives."""
    trusted: bool = True
    """Whether formats that can execute code are read, of the models at ``paths`` and of those that ``manifests`` name.
    True because the user typed them."""
    threads: int = 0
    """Intra-operation threads of each replica's framework; 0 is what ``models.threads_of`` makes of it."""
    options: Mapping[str, str] = {}
    """Options of the runtimes, by name; each runtime refuses those that it does not know."""
    http: HttpSettings = HttpSettings()
    grpc: GrpcSettings = GrpcSettings()
    admin: AdminSettings = AdminSettings()
    """The resource API, on a loopback address also where the others are not."""
    status: HttpSettings = HttpSettings(port=8083)
    replica: ReplicaSettings = ReplicaSettings()
    zygotes: int = 4
    """Processes that workers are forked from, at most, one for each runtime and number of threads; each has the memory
    of its framework. At least 1; ``replica.start_method`` says whether there are any."""
    batching: BatchSettings = BatchSettings()
    """How each model queues and batches."""
    given: frozenset[str] = frozenset()
    """Fields of this, ``replica`` and ``batching`` that the user has given: they hold whatever a model.yaml says."""
    artifact_cache: CacheSettings | None = None
    """Where models are copied to before they are loaded; without it they are loaded from where they lie."""
    revision_cache: CacheSettings = CacheSettings(directory=Path(gettempdir()) / "tidegate-models")
    """Where the content of revisions is kept. There always is a place: a revision never changes."""
    model_control: bool = False
    """Whether callers may load and unload models even where others than this machine's users reach the server."""
    watch: bool = False
    """Whether changes on disk are followed."""
    watching: WatchSettings = WatchSettings()
    """How, if so."""
    on_demand: bool = False
    """Whether models are loaded by their first request, unless their model.yaml says otherwise."""
    identity: IdentitySettings = IdentitySettings()
    """How callers show who they are."""
    tls: TlsSettings | None = None
    """How the data ports are encrypted, None if they are not."""
    activation: ActivationSettings = ActivationSettings()
    """How many of those that are loaded on demand are awake, and for how long."""
    state_directory: Path | None = None
    """Where the resources are kept; None for a directory that ends with the server."""
    trust: tuple[Path, ...] = ()
    """Directories whose models may be of formats that can execute code, also where a manifest names them."""
    secrets: Path | None = None
    """Where the secrets are that manifests name; None for none."""
    golden: GoldenSettings = GoldenSettings()
    """What requests with known answers may take."""
    notifications: NotificationSettings = NotificationSettings()
    """How notifications are sent; ``secrets`` and ``identity.outgoing`` say whereto."""
    store: StoreSettings = StoreSettings()
    """What the state keeps."""
    keep_previous: float = 600.0
    """Seconds that the replicas of a revision go on running after the next one has taken over."""
    downloads_at_once: int = 2
    """Models of services that are fetched at a time."""
    cache_bytes: int = 0
    """Bytes of answers that each model's cache keeps; 0 for no cache."""
    ready_timeout: float = 600.0
    """Seconds until the start gives up waiting for a model; as long as a load may take."""
    shutdown_delay: float = 0.0
    """Seconds between readiness going down and the last request being taken, for load balancers to notice. None on
    a laptop, where nothing balances."""
    shutdown_grace: float = 30.0
    """Seconds that requests in flight have to end after the signal; Kubernetes' own default."""

    def __post_init__(self) -> None:
        if self.cache_bytes and not self.batching.idempotent:
            raise ValueError(
                f"cache_bytes is {self.cache_bytes}, expected 0 where requests are not idempotent (--non-idempotent): "
                "a cache would spare executions that are wanted"
            )
