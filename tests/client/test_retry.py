"""Whether and when a call is sent again, and how often at most: in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.address import parse_address
from tidegate.client.answers import ConnectionLost, ServerUnreachable
from tidegate.client.attempts import Attempts
from tidegate.client.calls import Exchange
from tidegate.client.retry import NO_RETRIES, Budget, RetryPolicy, may_retry, wait
from tidegate.client.settings import ClientSettings
from tidegate.protocol import errors
from tidegate.protocol.errors import DeadlineExceeded, InvalidRequest, Overloaded, TidegateError, Unavailable
from tidegate.testing.clock import run_virtual

ADDRESS = parse_address("http://h:1")
POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("error", "twice", "once"),
    [
        pytest.param(ServerUnreachable("x"), True, True, id="did-not-arrive"),
        pytest.param(ConnectionLost("x"), True, False, id="may-have-been-executed"),
        pytest.param(Unavailable("x"), True, False, id="unavailable"),
        pytest.param(Overloaded("x", retry_after=1), True, False, id="overloaded"),
        pytest.param(errors.OutOfMemory("x"), False, False, id="out-of-memory"),
        pytest.param(errors.ExecutionFailed("x"), False, False, id="the-model-raised"),
        pytest.param(DeadlineExceeded("x"), False, False, id="out-of-time"),
        pytest.param(InvalidRequest("x"), False, False, id="invalid"),
        pytest.param(errors.InvalidResponse("x"), False, False, id="no-answer-of-the-protocol"),
    ],
)
def test_what_may_be_sent_again(error: TidegateError, twice: bool, once: bool) -> None:
    """What the tree calls retryable; where it must not be executed twice, only what has not arrived."""
    assert (may_retry(error, True), may_retry(error, False)) == (twice, once)


@pytest.mark.parametrize(
    ("attempts", "chance", "retry_after", "seconds"),
    [
        pytest.param(1, 0.5, None, 0.025, id="half-of-the-first-backoff"),
        pytest.param(2, 1.0, None, 0.1, id="the-second-is-twice-as-long"),
        pytest.param(9, 1.0, None, 2.0, id="no-longer-than-the-longest"),
        pytest.param(1, 0.0, 3.0, 3.0, id="never-before-the-server-asks"),
        pytest.param(1, 1.0, 3.0, 3.05, id="spread-behind-it"),
        pytest.param(1, 0.0, 10.0, None, id="not-where-no-time-is-left-then"),
        pytest.param(1, 0.0, float("inf"), None, id="not-where-the-server-forbids-it"),
        pytest.param(10, 0.0, None, None, id="not-after-the-last-attempt"),
    ],
)
def test_when_it_is_sent_again(attempts: int, chance: float, retry_after: float | None, seconds: float | None) -> None:
    """Exponential back-off, drawn evenly, behind what the server asks for, within the call's time."""
    policy = RetryPolicy(max_attempts=10)
    error = Unavailable("x", retry_after=retry_after)
    waited = wait(policy, error, idempotent=True, attempts=attempts, remaining=10.0, chance=chance)
    assert waited == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_attempts": 0}, "max_attempts is 0, expected 1 or more"),
        ({"multiplier": 0.5}, "multiplier is 0.5, expected 1 or more"),
        ({"budget_ratio": -1.0}, "budget_ratio is -1.0, expected a finite number, 0 or more"),
        ({"max_backoff": float("inf")}, "max_backoff is inf"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, float], problem: str) -> None:
    """By its field."""
    with pytest.raises(ValueError, match=problem):
        RetryPolicy(**fields)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=200),
    st.floats(0, 1),
    st.floats(0, 5),
    st.floats(0, 20),
)
def test_retries_stay_within_the_budget(
    events: list[tuple[float, bool]], ratio: float, rate: float, burst: float
) -> None:
    """In every stretch of any history: what can be saved, a share of the calls, and so many a second."""
    policy = RetryPolicy(budget_ratio=ratio, budget_rate=rate, budget_burst=burst)
    budget, now = Budget(policy, 0.0), 0.0
    history: list[tuple[float, bool, bool]] = []
    for gap, retry in events:
        now += gap
        spent = budget.spend(now) if retry else False
        if not retry:
            budget.earn(now)
        history.append((now, retry, spent))
    for first in range(0, len(history), 7):
        stretch = history[first:]
        retries = sum(spent for *_, spent in stretch)
        calls = sum(not retry for _, retry, _ in stretch)
        assert retries <= burst + ratio * calls + rate * (now - stretch[0][0]) + 1e-6


class OneAnswer:
    """What the transports below have in common: their calls have one answer each, unless they say otherwise."""

    def stream(self, message: float, remaining: float) -> AsyncGenerator[str, None]:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class Outage(OneAnswer):
    """A transport to a server that is down between two instants; ``sent`` counts what arrives there meanwhile."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.end = begin, end
        self.sent = 0

    async def exchange(self, message: float, remaining: float, grace: float) -> str:
        await asyncio.sleep(0.01)
        if self.begin <= asyncio.get_running_loop().time() < self.end:
            self.sent += 1
            raise Unavailable("down")
        return "fine"


EXCHANGE: Exchange[float, str, str] = Exchange(lambda remaining: remaining, lambda answer: answer)


def test_an_outage_is_not_made_worse() -> None:
    """A hundred calls a second for a minute: a tenth more arrive, not three times as many; afterwards all is well."""

    async def main() -> tuple[int, int, int]:
        outage = Outage(10.0, 70.0)
        attempts = Attempts(outage, ADDRESS, ClientSettings(), lambda: 0.5)
        asked = answered = 0

        async def ask() -> None:
            nonlocal answered
            try:
                answered += await attempts.perform(EXCHANGE, 5.0) == "fine"
            except Unavailable:
                return

        async with asyncio.TaskGroup() as group:
            for number in range(8000):
                asked += 10 <= 0.01 * number < 70
                group.create_task(ask())
                await asyncio.sleep(0.01)
        return outage.sent, asked, answered

    sent, asked, answered = run_virtual(main())
    assert asked <= sent <= asked * 1.1 + 10 + 60 + 10
    assert answered >= 8000 - asked


class Failing(OneAnswer):
    """A transport that raises one error after the other, and notes when it was asked and for how long at most."""

    def __init__(self, *errors: TidegateError) -> None:
        self._errors = list(errors)
        self.times: list[float] = []
        self.remaining: list[float] = []

    async def exchange(self, message: float, remaining: float, grace: float) -> str:
        self.times.append(asyncio.get_running_loop().time())
        self.remaining.append(message)
        if self._errors:
            raise self._errors.pop(0)
        return "fine"


def performed(transport: Failing, timeout: float = 60.0, policy: RetryPolicy = POLICY, **fields: Any) -> str:
    async def main() -> str:
        attempts = Attempts(transport, ADDRESS, ClientSettings(retries=policy), lambda: 1.0)
        return await attempts.perform(Exchange(EXCHANGE.message, EXCHANGE.read, **fields), timeout)

    return run_virtual(main())


def test_each_attempt_is_told_what_is_left() -> None:
    """The deadline is the call's, and not each attempt's."""
    transport = Failing(Unavailable("x", retry_after=4.0), ServerUnreachable("x"))
    assert performed(transport) == "fine"
    assert transport.times == pytest.approx([0.0, 4.05, 4.15])
    assert transport.remaining == pytest.approx([60.0, 55.95, 55.85])


@pytest.mark.parametrize(
    ("policy", "fields", "error", "times"),
    [
        pytest.param(NO_RETRIES, {}, ServerUnreachable("x"), 1, id="no-retries"),
        pytest.param(RetryPolicy(max_attempts=5), {}, Unavailable("x"), 5, id="five-attempts"),
        pytest.param(RetryPolicy(budget_burst=0), {}, Unavailable("x"), 1, id="no-budget"),
        pytest.param(POLICY, {"idempotent": False}, ConnectionLost("x"), 1, id="a-call-that-changes-something"),
        pytest.param(RetryPolicy(idempotent=False), {}, ConnectionLost("x"), 1, id="a-model-with-a-state"),
    ],
)
def test_the_last_error_is_raised(
    policy: RetryPolicy, fields: dict[str, Any], error: TidegateError, times: int
) -> None:
    """After as many attempts as there may be."""
    transport = Failing(*[error] * 9)
    with pytest.raises(type(error)):
        performed(transport, policy=policy, **fields)
    assert len(transport.times) == times


def test_the_time_bounds_all_attempts_together() -> None:
    """A server that says nothing ends with the deadline; a call that tells it has the grace besides."""

    class Silent(Failing):
        async def exchange(self, message: float, remaining: float, grace: float) -> str:
            await asyncio.sleep(1e6)
            return ""

    async def ended(told: bool) -> float:
        attempts = Attempts(Silent(), ADDRESS, ClientSettings(grace=1.5), lambda: 1.0)
        exchange = Exchange(EXCHANGE.message, EXCHANGE.read, told=told)
        with pytest.raises(DeadlineExceeded, match=r"^http://h:1 did not answer within 7 s$"):
            await attempts.perform(exchange, 7.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(ended(False)) == pytest.approx(7.0)
    assert run_virtual(ended(True)) == pytest.approx(8.5)


class Scripted(OneAnswer):
    """A transport whose streams, one after the other, consist of answers, errors, and seconds until the next."""

    def __init__(self, *scripts: Sequence[str | TidegateError | float]) -> None:
        self._scripts = list(scripts)
        self.began: list[float] = []
        self.ended = 0

    async def exchange(self, message: float, remaining: float, grace: float) -> str:
        raise NotImplementedError

    async def stream(self, message: float, remaining: float) -> AsyncGenerator[str, None]:
        self.began.append(asyncio.get_running_loop().time())
        try:
            for each in self._scripts.pop(0):
                if isinstance(each, TidegateError):
                    raise each
                if isinstance(each, float):
                    await asyncio.sleep(each)
                else:
                    yield each
        finally:
            self.ended += 1


def streamed(transport: Scripted, timeout: float = 60.0, pause: float = 0.0) -> list[str]:
    """What a reader gets that pauses so long after each answer; an error is told by its class."""
    exchange: Exchange[float, str, str | None] = Exchange(
        lambda remaining: remaining, lambda answer: answer or None, told=True
    )

    async def main() -> list[str]:
        got: list[str] = []
        attempts = Attempts(transport, ADDRESS, ClientSettings(retries=POLICY, grace=1.5), lambda: 1.0)
        try:
            async with aclosing(attempts.stream(exchange, timeout)) as results:
                async for result in results:
                    got.append(result)
                    await asyncio.sleep(pause)
        except TidegateError as error:
            got.append(type(error).__name__)
        assert transport.ended == len(transport.began)
        return got

    return run_virtual(main())


@pytest.mark.parametrize(
    ("scripts", "expected", "times"),
    [
        pytest.param([["a", "b"]], ["a", "b"], 1, id="well"),
        pytest.param([["a", "", "b", ""]], ["a", "b"], 1, id="what-tells-only-the-end"),
        pytest.param([[]], [], 1, id="no-answer-at-all"),
        pytest.param([[Unavailable("x")], ["a"]], ["a"], 2, id="again-before-the-first"),
        pytest.param([["", Unavailable("x")], ["a"]], ["a"], 2, id="again-as-nothing-was-told"),
        pytest.param([["a", Unavailable("x")], ["b"]], ["a", "Unavailable"], 1, id="not-after-the-first"),
        pytest.param([["a", ConnectionLost("x")], ["b"]], ["a", "ConnectionLost"], 1, id="nor-where-it-broke"),
        pytest.param([[Unavailable("x")]] * 9, ["Unavailable"], 3, id="as-often-as-may-be"),
        pytest.param([["a", 50.0, "b", 50.0, "c"]], ["a", "b", "DeadlineExceeded"], 1, id="the-deadline-of-all"),
    ],
)
def test_a_stream_is_made_again_only_before_its_first_answer(
    scripts: list[list[str | TidegateError | float]], expected: list[str], times: int
) -> None:
    """What was told cannot be taken back; every attempt is closed before the next begins."""
    transport = Scripted(*scripts)
    assert streamed(transport) == expected
    assert len(transport.began) == times


def test_a_slow_reader_is_not_interrupted() -> None:
    """The deadline is told where the next answer is waited for, and not while the reader does something else."""
    assert streamed(Scripted(["a", "b", "c"]), timeout=5.0, pause=100.0) == ["a", "b", "c"]
    assert streamed(Scripted(["a", 1.0, "b"]), timeout=5.0, pause=100.0) == ["a", "DeadlineExceeded"]


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(timeout: float) -> None:
    """Before anything is sent."""
    transport = Failing()
    with pytest.raises(InvalidRequest, match="expected seconds above 0"):
        performed(transport, timeout)
    assert transport.times == []


def test_the_client_shows_its_budget() -> None:
    """To whoever debugs."""
    budget: Callable[[], str] = Budget(POLICY, 0.0).__repr__
    assert budget() == "<Budget 10.0 of 10>"
