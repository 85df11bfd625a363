"""The options of ``tidegate serve``, grouped as its help shows them, and the settings that they make.

Defaults are read from the settings themselves, so that the help cannot tell anything else than what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import CoercionError, Group, Parameter, Token
from cyclopts.validators import Number

from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.cli.access import ENCRYPTION, IDENTITIES, Encryption, Identities
from tidegate.cli.group import Count, Given, Positive, Seconds, Size
from tidegate.cli.kept import DEFAULT_GOLDEN, DEFAULT_STATE, DEFAULT_TOLD, Golden, State, Told
from tidegate.cli.values import check_seconds, parse_padding, parse_sizes, parse_weight
from tidegate.control.activation import ActivationSettings
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.watch import WatchSettings
from tidegate.gateway.caller import CallerSettings
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.shadow_settings import ShadowSettings
from tidegate.protocol.limits import DEFAULT_LIMITS
from tidegate.protocol.nan import NanPolicy
from tidegate.replicas.settings import ReplicaSettings, StartMethod

T = TypeVar("T")

HTTP = HttpSettings()
GRPC = GrpcSettings()
REPLICA = ReplicaSettings()
BATCHING = BatchSettings()
CALLER = CallerSettings()
WATCH = WatchSettings()
ACTIVATION = ActivationSettings()
SHADOW = ShadowSettings()
SERVICES = ServiceSettings()
RELOAD = WatchSettings(watch_interval=0.5, watch_settle=0.2)


def _each(tokens: Sequence[Token], parse: Callable[[str], T]) -> Iterator[tuple[Token, T]]:
    for token in tokens:
        try:
            yield token, parse(token.value)
        except ValueError as error:  # of several tokens cyclopts cannot tell which one it was
            raise CoercionError(msg=str(error), token=token) from error


def _convert_sizes(_: type, tokens: Sequence[Token]) -> tuple[int, ...]:
    return tuple(size for _, sizes in _each(tokens, parse_sizes) for size in sizes)


def _convert_paddings(_: type, tokens: Sequence[Token]) -> tuple[PaddedDimension, ...]:
    return tuple(dimension for _, dimension in _each(tokens, parse_padding))


def _convert_weights(_: type, tokens: Sequence[Token]) -> tuple[tuple[str, float], ...]:
    weights: dict[str, float] = {}
    for token, (name, weight) in _each(tokens, parse_weight):
        if name in weights:
            raise CoercionError(msg=f'tenant "{name}" is given twice', token=token)
        weights[name] = weight
    return tuple(weights.items())


WholeSeconds = Annotated[int, Parameter(validator=check_seconds)]
Rows = Annotated[int, Parameter(validator=Number(gte=1), metavar="ROWS")]
RowSizes = Annotated[
    tuple[int, ...],
    Parameter(
        converter=_convert_sizes, n_tokens=1, json_list=False, negative=(), show_default=False, metavar="ROWS,ROWS"
    ),
]
Paddings = Annotated[
    tuple[PaddedDimension, ...],
    Parameter(
        converter=_convert_paddings,
        n_tokens=1,
        json_list=False,
        negative=(),
        show_default=False,
        metavar="INPUT:AXIS=SIZES",
    ),
]
Paths = Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False, metavar="DIRECTORY")]
Weights = Annotated[
    tuple[tuple[str, float], ...],
    Parameter(
        converter=_convert_weights, n_tokens=1, json_list=False, negative=(), show_default=False, metavar="NAME=WEIGHT"
    ),
]


@Parameter(name="*", group=Group("Addresses", sort_key=1))
@dataclass(frozen=True)
class Addresses(Given):
    host: str = HTTP.host
    """The address that all ports are on. 0.0.0.0 opens them to the network."""
    http_port: int = HTTP.port
    """HTTP; 0 takes a free port and tells which."""
    grpc_port: int = GRPC.port
    """gRPC; 0 as above."""
    admin_port: int = 8082
    """The resource API; 0 as above. It is on 127.0.0.1 whatever --host says, unless --admin-host opens it."""
    admin_host: str = HTTP.host
    """The address that the resource API is on."""
    admin_name: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    """A DNS name or address by which clients reach the resource API over TLS, beside this machine's own. Once per name.
    """
    status_port: int = 8083
    """/metrics, /healthz, /readyz and /load; 0 as above."""


@Parameter(name="*", group=Group("Execution", sort_key=2))
@dataclass(frozen=True)
class Execution(Given):
    replicas: Positive = REPLICA.replicas
    """Processes of each model; every one holds the model in its own memory."""
    threads: Count = 0
    """Threads of the framework within one execution; 0 shares the cores among the replicas of a model, and leaves the
    choice to the framework where there is one."""
    memory_limit: Size = REPLICA.memory_limit
    """Private memory of a replica; 0 for no limit."""
    slot_bytes: Size = REPLICA.slot_bytes
    """Shared memory in use with one replica; beyond it requests wait."""
    idle_slot_bytes: Size = REPLICA.idle_slot_bytes
    """Shared memory of one replica that is kept for the next requests."""
    stream_responses: Positive = REPLICA.stream_responses
    """Responses of one stream that may wait to be read; then the model pauses."""
    stream_bytes: Size = REPLICA.stream_bytes
    """The tensors of those responses, unless one is larger by itself."""
    start_method: StartMethod = REPLICA.start_method
    """How replicas start: spawned, each importing its framework, or forked from a process that has; "auto" forks those
    that come later than the first, and is "zygote" for models that are loaded on demand."""
    worker_directory: str = REPLICA.directory
    """Where replicas keep their sockets; "" is the system's directory for temporary files."""


@Parameter(name="*", group=Group("Copies of models", sort_key=3))
@dataclass(frozen=True)
class Copies(Given):
    model_cache: bool = True
    """Load models from copies, so that a file that is overwritten changes nothing until it is loaded anew."""
    model_cache_directory: str = ""
    """Where they lie; "" is tidegate/models in the user's cache directory ($XDG_CACHE_HOME, else ~/.cache)."""
    model_cache_bytes: Size = 10 << 30
    """Copies that are kept although no server uses them, for the next start."""


@Parameter(name="*", group=Group("Loading and unloading", sort_key=4))
@dataclass(frozen=True)
class Control(Given):
    model_control: Annotated[bool, Parameter(negative=())] = False
    """Let callers load and unload models although the server listens on more than a loopback address."""
    watch: Annotated[bool, Parameter(negative=("--no-watch",))] = False
    """Follow changes on disk: load models that are new, replace those that changed, unload those that are gone."""
    reload: Annotated[bool, Parameter(negative=())] = False
    """The same at once, for work on a model: look twice a second, and take a change after 0.2 s."""
    watch_interval: Seconds = WATCH.watch_interval
    """Seconds between two looks at the disk."""
    watch_settle: Seconds = WATCH.watch_settle
    """Seconds that a change must be over before it is followed."""


@Parameter(name="*", group=Group("Services", sort_key=5))
@dataclass(frozen=True)
class Services(Given):
    state_directory: str = ""
    """Where services, their revisions and what was decided about them are kept between starts; "" keeps them for as
    long as the server runs."""
    trust: Paths = ()
    """A directory whose models may be of formats that can run code while they are read (pickle, joblib), also where a
    manifest names them. Once per directory."""
    secrets: str = ""
    """The directory with the secrets that manifests name (`secretRef`), DIRECTORY/NAMESPACE/NAME; without it there are
    none."""
    keep_previous: Seconds = 600.0
    """Seconds that the replicas of the revision before go on running, so that going back to it is immediate."""


@Parameter(name="*", group=Group("Rollouts", sort_key=5.5))
@dataclass(frozen=True)
class Trials(Given):
    shadow_queue: Positive = SHADOW.max_queue
    """Copies of requests that wait for one shadow; one beyond is dropped."""
    shadow_inflight: Positive = SHADOW.max_inflight
    """Copies at one shadow at a time."""
    shadow_copy_bytes: Size = SHADOW.max_copy_bytes
    """Inputs and outputs of one copy; a larger one is dropped."""
    shadow_bytes: Size = SHADOW.max_bytes
    """All copies together."""
    shadow_timeout: Seconds = SHADOW.timeout
    """Seconds for a shadow's answer; a copy that takes longer is dropped."""
    downloads_at_once: Positive = SERVICES.downloads_at_once
    """Models of services that are fetched at a time; the others wait."""


@Parameter(name="*", group=Group("Models on demand", sort_key=6))
@dataclass(frozen=True)
class Awake(Given):
    on_demand: Annotated[bool, Parameter(negative=())] = False
    """Load each model by its first request, not with the server; `load: eager` in its model.yaml excepts one."""
    max_awake: Count = ACTIVATION.max_awake
    """Models on demand that are awake at a time; the longest unused makes room. 0 for as many as are asked for."""
    max_awake_bytes: Size = ACTIVATION.max_awake_bytes
    """Memory of those that are awake; 0 for no limit."""
    sleep_after: Seconds = ACTIVATION.sleep_after
    """Seconds without a request after which a model on demand is put to sleep; 0 for never."""


@Parameter(name="*", group=Group("Batches and queue, of each model", sort_key=7))
@dataclass(frozen=True)
class Batching(Given):
    max_batch: Rows = BATCHING.max_batch
    """Rows in one execution."""
    max_batch_bytes: Size = BATCHING.max_batch_bytes
    """Input tensors in one execution."""
    initial_batch_size: Rows = BATCHING.initial_batch_size
    """Rows in one execution before anything is learned of its duration."""
    batch_sizes: RowSizes = BATCHING.batch_sizes
    """Ascending sizes that batches are padded to, for runtimes that compile one program per size."""
    pad: Paddings = BATCHING.padded_dimensions
    """Pad a dimension of an input to one of some sizes, so that requests of nearly the same shape share a batch:
    ids:1=16,32,64, or ids:1=16,32,64:-1 where the new elements are to be -1 and not 0. Once per dimension."""
    non_idempotent: Annotated[bool, Parameter(negative=())] = not BATCHING.idempotent
    """No request is executed twice: each by itself, and with a replica that ends its requests fail."""
    max_latency: Seconds = BATCHING.max_latency
    """Seconds that requests may be held back for company although a replica is idle; a lone one never is."""
    max_queue: Annotated[int, Parameter(validator=Number(gte=0), metavar="ROWS")] = BATCHING.max_queue
    """Rows that wait; a request beyond is refused with 503, unless nobody waits."""
    max_queue_bytes: Size = BATCHING.max_queue_bytes
    """The tensors of those that wait, with the same exception."""
    max_bucket_wait: Seconds = BATCHING.max_bucket_wait
    """Seconds after which requests of one shape go before those of another with an earlier deadline."""
    refuse_early: bool = BATCHING.refuse_early
    """Refuse a request that cannot finish by its deadline before it is executed."""
    max_retry_after: Seconds = BATCHING.max_retry_after
    """The longest time, in seconds, that a refused caller is asked to stay away."""
    memory_backoff: Seconds = BATCHING.memory_backoff
    """For how many seconds as many rows as the model had no memory for are not executed at once again."""
    max_deaths: Positive = BATCHING.max_deaths
    """Replicas that may end while they execute a request; then its content is refused."""
    quarantine_seconds: Seconds = BATCHING.quarantine_seconds
    """For how many seconds it is."""
    max_sequences: Positive = BATCHING.max_sequences
    """Sequences of a stateful model that are open at a time."""
    sequence_idle: Seconds = BATCHING.sequence_idle
    """Seconds without a step after which a sequence ends."""


@Parameter(name="*", group=Group("Callers", sort_key=8))
@dataclass(frozen=True)
class Callers(Given):
    priority_levels: Positive = CALLER.priority_levels
    """Levels of the parameter `priority`; 1 is served first, the highest number last."""
    default_priority: Positive = CALLER.default_priority
    """The level of a request that names none, or 0."""
    ageing: Seconds = BATCHING.ageing
    """Seconds of waiting that are worth one level."""
    tenant_header: str = CALLER.tenant_header
    """The HTTP header or gRPC metadata key that names the tenant; "" for no tenants."""
    tenant_weight: Weights = tuple(CALLER.tenant_weights.items())
    """Share of a tenant while several compete; 1 for those that are not named. Once per tenant."""


@Parameter(name="*", group=Group("Times, in seconds", sort_key=11))
@dataclass(frozen=True)
class Times(Given):
    timeout: Seconds = 60.0
    """For a request whose caller sets no deadline."""
    max_timeout: Seconds = 3600.0
    """The longest deadline that a caller can ask for."""
    ready_timeout: Seconds = 600.0
    """Until the start gives up waiting for a model (exit code 3 if none is ready by then)."""
    shutdown_delay: Seconds = 0.0
    """Between the signal to stop and the last request taken, for load balancers to notice."""
    shutdown_grace: Seconds = 30.0
    """For requests in flight to end after the signal to stop."""
    start_timeout: Seconds = REPLICA.start_timeout
    """For the process of a replica to start, without its model."""
    load_timeout: Seconds = REPLICA.load_timeout
    """For a replica to load its model."""
    execution_timeout: Seconds = REPLICA.execution_timeout
    """For one execution; then the replica is replaced."""
    hang_timeout: Seconds = REPLICA.hang_timeout
    """Without a sign of life from a replica that has work; then it is replaced."""
    stop_timeout: Seconds = REPLICA.stop_timeout
    """For a replica to end by itself."""
    handshake_timeout: Seconds = GRPC.handshake_timeout
    """For the HTTP/2 settings of a gRPC connection to arrive."""
    header_timeout: Seconds = HTTP.header_timeout
    """For the headers of an HTTP request to arrive."""
    body_timeout: Seconds = HTTP.body_timeout
    """For the body of an HTTP request to arrive."""
    write_timeout: Seconds = HTTP.write_timeout
    """That a client may leave its answer untaken."""
    keep_alive_timeout: WholeSeconds = HTTP.keep_alive_timeout
    """That an idle HTTP connection is kept; whole seconds."""
    message_timeout: Seconds = GRPC.message_timeout
    """For the message of a gRPC call to arrive."""
    idle_timeout: Seconds = GRPC.idle_timeout
    """That a gRPC connection without calls is kept."""
    linger: Seconds = HTTP.linger
    """That a refused connection is still read from, so that the refusal arrives."""


@Parameter(name="*", group=Group("Limits", sort_key=12))
@dataclass(frozen=True)
class Bounds(Given):
    max_connections: Count = HTTP.max_connections
    """Connections at a time, of HTTP and of gRPC each."""
    max_concurrent_streams: Count = GRPC.max_concurrent_streams
    """Calls at a time on one gRPC connection."""
    max_calls: Count = GRPC.max_calls
    """Calls at a time on all gRPC connections."""
    max_stream_requests: Positive = GRPC.max_stream_requests
    """Requests of one ModelStreamInfer call that are answered at a time."""
    max_receiving_bytes: Size = GRPC.max_receiving_bytes
    """Bodies or messages of all requests together that are being received or answered, of HTTP and of gRPC each."""
    max_control_frames: Count = GRPC.max_control_frames
    """Control and empty DATA frames a second of one gRPC connection, beyond those that its answers earn."""
    max_headers: Count = HTTP.max_headers
    """Header lines of an HTTP request."""
    max_body_bytes: Size = DEFAULT_LIMITS.max_body_bytes
    """An HTTP body or gRPC message, as it arrives."""
    max_inflated_bytes: Size = DEFAULT_LIMITS.max_inflated_bytes
    """The same, decompressed."""
    max_json_bytes: Size = DEFAULT_LIMITS.max_json_bytes
    """The JSON part of a body."""
    max_header_bytes: Size = DEFAULT_LIMITS.max_header_bytes
    """All headers of a request."""
    max_tensors: Count = DEFAULT_LIMITS.max_tensors
    """Inputs, and outputs asked for, of one request."""
    max_parameters: Count = DEFAULT_LIMITS.max_parameters
    """Entries of one `parameters` object."""
    max_rank: Count = DEFAULT_LIMITS.max_rank
    """Dimensions of a tensor."""
    max_elements: Count = DEFAULT_LIMITS.max_elements
    """Elements of a tensor."""
    max_name_bytes: Size = DEFAULT_LIMITS.max_name_bytes
    """A name or a request's id."""


@Parameter(name="*", group=Group("Answers", sort_key=13))
@dataclass(frozen=True)
class Answers(Given):
    nan: NanPolicy = HTTP.nan
    """NaN and infinity in a JSON answer: null, string ("NaN", "-Infinity") or literal (NaN, which is no JSON)."""
    min_compress_bytes: Size = HTTP.min_compress_bytes
    """The smallest HTTP answer that is compressed where the client takes it."""
    cache_bytes: Size = 0
    """Answers of each model that are kept, and given again to requests with the same content; 0 for none."""


@Parameter(name="*", group=Group("Log", sort_key=14))
@dataclass(frozen=True)
class Log(Given):
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """The least serious message that is written to stderr."""
    log_format: Literal["plain", "json"] = "plain"
    """plain for people, json for a collector."""
    access_log: Annotated[bool, Parameter(negative=())] = False
    """Log every HTTP request, whatever the level."""


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """All groups."""

    addresses: Addresses = Addresses()
    execution: Execution = Execution()
    copies: Copies = Copies()
    control: Control = Control()
    services: Services = Services()
    trials: Trials = Trials()
    golden: Golden = DEFAULT_GOLDEN
    told: Told = DEFAULT_TOLD
    state: State = DEFAULT_STATE
    awake: Awake = Awake()
    batching: Batching = Batching()
    callers: Callers = Callers()
    identities: Identities = IDENTITIES
    encryption: Encryption = ENCRYPTION
    times: Times = Times()
    bounds: Bounds = Bounds()
    answers: Answers = Answers()
    log: Log = Log()

    @property
    def groups(self) -> tuple[Given, ...]:
        return (
            self.addresses, self.execution, self.copies, self.control, self.services, self.trials, self.golden,
            self.told, self.state, self.awake, self.batching,
            self.callers, self.identities, self.encryption, self.times, self.bounds, self.answers, self.log,
        )  # fmt: skip

    @property
    def given(self) -> frozenset[str]:
        """The options that the user has given, of all groups."""
        return frozenset().union(*(group.given for group in self.groups))


DEFAULTS = Options()
