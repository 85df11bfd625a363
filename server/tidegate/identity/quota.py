"""How much an identity may ask for: a bucket of requests that time fills, and a number at a time. Pure.

The buckets are bounded in number. The one that was used longest ago goes first; a bucket that is forgotten was full
again long before, unless there are more busy identities than buckets.
"""

from __future__ import annotations

from collections import OrderedDict
from math import isfinite

import msgspec

from tidegate.protocol.errors import QuotaExceeded

_BUSY = 1.0
"""Seconds after which a caller with too many requests in flight is told to come back: when one ends nobody knows."""


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one identity, over all services and both protocols.

    Raises:
        ValueError: a field is out of its range.
    """

    rate: float = 0.0
    """Requests per second; 0 for no bound."""
    burst: int = 0
    """Requests that may come at once after a pause; 0 for as many as a second brings, and one at least."""
    concurrent: int = 0
    """Requests that are answered at a time; 0 for no bound."""

    def __post_init__(self) -> None:
        if not (isfinite(self.rate) and self.rate >= 0):
            raise ValueError(f"rate is {self.rate:g}, expected requests per second, 0 or more")
        if self.burst < 0:
            raise ValueError(f"burst is {self.burst}, expected 0 or more")
        if self.concurrent < 0:
            raise ValueError(f"concurrent is {self.concurrent}, expected 0 or more")

    @property
    def size(self) -> float:
        """Requests that the bucket holds."""
        return float(self.burst or max(1.0, self.rate))


UNLIMITED = Quota()


class Bucket:
    """Of one identity: what is left of its burst, as of a time, and what it has in flight."""

    __slots__ = ("at", "inflight", "tokens")

    def __init__(self, quota: Quota, now: float) -> None:
        self.tokens = quota.size
        self.at = now
        self.inflight = 0

    def __repr__(self) -> str:
        return f"<Bucket {self.tokens:.1f} requests, {self.inflight} in flight>"


class Quotas:
    """The buckets of all identities that have bounds; ``most`` of them are remembered."""

    def __init__(self, most: int = 65_536) -> None:
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def begin(self, key: str, quota: Quota, now: float) -> Bucket:
        """Charge an identity with one request; what this returns is to be given to ``end`` when it is answered.

        ``key`` tells the identity from all others; ``now`` is in seconds of any clock that does not go back.

        Raises:
            QuotaExceeded: it has none left, or too many in flight; nothing is charged.
        """
        bucket = self._bucket(key, quota, now)
        if quota.concurrent and bucket.inflight >= quota.concurrent:
            problem = f"this caller has {bucket.inflight} requests in flight, which is all that he may have"
            raise QuotaExceeded(problem, retry_after=_BUSY)
        if quota.rate:
            bucket.tokens = min(quota.size, bucket.tokens + max(0.0, now - bucket.at) * quota.rate)
            bucket.at = max(now, bucket.at)
            if bucket.tokens < 1:
                problem = f"this caller may make {quota.rate:g} requests per second"
                raise QuotaExceeded(problem, retry_after=(1 - bucket.tokens) / quota.rate)
            bucket.tokens -= 1
        bucket.inflight += 1
        return bucket

    def end(self, bucket: Bucket) -> None:
        """The request is answered."""
        bucket.inflight -= 1

    def _bucket(self, key: str, quota: Quota, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._most:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = Bucket(quota, now)
        else:
            self._buckets.move_to_end(key)
        return bucket
