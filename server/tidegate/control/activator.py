"""The shell around ``Activation``: it tells the table what happens, and carries out what the table orders.

All models that are loaded on demand share one. It owns a task for each waking and each going to sleep, at most one per
model, and one timer for what is due when nothing happens. Where nobody is awake there is no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from tidegate.control.activation import Activation, ActivationSettings, State
from tidegate.protocol.errors import InternalError, TidegateError
from tidegate.telemetry.metrics import ActivationMetrics

log = logging.getLogger(__name__)

_TICK = 0.001
"""Seconds; the loop's timers know whole milliseconds, and one that is rounded down would come too early."""


class Sleepy(Protocol):
    """A model that is loaded on demand, as the activator handles it."""

    def __hash__(self) -> int: ...

    @property
    def runtime(self) -> str:
        """Who reads it: models of one runtime take about the same memory beside their own size."""
        ...

    @property
    def size(self) -> int:
        """Bytes of its files."""
        ...

    async def load(self) -> int:
        """Load it, and return once it answers; how many bytes of memory it holds then. Cancelled, it leaves nothing.

        Raises:
            TidegateError: it cannot be loaded, and nothing of it is left.
        """
        ...

    def opened(self) -> None:
        """It is loaded: requests may go to it."""
        ...

    def refuse(self, error: TidegateError) -> None:
        """It could not be loaded: answer who waits for it."""
        ...

    def shut(self) -> None:
        """It is to sleep: no request may go to it from now on."""
        ...

    async def unload(self) -> None:
        """Return once nothing of it is loaded."""
        ...


class Activator:
    """Everything is called in the event loop in which this was made."""

    def __init__(self, settings: ActivationSettings, metrics: ActivationMetrics) -> None:
        self._sleep_after = settings.sleep_after
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._activation: Activation[Sleepy] = Activation(settings)
        self.passes: Callable[[Sleepy], None] = self._activation.passes
        """See the table. Without a method around it, because it is on the way of every request."""
        self._models: set[Sleepy] = set()
        self._tasks: dict[Sleepy, asyncio.Task[None]] = {}
        self._beside: dict[str, int] = {}
        self._unwished: set[Sleepy] = set()
        self._asking: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = False

    def __repr__(self) -> str:
        return f"<Activator {len(self._models)} models, {len(self._activation.awake)} awake>"

    def add(self, model: Sleepy) -> None:
        """One more, asleep."""
        self._models.add(model)
        self._activation.add(model, self._expected(model), self._loop.time())

    def state(self, model: Sleepy) -> State:
        """How it is with a model; one that has ended is asleep."""
        return self._activation[model].state if model in self._activation else State.ASLEEP

    def retry_at(self, model: Sleepy) -> float:
        """When a model that could not be woken is tried again."""
        return self._activation[model].retry_at if model in self._activation else 0.0

    def wish(self, model: Sleepy, awake: bool) -> None:
        """A model is to be awake, with or without requests, or to sleep as soon as it has none."""
        if model not in self._models:
            return
        self._activation.wish(model, awake, self._loop.time())
        (self._unwished.discard if awake else self._unwished.add)(model)
        self._ask()

    def arrived(self, model: Sleepy) -> float | None:
        """A request came. None if it is taken, and then has to leave; else when to come back: it is refused.

        A model that has a request stays awake.
        """
        retry_at = self._activation.arrived(model, self._loop.time())
        self._ask()
        return retry_at

    def left(self, model: Sleepy) -> None:
        """A request has its answer, or nobody waits for it any more."""
        now = self._loop.time()
        try:
            idle = self._activation.left(model, now)
        except KeyError:  # the model has ended meanwhile
            return
        if not idle:
            return
        if self._waiting or model in self._unwished:
            self._ask()
        elif self._timer is None and self._sleep_after:
            self._arm(now + self._sleep_after)

    async def end(self, model: Sleepy) -> None:
        """Have a model sleep for ever, whatever it has; return once nothing is left. A second call does nothing."""
        if model not in self._models:
            return
        self._models.discard(model)
        self._unwished.discard(model)
        while (task := self._tasks.get(model)) is not None:
            if self._activation[model].state is State.WAKING and not task.cancelling():
                task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                break
        if self._activation[model].state is State.READY:
            self._activation.end(model)
            model.shut()
            await asyncio.wait({self._begin(model, self._put_to_sleep(model))})
        self._activation.remove(model)
        self._ask()

    def _ask(self) -> None:
        """Ask what is to be done, once in the next turn of the loop: what happens in this one is one situation.

        Who leaves and comes back in the same turn was never away.
        """
        if self._asking is None:
            self._asking = self._loop.call_soon(self._carry_out)

    def _carry_out(self) -> None:
        self._asking = None
        orders = self._activation.orders(self._loop.time())
        self._waiting = orders.waiting
        for model, cause in orders.sleep.items():
            self._metrics.evicted(cause.value)
            model.shut()  # at once: a request in the turn between would meet its end
            self._begin(model, self._put_to_sleep(model))
        for model in orders.wake:
            self._begin(model, self._wake(model))
        self._arm(orders.next_at)
        awake = self._activation.awake
        self._metrics.holding(len(awake), sum(each.nbytes for each in awake))

    def _arm(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at is None else self._loop.call_at(at + _TICK, self._due)

    def _due(self) -> None:
        self._timer = None
        self._ask()

    def _begin(self, model: Sleepy, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks[model] = self._loop.create_task(work, name=f"activation of {model!r}")
        task.add_done_callback(lambda task: self._ended(model, task))
        return task

    def _ended(self, model: Sleepy, task: asyncio.Task[None]) -> None:
        if self._tasks.get(model) is task:  # else the next one has begun in the turn of its end
            del self._tasks[model]
        if task.cancelled():  # before its first step, or in the middle of a waking
            self._metrics.not_woken(failed=False)
        self._ask()

    async def _wake(self, model: Sleepy) -> None:
        began = self._loop.time()
        try:
            nbytes = await model.load()
        except Exception as error:
            if not isinstance(error, TidegateError):
                log.error("unexpected error while %r was woken", model, exc_info=error)
            self._failed(model, error if isinstance(error, TidegateError) else InternalError())
            return
        now = self._loop.time()
        self._activation.woken(model, nbytes or self._activation[model].nbytes, now)
        model.opened()
        self._metrics.woken(now - began)
        self._learn(model, nbytes)

    def _failed(self, model: Sleepy, error: TidegateError) -> None:
        self._activation.failed(model, self._loop.time())
        self._metrics.not_woken(failed=True)
        model.refuse(error)

    async def _put_to_sleep(self, model: Sleepy) -> None:
        try:
            await model.unload()
        except Exception:
            log.exception("unexpected error while %r was put to sleep", model)
        self._activation.gone(model)

    def _learn(self, model: Sleepy, nbytes: int) -> None:
        """What models of a runtime hold beside their own size is expected of those that were never awake, too."""
        beside = nbytes - model.size
        if beside > self._beside.get(model.runtime, 0):
            self._beside[model.runtime] = beside
            for each in self._models:
                if each.runtime == model.runtime:
                    self._activation.expect(each, self._expected(each))

    def _expected(self, model: Sleepy) -> int:
        return model.size + self._beside.get(model.runtime, 0)
