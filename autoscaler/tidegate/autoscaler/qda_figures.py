"""What ``qda`` reckons with: the price, and what was learned of a service, in the law's terms."""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.qda_state import QdaState
from tidegate.autoscaler.service_curve import service_of, usual_slo
from tidegate.autoscaler.start_time import overdue_after, quantiles_of, start_of

LEAST_SLACK = 0.1
"""Of the SLO that is always taken as left for waiting."""
WAITS = 1.5
"""Executions that a request lives through where batches are made: half of another one, and its own."""
LATE = 0.7
"""Of a missing replica's requests that are answered late."""
CLEAR = 4.0
"""Seconds until a missing replica is noticed and what waits for it is answered: a look, a tick, two for the queue."""
FIRST_SINGLE = 0.05
"""Seconds of one request, where nobody says anything of it."""


class Figures(msgspec.Struct, frozen=True):
    """What a decision reckons with."""

    price: float
    """Replica-seconds that a second of late work is worth."""
    mu: float
    """Requests a second that a replica answers."""
    single: float
    """Seconds that one request takes."""
    slo: float
    """Seconds within which a request is to be answered: what the service says, or else what is usual."""
    start: float
    """Seconds that a replica takes until it is ready."""
    start_quantiles: tuple[float, float] | None
    """Within which half of the last starts were over, and 95 %; None before there was one."""
    overdue: float
    """Seconds after its order from which a replica that is not ready is not reckoned with."""
    slack: float
    """Seconds that a request may wait."""
    rebuy: float
    """Replica-seconds that a replica costs which is missing when its level returns."""


def price_of(preference: float) -> float:
    """2 for cheap, 24 in the middle, 280 for fast."""
    return float(2.0 * 140.0**preference)


def figures(state: QdaState, observation: Observation, config: ScalingConfig) -> Figures:
    """What is known now, in the law's terms."""
    price = price_of(config.preference)
    base, per_row = observation.curve or service_of(state.service, *_first(config), config.max_batch)
    single = base + per_row
    slo = usual_slo(single) if config.slo is None else config.slo
    batch = batch_within(base, per_row, config.max_batch, slo * (1.0 - LEAST_SLACK) / WAITS)
    service = base + per_row * batch
    start = start_of(state.start, config.first_start)
    # Who comes while a batch is executed waits for half of it, on average, before his own.
    slack = max(slo - service * (WAITS if config.max_batch > 1 else 1.0), slo * LEAST_SLACK)
    rebuy = start + LATE * price * max(0.0, start + CLEAR - slo)
    return Figures(
        price=price,
        mu=batch / service,
        single=single,
        slo=slo,
        start=start,
        start_quantiles=quantiles_of(state.start),
        overdue=overdue_after(state.start, config.first_start),
        slack=slack,
        rebuy=rebuy,
    )


def batch_within(base: float, per_row: float, most: int, seconds: float) -> float:
    """Requests that are executed at once within ``seconds``, from 1 to ``most``: larger batches come too late.

    It need not be whole, so that a looser SLO moves it without steps.
    """
    if most <= 1 or per_row <= 0.0:
        return float(max(most, 1))
    return min(float(most), max((seconds - base) / per_row, 1.0))


def _first(config: ScalingConfig) -> tuple[float, float]:
    """The first guess: without one, a request takes a quarter of the SLO, half of it for the execution as such."""
    if config.first_per_row is not None:
        return config.first_base, config.first_per_row
    single = FIRST_SINGLE if config.slo is None else config.slo / 4.0
    return (single / 2.0, single / 2.0) if config.max_batch > 1 else (0.0, single)
