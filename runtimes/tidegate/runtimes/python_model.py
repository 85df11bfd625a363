"""A custom model as the runtime's port has it: its function called directly, in a loop of its own, or response by
response. Which of these it is was found out when it was loaded; a call decides nothing any more.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from enum import Enum
from typing import Any

from tidegate.protocol.errors import Unsupported
from tidegate.protocol.messages import ModelMetadata
from tidegate.protocol.tensors import Parameters
from tidegate.runtimes.python_call import Call, State
from tidegate.runtimes.runtime import Arrays
from tidegate.runtimes.sequences import Sequences, Step, read_step


class Manner(Enum):
    """How a function answers."""

    SYNC = "function"
    ASYNC = "async function"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"

    @property
    def streams(self) -> bool:
        return self in (Manner.GENERATOR, Manner.ASYNC_GENERATOR)


def manner_of(function: Callable[..., Any]) -> Manner:
    """Told by how the function is written, not by what it returns."""
    if inspect.isasyncgenfunction(function):
        return Manner.ASYNC_GENERATOR
    if inspect.iscoroutinefunction(function):
        return Manner.ASYNC
    return Manner.GENERATOR if inspect.isgeneratorfunction(function) else Manner.SYNC


class Loop:
    """The event loop of one model, in the thread that computes. It runs while a request does, and stands in between."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function of either kind."""
        result = function(*arguments)
        return self.run(result) if inspect.iscoroutinefunction(function) else result

    def responses(self, made: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
        """What an asynchronous generator yields, one after the other; closing this one closes it."""
        try:
            while True:
                try:
                    value = self.run(_next(made))
                except StopAsyncIteration:
                    return
                yield value
        finally:
            self.run(_close(made))

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


async def _next(made: AsyncGenerator[Any, None]) -> Any:
    return await anext(made)


async def _close(made: AsyncGenerator[Any, None]) -> None:
    await made.aclose()


def evaluation(manner: Manner, call: Call, loop: Loop) -> Callable[..., Any]:
    """``call``, but giving outputs or an ordinary generator of them, whatever the function is."""
    if manner is Manner.ASYNC:
        return lambda *arguments: loop.run(call(*arguments))
    if manner is Manner.ASYNC_GENERATOR:
        return lambda *arguments: loop.responses(call(*arguments))
    return call


class PythonModel:
    """A model that answers each request once. ``evaluate`` calls its function, ``end`` whatever ends it."""

    def __init__(
        self,
        metadata: ModelMetadata,
        call: Call,
        evaluate: Callable[..., Any],
        sequences: Sequences[State] | None,
        end: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metadata = metadata
        self._call = call
        self._evaluate = evaluate
        self._sequences = sequences
        self._clock = clock
        self.close = end

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """See ``Model.predict``."""
        step, state = self._begin(parameters)
        answer = self._call.answer(self._evaluate(inputs, outputs, parameters, state), outputs)
        self._end(step, state)
        return answer

    def _begin(self, parameters: Parameters) -> tuple[Step | None, State | None]:
        if self._sequences is None:
            return None, None
        step = read_step(parameters)
        state = self._sequences.take(step, self._clock())
        return step, {} if state is None else state

    def _end(self, step: Step | None, state: State | None) -> None:
        if self._sequences is not None and step is not None and state is not None:
            self._sequences.keep(step, state, self._clock())


class StreamingPythonModel(PythonModel):
    """A model that answers each request with any number of responses."""

    def stream(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Generator[Arrays, None, None]:
        """See ``StreamingModel.stream``."""
        step, state = self._begin(parameters)
        responses = self._evaluate(inputs, outputs, parameters, state)
        try:
            for value in responses:
                yield self._call.answer(value, outputs)
        finally:
            responses.close()
        self._end(step, state)

    def predict(self, inputs: Arrays, outputs: Sequence[str], parameters: Parameters) -> Arrays:
        """The only response.

        Raises:
            Unsupported: there is none, or another one.
        """
        responses = self.stream(inputs, outputs, parameters)
        try:
            first = next(responses, None)
            if first is not None and next(responses, None) is None:
                return first
        finally:
            responses.close()
        raise Unsupported(
            f"model '{self.metadata.name}' made {'no response' if first is None else 'more than one response'}, and a "
            f"call without a stream takes exactly one"
        )
