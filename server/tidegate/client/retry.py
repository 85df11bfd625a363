"""Whether a request that failed is sent again, and when. Pure: time and chance are arguments.

Three things must agree: the error's kind (``may_retry``), what is left of the call's attempts and time (``wait``), and
the client's budget. The budget is what keeps retries from making an outage worse: while everything fails, a client
sends a tenth more than it is asked to, and not three times as much.
"""

from __future__ import annotations

from math import isfinite

import msgspec

from tidegate.client.answers import ConnectionLost, ServerUnreachable
from tidegate.protocol.errors import TidegateError


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a client tries again.

    Raises:
        ValueError: a field is out of its range.
    """

    max_attempts: int = 3
    """Times that one call is sent at most, the first included; 1 for no retries."""
    initial_backoff: float = 0.05
    """Seconds; the longest wait before the second attempt. The wait is drawn evenly from 0 to it ("full jitter"), so
    that callers who failed together do not come back together. What a server asks for comes on top."""
    multiplier: float = 2.0
    """How much longer that is before each further attempt."""
    max_backoff: float = 2.0
    """Seconds; it grows no further than this."""
    idempotent: bool = True
    """Whether a request may be executed twice, as it may be by a model that keeps no state. If not, only what has not
    reached a server is sent again."""
    budget_ratio: float = 0.1
    """Retries that each call earns: over time at most this share of the calls is sent again."""
    budget_rate: float = 1.0
    """Retries earned per second besides, so that a client that asks rarely can try again at all."""
    budget_burst: float = 10.0
    """Retries that can be saved up; a client begins with them."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isinstance(value, bool) and not (isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, expected a finite number, 0 or more")
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}, expected 1 or more")
        if self.multiplier < 1:
            raise ValueError(f"multiplier is {self.multiplier:g}, expected 1 or more")


DEFAULT_RETRIES = RetryPolicy()
NO_RETRIES = RetryPolicy(max_attempts=1)


def may_retry(error: TidegateError, idempotent: bool) -> bool:
    """Whether sending the request again can help, and is allowed where it must not be executed twice."""
    if isinstance(error, ServerUnreachable):
        return idempotent or not isinstance(error, ConnectionLost)
    return idempotent and error.retryable


def wait(
    policy: RetryPolicy, error: TidegateError, *, idempotent: bool, attempts: int, remaining: float, chance: float
) -> float | None:
    """Seconds until the call is sent again; None if it is not.

    ``attempts`` have failed, the last with ``error``; ``remaining`` seconds are left of the call; ``chance`` is drawn
    from 0 to 1. A wait that would use up the time is not begun: the error is known now.
    """
    if attempts >= policy.max_attempts or not may_retry(error, idempotent and policy.idempotent):
        return None
    seconds = (error.retry_after or 0.0) + chance * _longest_backoff(policy, attempts)
    return seconds if seconds < remaining else None


class Budget:
    """Retries that a client may still make: a bucket that calls and time fill, and each retry takes one from."""

    def __init__(self, policy: RetryPolicy, now: float) -> None:
        self._policy = policy
        self._tokens = policy.budget_burst
        self._at = now

    def __repr__(self) -> str:
        return f"<Budget {self._tokens:.1f} of {self._policy.budget_burst:g}>"

    def earn(self, now: float) -> None:
        """A call begins."""
        self._fill(now, self._policy.budget_ratio)

    def spend(self, now: float) -> bool:
        """Take one retry; False if there is none."""
        self._fill(now, 0.0)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fill(self, now: float, earned: float) -> None:
        earned += (now - self._at) * self._policy.budget_rate
        self._tokens = min(self._policy.budget_burst, self._tokens + earned)
        self._at = now


def _longest_backoff(policy: RetryPolicy, attempts: int) -> float:
    backoff = policy.initial_backoff
    for _ in range(attempts - 1):
        if backoff >= policy.max_backoff or policy.multiplier == 1:
            break
        backoff *= policy.multiplier
    return min(backoff, policy.max_backoff)
