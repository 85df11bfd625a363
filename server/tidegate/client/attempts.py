"""Makes a call: again where it may be, and until its time is over. The shell around ``retry``, over any transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from tidegate.client.address import Address
from tidegate.client.calls import Exchange, Transport
from tidegate.client.retry import Budget, wait
from tidegate.client.settings import LONGEST, ClientSettings
from tidegate.protocol.errors import DeadlineExceeded, InvalidRequest, TidegateError

T = TypeVar("T")

Chance = Callable[[], float]
"""Draws a number from 0 to 1."""


@dataclass
class Call:
    """One call: the seconds that it has, when they end, and how often it was sent."""

    whole: float
    deadline: float
    budget: Budget
    attempts: int = 0

    def remaining(self) -> float:
        return max(0.0, self.deadline - asyncio.get_running_loop().time())


class Attempts:
    """The calls of one client, which share a budget of retries."""

    def __init__(
        self, transport: Transport[Any, Any], address: Address, settings: ClientSettings, chance: Chance
    ) -> None:
        self._transport = transport
        self._address = address
        self._settings = settings
        self._chance = chance
        self._budget: Budget | None = None

    def __repr__(self) -> str:
        return f"<Attempts at {self._address}, {self._budget or 'none yet'}>"

    async def perform(self, exchange: Exchange[Any, Any, T], timeout: float | None) -> T:
        """The result of one call, in ``timeout`` seconds; None is the settings' own.

        Raises:
            TidegateError: what the last attempt ended with.
        """
        call = self._begin(timeout)
        while True:
            call.attempts += 1
            try:
                return exchange.read(await self._attempt(exchange, call))
            except TidegateError as error:
                seconds = self._wait(exchange, call, error)
                if seconds is None:
                    raise
            await asyncio.sleep(seconds)

    async def stream(self, exchange: Exchange[Any, Any, T | None], timeout: float | None) -> AsyncGenerator[T, None]:
        """The results of one call as they come, the last within ``timeout`` seconds. Closing it gives the call up.

        Raises:
            TidegateError: what the last attempt ended with. Once a result has come there is no other attempt.
        """
        call = self._begin(timeout)
        begun = False
        while True:
            call.attempts += 1
            try:
                async with aclosing(self._answers(exchange, call)) as answers:
                    async for answer in answers:
                        result = exchange.read(answer)
                        if result is not None:
                            begun = True
                            yield result
                return
            except TidegateError as error:
                seconds = None if begun else self._wait(exchange, call, error)
                if seconds is None:
                    raise
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
        await asyncio.sleep(0)  # closing a transport takes effect on the next turn of the loop

    def _begin(self, timeout: float | None) -> Call:
        whole = self._settings.timeout if timeout is None else timeout
        if not 0 < whole <= LONGEST:
            raise InvalidRequest(f"timeout is {whole}, expected seconds above 0, at most {LONGEST}")
        now = asyncio.get_running_loop().time()
        self._budget = self._budget or Budget(self._settings.retries, now)
        self._budget.earn(now)
        return Call(whole, now + whole, self._budget)

    def _wait(self, exchange: Exchange[Any, Any, Any], call: Call, error: TidegateError) -> float | None:
        """Seconds until the call is made again, which the budget has been charged for; None if it is not."""
        seconds = wait(
            self._settings.retries,
            error,
            idempotent=exchange.idempotent,
            attempts=call.attempts,
            remaining=call.deadline - asyncio.get_running_loop().time(),
            chance=self._chance(),
        )
        return seconds if seconds is not None and call.budget.spend(asyncio.get_running_loop().time()) else None

    async def _attempt(self, exchange: Exchange[Any, Any, Any], call: Call) -> Any:
        grace = self._settings.grace if exchange.told else 0.0
        remaining = call.remaining()
        try:
            async with asyncio.timeout(remaining + grace):
                return await self._transport.exchange(exchange.message(remaining), remaining, grace)
        except TimeoutError as error:
            raise self._late(call) from error

    async def _answers(self, exchange: Exchange[Any, Any, Any], call: Call) -> AsyncGenerator[Any, None]:
        """The answers of one attempt. Only waiting for one is bounded, and not what the reader does in between."""
        remaining = call.remaining()
        end = call.deadline + (self._settings.grace if exchange.told else 0.0)
        async with aclosing(self._transport.stream(exchange.message(remaining), remaining)) as answers:
            while True:
                try:
                    async with asyncio.timeout_at(end):
                        answer = await anext(answers, None)
                except TimeoutError as error:
                    raise self._late(call) from error
                if answer is None:
                    return
                yield answer

    def _late(self, call: Call) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self._address} did not answer within {call.whole:g} s")
