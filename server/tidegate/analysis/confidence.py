"""What a share can be, by so many of so many: an interval that may be looked at after every request.

An interval of the textbook has its error probability at one number of requests that was chosen before. Who looks every
second and stops at the first alarm looks a thousand times, and is wrong far more often. A confidence sequence has its
error probability over all looks together, so stopping at any of them is legitimate.

For k hits of n let M(p) = B(a + k, b + n - k) / (B(a, b) p^k (1 - p)^(n - k)), a = b = 1/2: how likely what was seen is
if the share is drawn from Beta(a, b), by how likely it is if the share is p. Under the share p that is a martingale
from 1, so by Ville's inequality the probability that it ever reaches 1/alpha is at most alpha; what is left of the
shares, {p: M(p) < 1/alpha}, holds the right one at all n at once with a probability of at least 1 - alpha.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41 (1970), for
the mixture; Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann.
Statist. 49 (2021), for the beta-binomial one; Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", J. R. Stat. Soc. B 86 (2024), for sequences of that kind where the share itself changes.
"""

from __future__ import annotations

from math import exp, expm1, lgamma, log, log1p, pi

_ROUNDS = 60
"""More than Newton's method needs; what is left after them would still lie outside of the interval."""
_CLOSE = 1e-12


def log_martingale(hits: int, of: int, share: float) -> float:
    """log M(share), with 0 < share < 1."""
    return _evidence(hits, of) - hits * log(share) - (of - hits) * log1p(-share)


def interval(hits: int, of: int, alpha: float) -> tuple[float, float]:
    """The least and the largest share that so many of so many leave possible, at any look, but for ``alpha``.

    ``0 <= hits <= of``, ``0 < alpha < 1``. Nothing at all leaves (0, 1).
    """
    missed = of - hits
    rest = _evidence(hits, of) + log(alpha)
    return _lower(hits, missed, rest), 1.0 - _lower(missed, hits, rest)


def _evidence(hits: int, of: int) -> float:
    """log B(1/2 + hits, 1/2 + of - hits) / B(1/2, 1/2); the latter is pi."""
    return lgamma(hits + 0.5) + lgamma(of - hits + 0.5) - lgamma(of + 1.0) - log(pi)


def _lower(hits: int, missed: int, rest: float) -> float:
    """The smaller share at which ``rest - hits log p - missed log(1 - p)`` is 0.

    As a function of log p that is convex, so Newton's method from the left comes nearer from the left only: the result
    is never inside of the interval. It begins where the same without ``missed`` is 0, which is left of it.
    """
    if hits == 0:
        return 0.0
    place = rest / hits  # below 0: a mixture is less likely than the best share, and alpha is below 1
    for _ in range(_ROUNDS):
        share = exp(place)
        complement = -expm1(place)
        height = rest - hits * place - missed * log(complement)
        step = height / (hits - missed * share / complement)
        place += step
        if step <= _CLOSE:
            break
    return exp(place)
