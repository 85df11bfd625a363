"""What each part of the law wants, and the numbers of a decision by name."""

from __future__ import annotations

import msgspec

from tidegate.autoscaler.keeping import Absent
from tidegate.autoscaler.qda_needs import Needs


class Wish(msgspec.Struct, frozen=True):
    """What each part of the law wants."""

    base: int
    """For the forecast and its headroom."""
    recent: int
    """What was wanted within the last half minute."""
    kept: Absent
    pre_warmed: Absent
    rebuy: float
    """Replica-seconds that these two were reckoned with."""
    backlog: float
    """Requests that will wait when what was ordered is there."""
    drain: int
    """For the backlog; 0 where it is not late."""
    overdue: int
    """Replicas that were ordered so long ago that they are not reckoned with."""

    @property
    def hold(self) -> int:
        """Of all but the backlog."""
        return max(self.base, self.recent, self.kept.level, self.pre_warmed.level)


def terms_of(needs: Needs, wish: Wish) -> dict[str, float]:
    """As docs/autoscaling.md names them."""
    known, ahead = needs.figures, needs.ahead
    half, most = known.start_quantiles or (None, None)
    told: dict[str, float | None] = {
        "forecast": ahead.rate,
        "fast": ahead.fast,
        "slow": ahead.slow,
        "slope": ahead.slope,
        "far": needs.far,
        "headroom": needs.headroom.value,
        "lambda": needs.rate,
        "mu": known.mu,
        "single": known.single,
        "SLO": known.slo,
        "L": known.start,
        "L_p50": half,
        "L_p95": most,
        "L_overdue": known.overdue,
        "W": known.slack,
        "kappa": known.price,
        "C": wish.rebuy,
        "N_lev": needs.level,
        "N_base": wish.base,
        "N_recent": wish.recent,
        "N_kept": wish.kept.level,
        "N_prewarm": wish.pre_warmed.level,
        "N_hold": wish.hold,
        "N_drain": wish.drain,
        "overdue": wish.overdue,
        "backlog": wish.backlog,
    }
    return {name: value for name, value in told.items() if value is not None}
