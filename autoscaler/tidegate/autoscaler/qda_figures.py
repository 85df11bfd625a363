"""What ``qda`` reckons with: the price, and what was learned of a service, in the law's terms."""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.qda_state import QdaState
from tidegate.autoscaler.service_curve import service_of
from tidegate.autoscaler.start_time import start_of


class Figures(msgspec.Struct, frozen=True):
    """What a decision reckons with."""

    price: float
    """Replica-seconds that a second of late work is worth."""
    mu: float
    """Requests a second that a replica answers."""
    single: float
    """Seconds that one request takes."""
    start: float
    """Seconds that a replica takes until it is ready."""
    slack: float
    """Seconds that a request may wait."""
    rebuy: float
    """Replica-seconds that a replica costs which is missing when its level returns."""


def price_of(preference: float) -> float:
    """2 for cheap, 24 in the middle, 280 for fast."""
    return float(2.0 * 140.0**preference)


def figures(state: QdaState, observation: Observation, config: ScalingConfig) -> Figures:
    """What is known now, in the law's terms."""
    price, batch = price_of(config.preference), max(config.max_batch, 1)
    first = config.slo / 4.0 if config.first_per_row is None else config.first_per_row
    base, per_row = observation.curve or service_of(state.service, config.first_base, first, batch)
    service = base + per_row * batch
    start = start_of(state.start, config.first_start)
    slack = max(config.slo - service * (1.0 if batch == 1 else 1.5), config.slo / 10.0)
    rebuy = start + 0.7 * price * max(0.0, start + 4.0 - config.slo)
    return Figures(price, batch / service, base + per_row, start, slack, rebuy)
