"""Makes a call: again where it may be, and until its time is over. The shell around ``retry``, over any transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from tidegate.client.address import Address
from tidegate.client.calls import Exchange, Transport
from tidegate.client.retry import Budget, wait
from tidegate.client.settings import LONGEST, ClientSettings
from tidegate.protocol.errors import DeadlineExceeded, InvalidRequest, TidegateError

T = TypeVar("T")

Chance = Callable[[], float]
"""Draws a number from 0 to 1."""


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
        whole = self._settings.timeout if timeout is None else timeout
        if not 0 < whole <= LONGEST:
            raise InvalidRequest(f"timeout is {whole}, expected seconds above 0, at most {LONGEST}")
        now = asyncio.get_running_loop().time
        deadline = now() + whole
        budget = self._budget = self._budget or Budget(self._settings.retries, now())
        budget.earn(now())
        attempts = 0
        while True:
            attempts += 1
            try:
                return exchange.read(await self._attempt(exchange, max(0.0, deadline - now()), whole))
            except TidegateError as error:
                seconds = wait(
                    self._settings.retries,
                    error,
                    idempotent=exchange.idempotent,
                    attempts=attempts,
                    remaining=deadline - now(),
                    chance=self._chance(),
                )
                if seconds is None or not budget.spend(now()):
                    raise
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
        await asyncio.sleep(0)  # closing a transport takes effect on the next turn of the loop

    async def _attempt(self, exchange: Exchange[Any, Any, T], remaining: float, whole: float) -> Any:
        grace = self._settings.grace if exchange.told else 0.0
        try:
            async with asyncio.timeout(remaining + grace):
                return await self._transport.exchange(exchange.message(remaining), remaining, grace)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._address} did not answer within {whole:g} s") from error
