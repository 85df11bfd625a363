"""What a service needs now by what is known of it: the forecast, its headroom, and the replicas that they are worth."""

from __future__ import annotations

from math import sqrt

import msgspec

from tidegate.autoscaler.arrivals import FARTHEST, Forecast, forecast
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
    """Its rate is the larger of its own and ``far``."""
    far: float
    """Arrivals per second at the end of a start, if what has risen for minutes goes on; 0 where that is not known."""
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
    far = _far(state, ahead.rate, known.start)
    ahead = msgspec.structs.replace(ahead, rate=max(ahead.rate, far))
    rate = ahead.rate + headroom.value * sqrt(max(ahead.rate, 1.0)) if ahead.rate > 0.0 else 0.0
    in_use = int(observation.waiting > 0 or observation.in_flight > 0)
    level, base = (staff(each, known.mu, known.slack, known.price, config.most) for each in (ahead.rate, rate))
    return Needs(known, ahead, far, headroom, rate, max(level, in_use), max(base, in_use))


def _far(state: QdaState, rate: float, start: float) -> float:
    """At most twice ``rate``, and nothing where a start ends within what the forecast looks ahead."""
    if start <= FARTHEST:
        return 0.0
    climb = state.climb
    return min(2.0 * rate, climb.ahead(state.clock.at - climb.end + start))
