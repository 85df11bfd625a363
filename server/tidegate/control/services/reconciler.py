"""The shell around ``plan``: it watches, looks at each service that something changed for, and does what is planned."""

from __future__ import annotations

import time
from collections.abc import Callable

from tidegate.control.services.settings import ServiceSettings
from tidegate.resources.actuator import Actuator, Resolver
from tidegate.resources.store import Store
from tidegate.resources.traffic import Traffic


class Reconciler:
    """Everything is called in the event loop in which it was started."""

    def __init__(
        self,
        store: Store,
        actuator: Actuator,
        resolver: Resolver,
        *,
        publish: Callable[[Traffic], None],
        withdraw: Callable[[str, str], None],
        settings: ServiceSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``publish(traffic)`` and ``withdraw(namespace, service)`` are called in the event loop, and do not wait."""

    async def start(self) -> None:
        """Begin to watch. Returns once every service that is stored has been looked at once."""

    async def stop(self) -> None:
        """End every task of it. What runs goes on running: ending it is the actuator's."""
