"""The response cache: what makes two requests the same, what is kept, and who shares an execution with whom."""

from __future__ import annotations

import asyncio
import gc
import struct
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given

from tidegate.gateway.backend import ANYBODY, Caller, Readiness, RevisionStatistics
from tidegate.gateway.cache import ENTRY_BYTES, OFF_LOOP, OUTPUT_BYTES, Answers, CachedBackend, CacheSettings
from tidegate.protocol.content import content_of
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import DeadlineExceeded, ExecutionFailed, Overloaded, ShuttingDown
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, RequestedOutput
from tidegate.protocol.tensors import Parameters, Tensor, join_bytes
from tidegate.telemetry.statistics import CacheStatistics
from tidegate.testing.backends import identity_metadata
from tidegate.testing.clock import run_virtual

MIB = 1 << 20
HURRIED = Caller("hurried", 1.0, -1)


class Answer:
    """An answer over memory that is overwritten when it is given back."""

    def __init__(self, request: InferRequest) -> None:
        self._memories = [bytearray(tensor.data) for tensor in request.inputs]
        outputs = tuple(
            Tensor(tensor.name, tensor.datatype, tensor.shape, memoryview(memory))
            for tensor, memory in zip(request.inputs, self._memories, strict=True)
        )
        self.response = InferResponse("behind", outputs, "7", request.id)
        self.released = 0

    def release(self) -> None:
        self.released += 1
        for memory in self._memories:
            memory[:] = b"\xff" * len(memory)


class Execution:
    """One call of the model."""

    def __init__(self, request: InferRequest, deadline: float, caller: Caller) -> None:
        self.request = request
        self.deadline = deadline
        self.caller = caller
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Model:
    """A backend that answers with its inputs, at once or when the test says so, and keeps deadlines by itself."""

    def __init__(self, at_once: bool = True) -> None:
        self.metadata: ModelMetadata | None = identity_metadata("m")
        self.readiness = Readiness(True)
        self.at_once = at_once
        self.error: Exception | None = None
        self.executions: list[Execution] = []
        self.answers: list[Answer] = []
        self.late = 0
        self.cancelled = 0

    def statistics(self) -> RevisionStatistics:
        return RevisionStatistics(batcher=None, replicas={"ready": 1}, executed={}, last_inference=5.0)

    async def signature(self, deadline: float, nbytes: int = 0) -> ModelMetadata:
        assert self.metadata is not None
        return self.metadata

    async def stream(
        self, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[Answer, None]:
        self.executions.append(Execution(request, deadline, caller))
        self.answers.append(Answer(request))
        yield self.answers[-1]

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer:
        if deadline <= asyncio.get_running_loop().time():
            self.late += 1
            raise DeadlineExceeded("too late")
        execution = Execution(request, deadline, caller)
        self.executions.append(execution)
        if self.error is not None:
            raise self.error
        if not self.at_once:
            try:
                async with asyncio.timeout_at(deadline):
                    await execution.future
            except TimeoutError as error:
                raise DeadlineExceeded("expired in the queue") from error
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        self.answers.append(Answer(request))
        return self.answers[-1]


def now() -> float:
    return asyncio.get_running_loop().time()


def cached(model: Model, max_bytes: int = MIB, **bounds: int) -> CachedBackend:
    return CachedBackend(model, CacheSettings(max_bytes=max_bytes, **bounds), now)


def ask(number: int = 0, name: str = "", values: int = 1, **parameters: Any) -> InferRequest:
    """A request whose one input holds ``values`` times ``number``; ``name`` is its id."""
    tensor = Tensor.from_numpy("x", np.full((values, 1), number, np.float32))
    return InferRequest("m", (tensor,), id=name, parameters=parameters)


def values_of(response: InferResponse) -> list[float]:
    return [float(value) for value in response.outputs[0].numpy().reshape(-1)]


async def answer(
    backend: CachedBackend, request: InferRequest, within: float = 60.0, caller: Caller = ANYBODY
) -> InferResponse:
    """What a listener does: ask, read, release."""
    got = await backend.infer(request, asyncio.get_running_loop().time() + within, caller)
    got.release()
    return got.response


def asked(coroutine: Coroutine[Any, Any, InferResponse]) -> asyncio.Task[InferResponse]:
    return asyncio.ensure_future(coroutine)


async def settle() -> None:
    """Let everything happen that can happen at this instant."""
    for _ in range(10):
        await asyncio.sleep(0)


def counts(backend: CachedBackend) -> tuple[int, int, int]:
    """Hits, misses, coalesced."""
    cache = figures(backend)
    return cache.hits, cache.misses, cache.coalesced


def figures(backend: CachedBackend) -> CacheStatistics:
    cache = backend.statistics().cache
    assert cache is not None
    return cache


NAMES = st.sampled_from(["a", "b", "ab", "priority", "timeout", "binary_data_output"])
DATA = st.sampled_from([b"", b"\0\0\0\0", b"\0\0\0\x80", b"\0" * 8, join_bytes([b""]), join_bytes([b"", b"a"])])
TENSORS = st.builds(
    Tensor,
    name=NAMES,
    datatype=st.sampled_from([Datatype.FP32, Datatype.INT32, Datatype.BYTES]),
    shape=st.sampled_from([(), (1,), (1, 1), (2,), (2, 1), (1, 2)]),
    data=DATA,
)
VALUES = st.sampled_from([True, 1, 1.0, False, 0, 0.0, -0.0, "", "1", "a", (1 << 64) - 1, -(1 << 63)])
REQUESTS = st.builds(
    InferRequest,
    model_name=st.just("m"),
    inputs=st.lists(TENSORS, max_size=2, unique_by=lambda tensor: tensor.name).map(tuple),
    id=st.sampled_from(["", "1"]),
    parameters=st.dictionaries(NAMES, VALUES, max_size=2),
    outputs=st.lists(NAMES, max_size=2, unique=True).map(lambda names: tuple(map(RequestedOutput, names))),
)


def seen(request: InferRequest) -> tuple[object, ...]:
    """What a model sees, in a form that compares as it should."""
    return (
        {(t.name, t.datatype.value, t.shape, bytes(t.data)) for t in request.inputs},
        [output.name for output in request.outputs],
        {
            (name, type(value), struct.pack("<d", value) if isinstance(value, float) else value)
            for name, value in request.parameters.items()
            if name not in ("priority", "timeout", "binary_data_output")
        },
    )


class TestContent:
    @given(REQUESTS, REQUESTS)
    def test_two_requests_have_one_content_if_a_model_sees_the_same(self, one: InferRequest, two: InferRequest) -> None:
        """And only then."""
        assert (content_of(one) == content_of(two)) == (seen(one) == seen(two))

    @given(REQUESTS, st.randoms(use_true_random=False))
    def test_what_no_model_sees_changes_nothing(self, request: InferRequest, random: Any) -> None:
        """The order of inputs and parameters, the id, wishes for the queue and the codec, and who holds the memory."""
        inputs = [Tensor(t.name, t.datatype, t.shape, memoryview(bytearray(t.data)), {"p": 1}) for t in request.inputs]
        random.shuffle(inputs)
        parameters = [*request.parameters.items()]
        random.shuffle(parameters)
        ours: Parameters = {"priority": 3, "timeout": 5, "binary_data_output": True}
        other = InferRequest(
            "alias",
            tuple(inputs),
            "2",
            "another id",
            {**dict(parameters), **ours},
            tuple(RequestedOutput(output.name, {"binary_data": True}) for output in request.outputs),
        )
        assert content_of(other) == content_of(request)

    @pytest.mark.parametrize(
        ("one", "two"),
        [(True, 1), (1, 1.0), (True, 1.0), (0.0, -0.0), ("1", 1), (False, 0), ("", False)],
        ids=str,
    )
    def test_parameters_are_told_apart_by_their_types(self, one: Any, two: Any) -> None:
        """Most of these are equal in Python; a model may treat them differently."""
        assert content_of(ask(p=one)) != content_of(ask(p=two))

    def test_the_order_of_the_outputs_matters(self) -> None:
        """They are answered in the order in which they were asked for."""
        there, back = ((RequestedOutput("a"), RequestedOutput("b")), (RequestedOutput("b"), RequestedOutput("a")))
        assert content_of(InferRequest("m", (), outputs=there)) != content_of(InferRequest("m", (), outputs=back))

    def test_bytes_do_not_move_between_tensors(self) -> None:
        """Where one tensor ends is part of the content."""

        def split(at: int) -> InferRequest:
            parts = {"a": b"\0" * at, "b": b"\0" * (8 - at)}
            return InferRequest("m", tuple(Tensor(name, Datatype.BYTES, (1,), data) for name, data in parts.items()))

        assert len({content_of(split(at)) for at in range(9)}) == 9


class TestKeeping:
    def test_the_second_time_the_model_is_not_asked(self) -> None:
        """The answer is the asker's own: its id and the name that it used, in memory that nobody takes back."""
        model = Model()
        backend = cached(model)

        async def main() -> None:
            first = await answer(backend, ask(3, "one"))
            second = await answer(backend, InferRequest("alias", ask(3).inputs, id="two"))
            assert values_of(first) == values_of(second) == [3.0]
            assert (first.model_name, first.model_version, first.id) == ("m", "7", "one")
            assert (second.model_name, second.model_version, second.id) == ("alias", "7", "two")

        run_virtual(main())
        assert len(model.executions) == 1
        assert [each.released for each in model.answers] == [1]
        assert counts(backend) == (1, 1, 0)
        assert repr(backend) == "<CachedBackend 1 answers, 0 in flight>"

    def test_another_content_is_another_answer(self) -> None:
        """Input or parameter."""
        model = Model()
        backend = cached(model)

        async def main() -> None:
            for request in (ask(1), ask(2), ask(1, p=1), ask(1, p=True)):
                assert values_of(await answer(backend, request)) == values_of(InferResponse("m", request.inputs))

        run_virtual(main())
        assert counts(backend) == (0, 4, 0)

    def test_texts_come_back_as_they_were(self) -> None:
        """BYTES elements of any length, the empty one among them."""
        texts = np.array([b"", b"tide", "größer".encode()], dtype=object)
        backend = cached(Model())

        async def main() -> None:
            for _ in range(2):
                response = await answer(backend, InferRequest("m", (Tensor.from_numpy("t", texts),)))
                assert response.outputs[0].numpy().tolist() == texts.tolist()

        run_virtual(main())
        assert counts(backend) == (1, 1, 0)

    def test_what_was_not_used_for_longest_makes_room(self) -> None:
        """Being asked for again counts as use."""
        size = ENTRY_BYTES + OUTPUT_BYTES + 4
        backend = cached(Model(), 2 * size)

        async def main() -> None:
            for number in (1, 2, 1, 3):
                await answer(backend, ask(number))
            assert counts(backend) == (1, 3, 0)
            await answer(backend, ask(1))
            await answer(backend, ask(3))
            assert counts(backend) == (3, 3, 0)
            await answer(backend, ask(2))
            assert counts(backend) == (3, 4, 0)

        run_virtual(main())
        cache = figures(backend)
        assert (cache.entries, cache.nbytes, cache.evicted) == (2, 2 * size, 2)

    def test_one_answer_may_need_the_room_of_several(self) -> None:
        """As many as it takes leave."""
        size = ENTRY_BYTES + OUTPUT_BYTES + 4
        backend = cached(Model(), 3 * size)

        async def main() -> None:
            for number in (1, 2, 3):
                await answer(backend, ask(number))
            await answer(backend, ask(4, values=1 + size // 4))

        run_virtual(main())
        cache = figures(backend)
        assert (cache.entries, cache.nbytes, cache.evicted) == (2, 3 * size, 2)

    def test_an_answer_larger_than_the_cache_is_given_and_not_kept(self) -> None:
        """It displaces nothing."""
        backend = cached(Model(), ENTRY_BYTES + OUTPUT_BYTES + 4)

        async def main() -> None:
            await answer(backend, ask(1))
            for _ in range(2):
                assert values_of(await answer(backend, ask(2, values=2))) == [2.0, 2.0]
            await answer(backend, ask(1))

        run_virtual(main())
        assert counts(backend) == (1, 3, 0)
        assert figures(backend).evicted == 0

    def test_an_answer_is_kept_once(self) -> None:
        """Its bytes are counted once, too."""
        answers = Answers(MIB)
        for _ in range(2):
            answers.keep(b"content", InferResponse("m", ask(1).inputs))
        assert (len(answers), answers.nbytes) == (1, ENTRY_BYTES + OUTPUT_BYTES + 4)

    @pytest.mark.parametrize("error", [ExecutionFailed("boom"), Overloaded("full"), ValueError("a fault")], ids=repr)
    def test_an_error_is_never_kept(self, error: Exception) -> None:
        """The next one asks the model again."""
        model = Model()
        backend = cached(model)

        async def main() -> None:
            model.error = error
            for _ in range(2):
                with pytest.raises(type(error), match=str(error)):
                    await answer(backend, ask(1))
            model.error = None
            assert values_of(await answer(backend, ask(1))) == [1.0]

        run_virtual(main())
        assert counts(backend) == (0, 3, 0)
        assert figures(backend).entries == 1

    def test_an_error_keeps_no_request_in_memory(self) -> None:
        """No cycle of references waits for the collector: under overload there are many errors, with large inputs."""
        model = Model()
        backend = cached(model)
        model.error = Overloaded("full")

        async def main() -> weakref.ref[Any]:
            array = np.ones((2, 1), np.float32)
            request = InferRequest("m", (Tensor.from_numpy("x", array),))
            with pytest.raises(Overloaded):
                await answer(backend, request)
            return weakref.ref(array)

        gc.collect()
        gc.disable()
        try:
            kept = run_virtual(main())
            model.executions.clear()
            model.error = None
            assert kept() is None
        finally:
            gc.enable()

    def test_a_hit_needs_no_replica(self) -> None:
        """What is kept is answered while the model is not."""
        model = Model()
        backend = cached(model)

        async def main() -> None:
            await answer(backend, ask(1))
            model.error = Overloaded("full")
            assert values_of(await answer(backend, ask(1))) == [1.0]

        run_virtual(main())

    def test_who_comes_too_late_is_refused_by_the_model(self) -> None:
        """Even where the answer is there; so it is counted in one place, and the cache does not count it."""
        model = Model()
        backend = cached(model)

        async def main() -> None:
            await answer(backend, ask(1))
            for values in (1, OFF_LOOP):
                with pytest.raises(DeadlineExceeded, match=r"^too late$"):
                    await answer(backend, ask(1, values=values), within=0.0)

        run_virtual(main())
        assert model.late == 2
        assert counts(backend) == (0, 1, 0)

    def test_the_backends_clock_says_who_comes_too_late(self) -> None:
        """It is finer than the loop's: who is late by it alone is the model's to refuse, and no miss."""
        model = Model()
        backend = CachedBackend(model, CacheSettings(max_bytes=MIB), lambda: now() + 0.0009)

        async def main() -> None:
            await answer(backend, ask(1), within=0.0005)

        run_virtual(main())
        assert len(model.executions) == 1
        assert counts(backend) == (0, 0, 0)

    def test_large_inputs_are_hashed_aside(self) -> None:
        """The answer is the same."""
        backend = cached(Model(), 64 * MIB)

        async def main() -> None:
            for number in (1, 2, 1):
                response = await answer(backend, ask(number, values=OFF_LOOP))
                assert set(values_of(response)) == {float(number)}

        asyncio.run(main())
        assert counts(backend) == (1, 2, 0)

    def test_a_deadline_holds_while_inputs_are_hashed(self) -> None:
        """The model refuses, as it does whoever comes too late."""
        model = Model(at_once=False)
        backend = cached(model)
        free = threading.Event()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(1))
            busy = loop.run_in_executor(None, free.wait)
            try:
                with pytest.raises(DeadlineExceeded):
                    await answer(backend, ask(1, values=OFF_LOOP), within=0.001)
            finally:
                free.set()
            await busy

        asyncio.run(main())
        assert counts(backend) == (0, 0, 0)

    def test_a_model_with_a_state_is_always_asked(self) -> None:
        """What it answers follows from the requests before, too, so no two are the same."""

        async def main() -> None:
            model = Model()
            model.metadata = msgspec.structs.replace(identity_metadata("m"), stateful=True)
            backend = cached(model)
            for _ in range(3):
                await answer(backend, ask(1))
            assert len(model.executions) == 3
            assert figures(backend).entries == 0

        run_virtual(main())


class TestSharing:
    def test_fifty_at_a_time_are_one_execution(self) -> None:
        """Each gets its own id; the first one's place in the queue is everybody's."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(4, "0"), caller=HURRIED))]
            tasks += [asked(answer(backend, ask(4, str(number)))) for number in range(1, 50)]
            await settle()
            assert repr(backend) == "<CachedBackend 0 answers, 1 in flight>"
            model.executions[0].answer()
            responses = await asyncio.gather(*tasks)
            assert [response.id for response in responses] == [str(number) for number in range(50)]
            assert all(values_of(response) == [4.0] for response in responses)

        run_virtual(main())
        assert [execution.caller for execution in model.executions] == [HURRIED]
        assert [each.released for each in model.answers] == [1]
        assert counts(backend) == (0, 1, 49)

    def test_different_contents_are_different_executions(self) -> None:
        """In flight at the same time."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(number))) for number in range(3)]
            await settle()
            for execution in reversed(model.executions):
                execution.answer()
            assert [values_of(response) for response in await asyncio.gather(*tasks)] == [[0.0], [1.0], [2.0]]

        run_virtual(main())
        assert counts(backend) == (0, 3, 0)

    def test_an_error_of_the_model_is_everybodys(self) -> None:
        """The same request would fail again."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask())) for _ in range(3)]
            await settle()
            model.executions[0].fail(ExecutionFailed("boom"))
            late = asked(answer(backend, ask()))  # in the same instant; it is not among those who shared
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(outcome) for outcome in outcomes] == ["boom"] * 3
            await settle()
            model.executions[1].answer()
            assert values_of(await late) == [0.0]

        run_virtual(main())
        assert counts(backend) == (0, 2, 2)

    @pytest.mark.parametrize("leaver", [0, 1], ids=["the first", "another"])
    def test_whoever_leaves_leaves_alone(self, leaver: int) -> None:
        """The others get their answer from the same execution."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(1))) for _ in range(3)]
            await settle()
            tasks[leaver].cancel()
            await settle()
            assert tasks[leaver].cancelled()
            model.executions[0].answer()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(outcome, InferResponse) for outcome in outcomes].count(True) == 2

        run_virtual(main())
        assert (len(model.executions), model.cancelled) == (1, 0)

    def test_when_the_last_one_leaves_the_execution_is_withdrawn(self) -> None:
        """Who asks in the same instant gets one of its own, not the remains."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(1))) for _ in range(2)]
            await settle()
            for task in tasks:
                task.cancel()
            late = [asked(answer(backend, ask(1)))]
            await settle()
            assert model.cancelled == 1
            late.append(asked(answer(backend, ask(1))))
            await settle()
            model.executions[1].answer()
            assert [values_of(response) for response in await asyncio.gather(*late)] == [[1.0], [1.0]]
            assert len(model.executions) == 2

        run_virtual(main())
        assert counts(backend) == (0, 2, 2)
        assert repr(backend) == "<CachedBackend 1 answers, 0 in flight>"

    @pytest.mark.parametrize("turns", [0, 1])
    @pytest.mark.parametrize("error", [None, ExecutionFailed("boom")], ids=["answer", "error"])
    def test_who_leaves_as_the_answer_comes(self, error: Exception | None, turns: int) -> None:
        """An answer is kept and given back all the same, and an error is not reported as lost."""
        model = Model(at_once=False)
        backend = cached(model)
        reports: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            tasks = [asked(answer(backend, ask(1))) for _ in range(2)]
            await settle()
            if error is None:
                model.executions[0].answer()
            else:
                model.executions[0].fail(error)
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[0].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(outcomes[0], asyncio.CancelledError)
            assert isinstance(outcomes[1], ExecutionFailed if error else InferResponse)

        run_virtual(main())
        gc.collect()
        assert reports == []
        assert [each.released for each in model.answers] == ([1] if error is None else [])
        assert figures(backend).entries == len(model.answers)


class TestBound:
    """A request that shares an execution waits as one in the queue does, so there is a bound for it, too."""

    @pytest.mark.parametrize("bound", [{"max_queue": 4}, {"max_queue_bytes": 16}], ids=["rows", "bytes"])
    def test_more_than_may_share_are_refused(self, bound: dict[str, int]) -> None:
        """At once, with the time to come back, and counted; whoever shares has not noticed, and makes room again."""
        model = Model(at_once=False)
        backend = cached(model, **bound)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(1, values=2))) for _ in range(3)]
            await settle()
            with pytest.raises(Overloaded, match=r"'m' has 2 requests with 4 rows waiting for executions") as refused:
                await answer(backend, ask(1, values=2))
            assert refused.value.retry_after == 1.0
            tasks.append(asked(answer(backend, ask(2, values=9))))  # begins an execution: the queue's bound is its own
            tasks[1].cancel()
            await settle()
            tasks.append(asked(answer(backend, ask(1, values=2))))
            await settle()
            for execution in model.executions:
                execution.answer()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(outcome, InferResponse) for outcome in outcomes] == [True, False, True, True, True]

        run_virtual(main())
        assert counts(backend) == (0, 2, 3)
        assert figures(backend).overloaded == 1

    def test_one_that_finds_nobody_sharing_may(self) -> None:
        """However large it is: an execution that is under way costs nothing more."""
        model = Model(at_once=False)
        backend = cached(model, max_queue=0, max_queue_bytes=0)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(1, values=9))) for _ in range(2)]
            await settle()
            with pytest.raises(Overloaded):
                await answer(backend, ask(1, values=9))
            model.executions[0].answer()
            await asyncio.gather(*tasks)

        run_virtual(main())
        assert counts(backend) == (0, 1, 1)

    def test_in_the_end_all_are_gone(self) -> None:
        """Whatever became of them, their places are free."""
        model = Model(at_once=False)
        backend = cached(model, max_queue=2)

        async def main() -> None:
            for end in ("fail", "cancel", "expire"):
                tasks = [asked(answer(backend, ask(1), within=1)) for _ in range(3)]
                await settle()
                if end == "fail":
                    model.executions[-1].fail(ExecutionFailed("boom"))
                elif end == "cancel":
                    for task in tasks:
                        task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert not any(isinstance(outcome, Overloaded | InferResponse) for outcome in outcomes)

        run_virtual(main())
        assert figures(backend).overloaded == 0


class TestDeadlines:
    def test_each_has_its_own(self) -> None:
        """Who has less time than the first is told in time, and nobody else notices."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            first = asked(answer(backend, ask(1), within=10))
            hasty = asked(answer(backend, ask(1), within=3))
            with pytest.raises(DeadlineExceeded, match=r"^model 'm' did not answer before the request's deadline$"):
                await hasty
            assert asyncio.get_running_loop().time() == 3
            model.executions[0].answer()
            assert values_of(await first) == [1.0]

        run_virtual(main())
        assert (len(model.executions), model.cancelled) == (1, 0)

    def test_the_end_of_the_first_ones_time_is_its_own(self) -> None:
        """The others are executed again, with the most time that one of them has; the first reads the model's words."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            first = asked(answer(backend, ask(1), within=1, caller=HURRIED))
            second, third, fourth = (asked(answer(backend, ask(1), within=seconds)) for seconds in (5, 20, 10))
            with pytest.raises(DeadlineExceeded, match=r"^expired in the queue$"):
                await first
            await settle()
            assert [(each.deadline, each.caller) for each in model.executions] == [(1, HURRIED), (20, ANYBODY)]
            with pytest.raises(DeadlineExceeded, match="did not answer"):
                await second
            assert asyncio.get_running_loop().time() == 5
            model.executions[1].answer()
            assert values_of(await third) == values_of(await fourth) == [1.0]

        run_virtual(main())
        assert counts(backend) == (0, 1, 3)

    def test_a_deadline_outlives_its_request(self) -> None:
        """The first went away, and its deadline passes: that ends nobody else's request."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            first = asked(answer(backend, ask(1), within=1))
            second = asked(answer(backend, ask(1), within=9))
            await settle()
            first.cancel()
            await asyncio.sleep(2)
            model.executions[1].answer()
            assert values_of(await second) == [1.0]

        run_virtual(main())
        assert [execution.deadline for execution in model.executions] == [1, 9]

    def test_everybodys_time_may_end_at_once(self) -> None:
        """No execution begins for those who have no time either."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(1), within=2))]
            await settle()
            tasks += [asked(answer(backend, ask(1), within=2, caller=caller)) for caller in (ANYBODY, HURRIED)]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded] * 3
            await backend.close()

        run_virtual(main())
        assert (len(model.executions), model.late, model.cancelled) == (1, 0, 0)

    def test_the_model_keeps_the_deadline_that_it_executes_by(self) -> None:
        """Also of whoever came second, so that the model counts an expiry and not a caller that went away."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(1), within=seconds)) for seconds in (1, 5)]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(outcome) for outcome in outcomes] == ["expired in the queue"] * 2

        run_virtual(main())
        assert (len(model.executions), model.cancelled) == (2, 0)

    def test_an_early_refusal_is_shared_with_those_who_have_no_more_time(self) -> None:
        """Unless they have another place in the queue: what the first cannot reach there, they may."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            first = asked(answer(backend, ask(1), within=5))
            same = asked(answer(backend, ask(1), within=4))
            hurried = asked(answer(backend, ask(1), within=3, caller=HURRIED))
            await settle()
            model.executions[0].fail(DeadlineExceeded("hopeless"))
            outcomes = await asyncio.gather(first, same, return_exceptions=True)
            assert [str(outcome) for outcome in outcomes] == ["hopeless"] * 2
            model.executions[1].answer()
            assert values_of(await hurried) == [1.0]

        run_virtual(main())
        assert [execution.caller for execution in model.executions] == [ANYBODY, HURRIED]


class TestOwner:
    def test_the_rest_is_the_models_own(self) -> None:
        """Signature, readiness, and all figures but the cache's."""
        model = Model()
        backend = cached(model)
        assert backend.metadata is model.metadata
        assert backend.readiness is model.readiness
        before = backend.statistics()
        assert (before.replicas, before.last_inference) == ({"ready": 1}, 5.0)
        assert before.cache == CacheStatistics(
            hits=0,
            misses=0,
            coalesced=0,
            overloaded=0,
            evicted=0,
            entries=0,
            nbytes=0,
            hit_seconds=0.0,
            miss_seconds=0.0,
        )

    def test_a_hit_is_an_inference(self) -> None:
        """The revision has answered later than its replicas have."""
        backend = cached(Model())

        async def main() -> None:
            await answer(backend, ask(1))
            assert backend.statistics().last_inference == 5.0
            await answer(backend, ask(1))
            assert backend.statistics().last_inference > 5.0

        run_virtual(main())
        cache = figures(backend)
        assert cache.hit_seconds > 0
        assert cache.miss_seconds > 0

    def test_closing_ends_what_is_left(self) -> None:
        """Whoever still waits is told why; without executions it returns at once."""
        model = Model(at_once=False)
        backend = cached(model)

        async def main() -> None:
            tasks = [asked(answer(backend, ask(number))) for number in (1, 1, 2)]
            await settle()
            tasks.append(asked(answer(backend, ask(3))))
            await asyncio.sleep(0)  # its execution has not begun
            await backend.close()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ShuttingDown] * 4
            await backend.close()

        run_virtual(main())
        assert model.cancelled == 2
        assert repr(backend) == "<CachedBackend 0 answers, 0 in flight>"

    def test_a_size_below_nothing_is_refused(self) -> None:
        """0 is off."""
        with pytest.raises(ValueError, match=r"^max_bytes is -1, expected at least 0$"):
            CacheSettings(max_bytes=-1)


STEPS = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "cancel", "answer", "fail", "refuse", "wait"]),
    st.integers(0, 2),
    st.sampled_from([0.0, 1.0, 2.0, 5.0]),
    st.integers(0, 3),
)
"""What is done, to which one, with how many seconds; and the turns of the loop until the next step."""


@given(st.lists(STEPS, min_size=5, max_size=40), st.sampled_from([0, 1100, 2100, 3200, MIB]))
def test_whatever_happens(steps: list[tuple[str, int, float, int]], max_bytes: int) -> None:
    """Each request ends once, in time, with its own answer; the cache keeps its bound; every answer goes back once."""
    model = Model(at_once=False)
    backend = cached(model, max_bytes)
    reports: list[dict[str, Any]] = []

    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        arrived = 0
        tasks: list[asyncio.Task[None]] = []

        async def one(number: int, within: float) -> None:
            nonlocal arrived
            arrived += within > 0
            deadline = loop.time() + within
            try:
                response = await answer(backend, ask(number, values=number + 1), within)
            except (DeadlineExceeded, ExecutionFailed):
                pass
            else:
                assert values_of(response) == [float(number)] * (number + 1)
            finally:
                assert loop.time() <= deadline

        def step(what: str, number: int, seconds: float) -> None:
            live = [execution for execution in model.executions if not execution.future.done()]
            if what == "ask":
                tasks.append(asyncio.ensure_future(one(number, seconds)))
            elif what == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif what == "answer" and live:
                live[number % len(live)].answer()
            elif what == "fail" and live:
                live[number % len(live)].fail(ExecutionFailed("boom"))
            elif what == "refuse" and live:
                live[number % len(live)].fail(DeadlineExceeded("hopeless"))

        for what, number, seconds, turns in steps:
            step(what, number, seconds)
            if what == "wait":
                await asyncio.sleep(seconds / 2)
            for _ in range(turns):
                await asyncio.sleep(0)
            cache = figures(backend)
            assert cache.nbytes <= max_bytes
            assert (cache.nbytes == 0) == (cache.entries == 0)
        await asyncio.sleep(10)
        for task in tasks:
            assert task.cancelled() or task.result() is None
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return arrived

    arrivals = run_virtual(main())
    assert sum(counts(backend)) == arrivals
    assert reports == []
    assert all(each.released == 1 for each in model.answers)
    assert repr(backend).endswith("0 in flight>")
