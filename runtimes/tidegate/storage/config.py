"""What a model's owner says of it: ``model.yaml`` in the model's folder, or ``NAME.model.yaml`` beside a single file.

A field that is not there leaves the matter to the server's own settings, and what was typed on the command line goes
before the file. ``batcher`` has the names of the queue's and the batch former's settings; whoever composes a server
maps them, for this package knows neither.

    name: iris
    runtime: sklearn
    batcher: {max_batch: 64, max_latency: 0.005}
    warm_up: [{batch_size: 1}, {batch_size: 64}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.protocol.messages import TensorSpec
from tidegate.runtimes.sample import Sample
from tidegate.storage.document import read_document
from tidegate.storage.schema import Problems, read_struct

FILE = "model.yaml"
"""In a model's folder. Beside a single file it is ``NAME.model.yaml``: YAML of other tools lies about as ``NAME.yaml``,
and what is meant for us must not be guessed."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Extent = Annotated[int, msgspec.Meta(ge=-1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input or output."""

    name: str
    datatype: Datatype
    shape: tuple[Extent, ...]
    """-1 is any size; axis 0 counts rows where the model has a batch dimension."""


class Padding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dimension of an input that is padded."""

    input: str
    axis: Positive
    sizes: tuple[Positive, ...]
    """Ascending."""
    fill: int | float = 0
    """What the new elements are."""


class BatcherConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model's queue and batches: each field is what the server's option of the same meaning says for all models."""

    max_batch: Positive | UnsetType = UNSET
    """Rows in one execution."""
    max_batch_bytes: Positive | UnsetType = UNSET
    """Bytes of input tensors in one execution."""
    initial_batch_size: Positive | UnsetType = UNSET
    """Rows in one execution before anything is learned of its duration."""
    batch_sizes: tuple[Positive, ...] | UnsetType = UNSET
    """Ascending sizes that batches are padded to."""
    padded_dimensions: tuple[Padding, ...] | UnsetType = UNSET
    """Variable dimensions that are padded, so that requests of nearly the same shape share a batch."""
    idempotent: bool | UnsetType = UNSET
    """Whether a request may be executed twice."""
    max_latency: Seconds | UnsetType = UNSET
    """Seconds that requests may be held back for company."""
    max_queue: Count | UnsetType = UNSET
    """Rows that wait."""
    max_queue_bytes: Count | UnsetType = UNSET
    """Bytes of tensors that wait."""
    ageing: Seconds | UnsetType = UNSET
    """Seconds of waiting that are worth one priority level."""
    max_bucket_wait: Seconds | UnsetType = UNSET
    """Seconds after which requests of one shape go before those of another with an earlier deadline."""
    refuse_early: bool | UnsetType = UNSET
    """Whether a request that cannot finish in time is refused before it is executed."""
    max_buckets: Positive | UnsetType = UNSET
    """Shapes whose service times are remembered."""
    curve_memory: Seconds | UnsetType = UNSET
    """Seconds after which a learned service time refuses nobody any more."""
    memory_backoff: Seconds | UnsetType = UNSET
    """Seconds in which no batch of a size that the model had no memory for is tried."""
    max_retry_after: Seconds | UnsetType = UNSET
    """Seconds that a refused caller is asked to stay away at most."""
    max_sequences: Positive | UnsetType = UNSET
    """Sequences that are open at a time, where the model keeps a state for each."""
    sequence_idle: Seconds | UnsetType = UNSET
    """Seconds without a request after which a sequence is given up."""
    max_deaths: Positive | UnsetType = UNSET
    """Replicas that may end while they execute a request."""
    quarantine_seconds: Seconds | UnsetType = UNSET
    """Seconds that the content of such a request is refused."""
    quarantine_size: Positive | UnsetType = UNSET
    """Contents that are refused at a time."""


class VersionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version folders are served. The highest that is served is the model's default.

    Raises:
        ValueError: more than one rule is given.
    """

    latest: Positive | UnsetType = UNSET
    """So many, of the highest numbers. Without a policy it is 1."""
    specific: tuple[Count, ...] = ()
    """These numbers; each must be there."""
    all: bool = False
    """Every one."""

    def __post_init__(self) -> None:
        if (self.latest is not UNSET) + bool(self.specific) + self.all > 1:
            raise ValueError("version_policy has several rules, expected one of latest, specific and all")


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a model's owner can say; a model without a file has the defaults."""

    name: Name | UnsetType = UNSET
    """How callers address it, instead of the name of its file or folder."""
    runtime: str = ""
    """Who reads it, where several could or the name does not tell."""
    options: dict[str, str | bool | int | float] = {}
    """Options of the runtime; numbers and truth values are the text that they are written as."""
    inputs: tuple[Declared, ...] = ()
    """The signature, where the artifact does not tell it, or not in full."""
    outputs: tuple[Declared, ...] = ()
    """As above."""
    device: str = "auto"
    """Where it computes: auto, cpu, cuda or cuda:N."""
    threads: Count | UnsetType = UNSET
    """Threads of the framework within one execution; 0 shares the cores among the replicas."""
    replicas: Positive | UnsetType = UNSET
    """Worker processes."""
    batcher: BatcherConfig = BatcherConfig()
    """Queue and batches."""
    version_policy: VersionPolicy = VersionPolicy()
    """Which versions are served, where there are folders of them."""
    warm_up: tuple[Sample, ...] = ()
    """What is executed before the model is ready; a sample that fails is a load that fails."""
    load: Literal["eager", "on_demand"] | UnsetType = UNSET
    """When it is loaded: with the server, or by its first request. It goes before the server's own option."""

    @property
    def runtime_options(self) -> dict[str, str]:
        return {name: _text(value) for name, value in self.options.items()}


NO_CONFIG = ModelConfig()


def read_config(path: Path) -> ModelConfig:
    """Read a file of this form.

    Raises:
        ModelLoadFailed: it cannot be read, or something in it is wrong; every problem is told, each with its place.
    """
    document = read_document(path)
    try:
        return parse_config(document)
    except Problems as error:
        raise ModelLoadFailed(f"'{shown(path, 300)}': {'; '.join(error.problems)}") from error


def parse_config(document: object) -> ModelConfig:
    """The configuration that a document describes; an empty one describes the defaults.

    Raises:
        Problems: it does not describe one.
    """
    return read_struct({} if document is None else document, ModelConfig)


def specs(declared: tuple[Declared, ...]) -> tuple[TensorSpec, ...]:
    """Declared tensors as the runtimes know them."""
    return tuple(TensorSpec(each.name, each.datatype, each.shape) for each in declared)


def given(config: msgspec.Struct) -> dict[str, Any]:
    """The fields that the file has, of a struct whose fields are unset where it has them not."""
    return {name: value for name in config.__struct_fields__ if (value := getattr(config, name)) is not UNSET}


def _text(value: str | bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
