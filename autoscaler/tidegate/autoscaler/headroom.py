"""How far above the forecast to staff, in square roots of the rate: a quantile of how wrong forecasts were.

A forecast is held against what came when a replica ordered on it would have become ready. The price of a late second
is ``price`` replica-seconds, so the quantile is 1 - 1/(1 + price): the newsvendor's ratio (Arrow, Harris and Marschak
1951). The scale is the square root of the rate, that of Poisson arrivals and of square-root staffing.
"""

from __future__ import annotations

from math import sqrt

import msgspec

REMEMBERED = 900
"""Errors that are kept: a quarter of an hour of looks."""
ENOUGH = 60
"""Errors before which a first guess holds."""
EVERY = 20
"""Errors after which the quantile is taken again."""
FIRST = 1.5
MOST = 2.0
"""Cap, which guards the first minutes of traffic in spikes."""
FARTHEST = 10.0
"""Seconds that a forecast is for at most."""
_BACK = 12
"""Forecasts that are remembered: one more than ``FARTHEST`` and a look."""


class Headroom(msgspec.Struct, frozen=True):
    """What was forecast lately, and how wrong forecasts were."""

    value: float = FIRST
    """Square roots of the rate."""
    forecasts: tuple[float, ...] = ()
    """One for each second, the newest last."""
    errors: tuple[float, ...] = ()
    """(came - forecast) / sqrt(forecast), the newest last."""
    since: int = 0
    """Errors since the quantile was taken."""


def add_forecast(known: Headroom, rate: float, came: float, seconds: int, start: float, price: float) -> Headroom:
    """With the forecast ``rate`` of now, ``came`` per second in the last five, ``seconds`` after the last look."""
    last = known.forecasts[-1] if known.forecasts else rate
    forecasts = (*known.forecasts, *(last,) * (min(seconds, _BACK) - 1), rate)[-_BACK:]
    back = int(min(start, FARTHEST) + 1.0)
    if len(forecasts) <= back:
        return Headroom(known.value, forecasts, known.errors, known.since)
    then = forecasts[-1 - back]
    # Where nothing was forecast and nothing came, every second would have said so; else the look counts once.
    times = min(seconds, REMEMBERED) if then == came == rate == 0.0 else 1
    error = round((came - then) / sqrt(max(then, 1.0)), 5)  # rounded, for it is stored
    errors = (*known.errors, *(error,) * times)[-REMEMBERED:]
    since = known.since + times
    if len(errors) < ENOUGH or since < EVERY:
        return Headroom(known.value, forecasts, errors, since)
    place = int((1.0 - 1.0 / (1.0 + price)) * len(errors))
    return Headroom(min(max(sorted(errors)[place], 0.0), MOST), forecasts, errors, 0)
