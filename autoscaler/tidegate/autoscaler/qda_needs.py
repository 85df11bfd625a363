"""What a service needs now by what is known of it: the forecast, its headroom, and the replicas that they are worth."""

from __future__ import annotations

from math import sqrt

import msgspec

from tidegate.autoscaler.arrivals import Forecast, forecast
from tidegate.autoscaler.headroom import Headroom, add_forecast
from tidegate.autoscaler.observation import Observation
from tidegate.autoscaler.policy import ScalingConfig
from tidegate.autoscaler.qda_figures import Figures, figures
from tidegate.autoscaler.qda_state import QdaState
from tidegate.autoscaler.staffing import staff


class Needs(msgspec.Struct, frozen=True):
    """Of one look."""

    figures: Figures
    ahead: Forecast
    headroom: Headroom
    rate: float
    """Arrivals per second to staff for: the forecast and its headroom."""
    level: int
    """Replicas for the forecast alone."""
    base: int
    """Replicas for ``rate``, never fewer."""


def needs_of(state: QdaState, observation: Observation, config: ScalingConfig, seconds: int) -> Needs:
    """At ``seconds`` whole seconds after the look before. Who is being answered needs one replica, however old."""
    known = figures(state, observation, config)
    ahead = forecast(state.arrivals, known.start)
    headroom = state.headroom
    if seconds:
        came = state.arrivals.within(5.0) / 5.0
        headroom = add_forecast(headroom, ahead.rate, came, seconds, known.start, known.price)
    rate = ahead.rate + headroom.value * sqrt(max(ahead.rate, 1.0)) if ahead.rate > 0.0 else 0.0
    in_use = int(observation.waiting > 0 or observation.in_flight > 0)
    level, base = (staff(each, known.mu, known.slack, known.price, config.most) for each in (ahead.rate, rate))
    return Needs(known, ahead, headroom, rate, max(level, in_use), max(base, in_use))
