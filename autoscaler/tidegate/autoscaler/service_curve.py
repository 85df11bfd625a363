"""How long a replica takes for n requests at once: ``base + per_row·n`` seconds, from counters alone.

Weighted least squares through what was seen between two looks: if ``batches`` executions of ``rows`` requests took
``busy`` seconds, busy = base·batches + per_row·rows, with weight 1/rows (each request adds the same variance). The
first guess is a ridge worth 20 requests, what was seen is forgotten by 0.2 % with each look that saw any. Without
batches only ``per_row`` is left, the mean time of a request. Source: the normal equations of generalised ridge
regression (Hoerl and Kennard 1970) with exponential forgetting.
"""

from __future__ import annotations

import msgspec

FORGET = 0.998
WORTH = 20.0
"""Requests that the first guess counts for."""
_TINY = 1e-9


class ServiceCurve(msgspec.Struct, frozen=True):
    """Sums of what was seen, each look weighted by 1/rows."""

    executions: float = 0.0
    """Of batches²."""
    both: float = 0.0
    """Of batches·rows."""
    rows: float = 0.0
    """Of rows²."""
    busy_executions: float = 0.0
    """Of busy·batches."""
    busy_rows: float = 0.0
    """Of busy·rows."""


def add_service(known: ServiceCurve, batches: int, rows: int, busy: float) -> ServiceCurve:
    """With ``rows`` requests, at least one, that took ``busy`` seconds in ``batches`` executions."""
    return ServiceCurve(
        known.executions * FORGET + batches * batches / rows,
        known.both * FORGET + batches,
        known.rows * FORGET + rows,
        known.busy_executions * FORGET + busy * batches / rows,
        known.busy_rows * FORGET + busy,
    )


def service_of(known: ServiceCurve, first_base: float, first_per_row: float, max_batch: int) -> tuple[float, float]:
    """(base, per_row), neither negative and not both nothing."""
    rows, busy_rows = known.rows + WORTH, known.busy_rows + WORTH * first_per_row
    alone = max(busy_rows / rows, _TINY)
    if max_batch <= 1:
        return 0.0, alone
    executions, busy_executions = known.executions + WORTH, known.busy_executions + WORTH * first_base
    spread = executions * rows - known.both * known.both  # positive: Cauchy and Schwarz, and the ridge
    base = (busy_executions * rows - busy_rows * known.both) / spread
    per_row = (busy_rows * executions - busy_executions * known.both) / spread
    if base < 0.0:
        return 0.0, alone
    if per_row < 0.0:
        return max(busy_executions / executions, _TINY), 0.0
    return base, max(per_row, _TINY)


def usual_slo(single: float) -> float:
    """The SLO, in seconds, of a service that has none, whose single request takes ``single`` seconds."""
    return max(4.0 * single, 0.05)
