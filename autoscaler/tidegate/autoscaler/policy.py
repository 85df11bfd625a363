"""The port of all policies: values in, a number and a sentence out. ``now`` is an argument; nothing else is known."""

from __future__ import annotations

from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from tidegate.autoscaler.observation import Observation

S = TypeVar("S", bound=msgspec.Struct)

Metric = Literal["concurrency", "rps", "cpu"]
"""What the others count replicas by; ``metering`` says what each is."""


class ScalingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says of its scaling. Each policy reads what is its own."""

    least: int = 1
    """Replicas that there are at least; 0 lets it sleep."""
    most: int = 1
    """Replicas that there are at most."""
    slo: float | None = None
    """Of ``qda``: seconds within which a request is to be answered; None to go by the learned time of a request."""
    preference: float = 0.5
    """Of ``qda``: from 0, cheap, to 1, fast."""
    target: float | None = None
    """Of the others: what one replica is to have, in the policy's own unit; None for its default."""
    metric: Metric | None = None
    """Of ``kpa`` and ``hpa``, for ``ray`` has one: what ``target`` is of; None for the policy's own."""
    concurrency: int = 0
    """Of ``kpa``: requests that one replica takes at a time, as its container says; 0 for no bound."""
    max_batch: int = 1
    """Requests that are executed at once at most."""
    first_base: float = 0.0
    """Of ``qda``: a first guess of the seconds of an execution without its rows; only read where it batches."""
    first_per_row: float | None = None
    """Of ``qda``: a first guess of the seconds of each row, or of a request without batches; None to go by ``slo``,
    and without that, too, 50 ms. It may be wrong by a third: 20 requests count as much as it does."""
    first_start: float = 10.0
    """Of ``qda``: a first guess of the seconds from the order of a replica until it is ready; worth two starts."""


class Decision(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """How many replicas there are to be."""

    replicas: int
    """Within the bounds."""
    reason: str
    """One sentence that begins with ``n -> m:`` and is made of the numbers that decided."""
    state: S
    """What to give to the next decision. It is a value, and survives as JSON."""
    next_at: float | None = None
    """When to decide again although nothing arrives; None for never."""
    terms: dict[str, float] = {}
    """The numbers that it was made of, by name: for metrics and the console."""


class Policy(Protocol[S]):
    """One way to decide. Pure: what it was given is not changed."""

    @property
    def name(self) -> str:
        """What manifests call it."""
        ...

    def begin(self, now: float, provisioned: int, config: ScalingConfig) -> S:
        """The state of a service of which nothing is known but that so many replicas run."""
        ...

    def decide(self, now: float, observation: Observation | None, state: S, config: ScalingConfig) -> Decision[S]:
        """What is to be done now. ``observation`` is None where it is missing: then nothing goes down."""
        ...


def within(replicas: int, config: ScalingConfig) -> int:
    """The number in the bounds; where they exclude each other the upper one holds."""
    return min(max(replicas, config.least), config.most)
