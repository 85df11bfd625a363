"""Buckets of requests: how many come through, whatever the pattern."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.identity.authenticator import Refused
from tidegate.identity.quota import Quota, Quotas
from tidegate.identity.replay import Replays
from tidegate.protocol.errors import QuotaExceeded


def passes(quotas: Quotas, quota: Quota, now: float, key: str = "ann") -> bool:
    """Whether a request comes through, and is answered at once."""
    try:
        quotas.end(quotas.begin(key, quota, now))
    except QuotaExceeded:
        return False
    return True


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 10), max_size=60))
def test_no_more_come_through_than_the_burst_and_the_rate_allow(rate: float, burst: int, gaps: list[float]) -> None:
    """In any stretch of time, and no fewer where they could."""
    quotas, quota = Quotas(), Quota(rate=rate, burst=burst)
    now, passed, refused = 0.0, [], 0
    tokens, last = float(burst), 0.0
    for gap in gaps:
        now += gap
        tokens, last = min(burst, tokens + (now - last) * rate), now
        if passes(quotas, quota, now):
            passed.append(now)
            tokens -= 1
        else:
            refused += 1
            assert tokens < 1 + 1e-6
        assert tokens > -1e-6
    for begin in passed:
        within = [at for at in passed if begin <= at]
        assert len(within) <= burst + (now - begin) * rate + 1 + 1e-6
    assert len(passed) + refused == len(gaps)


@given(st.floats(0.01, 100), st.floats(0, 1000))
def test_who_comes_back_when_he_was_told_comes_through(rate: float, now: float) -> None:
    """Retry-After is neither too short nor, for one request, too long."""
    quotas, quota = Quotas(), Quota(rate=rate, burst=1)
    assert passes(quotas, quota, now)
    with pytest.raises(QuotaExceeded) as caught:
        quotas.begin("ann", quota, now)
    wait = caught.value.retry_after
    assert wait is not None
    assert not passes(quotas, quota, now + wait * 0.9)
    assert passes(quotas, quota, now + wait * 1.001 + 1e-6)


def test_only_so_many_are_in_flight() -> None:
    """One that ends makes room for another, and a refusal takes nothing from the bucket."""
    quotas, quota = Quotas(), Quota(rate=1, burst=3, concurrent=2)
    first = quotas.begin("ann", quota, 0.0)
    quotas.begin("ann", quota, 0.0)
    with pytest.raises(QuotaExceeded, match="2 requests in flight"):
        quotas.begin("ann", quota, 0.0)
    quotas.end(first)
    quotas.begin("ann", quota, 0.0)
    with pytest.raises(QuotaExceeded, match="2 requests in flight"):
        quotas.begin("ann", quota, 0.0)


def test_callers_have_buckets_of_their_own() -> None:
    """One that is empty is nobody else's."""
    quotas, quota = Quotas(), Quota(rate=0.1)
    assert [passes(quotas, quota, 0.0, key) for key in ("ann", "ann", "bob")] == [True, False, True]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """And takes nothing for ever."""
    quotas, quota = Quotas(), Quota(rate=1, burst=1)
    assert [passes(quotas, quota, now) for now in (10.0, 0.0, 10.5, 11.0)] == [True, False, False, True]


def test_the_number_of_buckets_is_bounded() -> None:
    """The one that was used longest ago goes first."""
    quotas, quota = Quotas(most=3), Quota(rate=0.001, burst=1)
    for key in ("a", "b", "c", "a", "d"):
        passes(quotas, quota, 0.0, key)
    assert len(quotas) == 3
    assert [passes(quotas, quota, 0.0, key) for key in ("a", "c", "d", "b")] == [False, False, False, True]


@pytest.mark.parametrize(
    "changed", [{"rate": -1}, {"rate": float("nan")}, {"rate": float("inf")}, {"burst": -1}, {"concurrent": -1}]
)
def test_a_bound_is_a_number(changed: dict[str, float]) -> None:
    """The field is named."""
    with pytest.raises(ValueError, match=f"^{next(iter(changed))} is"):
        Quota(**changed)  # type: ignore[arg-type]


# One-time tokens


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 5)), max_size=40))
def test_no_token_is_taken_twice_while_it_is_good(uses: list[tuple[str, float]]) -> None:
    """A set that forgets nothing agrees."""
    replays, now = Replays(0.0), 0.0
    taken: dict[str, float] = {}
    for token_id, gap in uses:
        now += gap
        good = taken.get(token_id, -1.0) <= now
        try:
            replays.use(token_id, 1.0, now + 3, now)
        except Refused:
            assert not good
        else:
            assert good
            taken[token_id] = now + 3
    assert len(replays) == sum(until > now for until in taken.values()) or uses == []


def test_what_cannot_be_remembered_is_refused() -> None:
    """Until another one has ended."""
    replays = Replays(0.0, most=2)
    replays.use("a", 1.0, 10.0, 1.0)
    replays.use("b", 1.0, 20.0, 1.0)
    with pytest.raises(Refused, match="while 2 others are remembered"):
        replays.use("c", 1.0, 20.0, 9.9)
    replays.use("c", 1.0, 20.0, 10.0)
    assert len(replays) == 2
