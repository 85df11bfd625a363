"""How far two distributions of durations are apart, for people at the end of a step. It decides nothing.

The common language effect size is the probability that a request to the new revision takes longer than one to the
stable one, with half of those that take as long: 0.5 if they are alike, 1 if every one takes longer. It is the U of
Mann and Whitney divided by the number of pairs; durations of one class of the histogram are ties.

Sources: Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
Ann. Math. Statist. 18 (1947); McGraw and Wong, "A common language effect size statistic", Psychol. Bull. 111 (1992);
Lehmann, "Nonparametrics" (1975), for the variance with ties.
"""

from __future__ import annotations

from itertools import zip_longest
from math import erfc, sqrt

import msgspec

from tidegate.analysis.histogram import Counts, quantile


class Effect(msgspec.Struct, frozen=True):
    """Of the new revision's durations beside the stable one's."""

    size: float
    """Probability from 0 to 1 that one of the new ones is the longer; 0.5 for no difference."""
    p: float
    """Probability of a size as far from 0.5 or farther if there is no difference: at one look only, not at each."""


def effect(stable: Counts, canary: Counts) -> Effect | None:
    """By the normal approximation with ties. None if one of them has no durations."""
    m, n = sum(stable), sum(canary)
    if not m or not n:
        return None
    longer = below = 0  # twice the pairs that the new one wins; the stable ones in the classes below
    tied = 0
    for a, b in zip_longest(stable, canary, fillvalue=0):
        longer += b * (2 * below + a)
        below += a
        together = a + b
        tied += together * (together * together - 1)
    total = m + n
    size = longer / (2 * m * n)
    variance = m * n / 12.0 * (total + 1 - tied / (total * (total - 1)))
    distance = abs(size - 0.5) * m * n
    return Effect(size, erfc(distance / sqrt(2.0 * variance)) if variance > 0.0 else 1.0)


def latency_report(stable: Counts, canary: Counts, percentile: float) -> dict[str, float]:
    """Numbers for a verdict on latency: both percentiles in seconds, their ratio, the effect. {} without durations."""
    difference = effect(stable, canary)
    of_stable, of_canary = quantile(stable, percentile / 100.0), quantile(canary, percentile / 100.0)
    if difference is None or of_stable is None or of_canary is None:
        return {}
    return {
        "stable_seconds": of_stable,
        "canary_seconds": of_canary,
        "ratio": of_canary / of_stable,
        "effect": difference.size,
        "effect_p": difference.p,
    }
