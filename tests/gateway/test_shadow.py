"""Copies of requests for a shadow: in virtual time, whatever the shadow does, and whatever the bounds are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tidegate.gateway.addressee import Asked
from tidegate.gateway.backend import ANYBODY, Caller
from tidegate.gateway.dataplane import DataPlane, GatewaySettings
from tidegate.gateway.route import Route
from tidegate.gateway.routes import RouteTable
from tidegate.gateway.services import Service
from tidegate.gateway.shadow import COPY_BYTES, OFF_LOOP, Shadow, copy_bytes
from tidegate.gateway.shadow_settings import ShadowSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import (
    ExecutionFailed,
    InternalError,
    ModelNotReady,
    Overloaded,
    ReplicaLost,
    ShuttingDown,
    TidegateError,
)
from tidegate.protocol.messages import InferRequest, ModelMetadata
from tidegate.protocol.tensors import Tensor
from tidegate.resources.actuator import RevisionId
from tidegate.resources.traffic import Share, Traffic
from tidegate.telemetry.metrics import Metrics
from tidegate.testing.backends import FakeAnswer, IdentityBackend, identity_metadata
from tidegate.testing.clock import VirtualLoop, run_virtual
from tidegate.testing.requests import BODY
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import served_grpc
from tidegate.testing.stage import turns

OUTCOMES = ("equal", "different", "failed", "dropped")
FOREVER = 1e9


def request(*numbers: float) -> InferRequest:
    return InferRequest("iris", (Tensor.from_numpy("fp32", np.array([numbers or (1.0, 2.0)], np.float32)),))


class Apart(IdentityBackend):
    """Answers its inputs, each number ``by`` more."""

    by = 0.0

    async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
        inputs = [Tensor.from_numpy(each.name, each.numpy() + np.float32(self.by)) for each in request.inputs]
        return await super().infer(msgspec.structs.replace(request, inputs=tuple(inputs)), deadline, caller)


def service_of(routes: dict[int, Route], shadow: Shadow | None) -> Service:
    traffic = Traffic(
        "default", "iris", (Share(1, 100),), tuple(routes), tags={"latest": 2}, shadow=0 if shadow is None else 2
    )
    return Service.of(traffic, routes, shadow)


class Scene:
    """A service whose revision 1 answers, and whose revision 2 gets copies."""

    def __init__(
        self,
        bounds: ShadowSettings | None = None,
        tolerance: tuple[float, float] = (0.0, 0.0),
        metadata: ModelMetadata | None = None,
    ) -> None:
        self.metrics = Metrics("0")
        self.plane = DataPlane(RouteTable(), self.metrics, GatewaySettings("0", shadow=bounds or ShadowSettings()))
        self.stable = IdentityBackend(identity_metadata("iris"))
        self.other = Apart(metadata or identity_metadata("iris"))
        self.shadow = self.plane.shadows.open(self.metrics.shadow("iris", "2"), tolerance)
        self.shadow.lead(self.other, tolerance)
        routes = {
            number: Route.of_revision(RevisionId("default", "iris", number), "", backend)
            for number, backend in enumerate((self.stable, self.other), 1)
        }
        self.plane.routes = RouteTable.of(services=[service_of(routes, self.shadow)])

    async def ask(self, asked: InferRequest | None = None, **named: str) -> bytes:
        """A request as a listener has it answered: the bytes of its output."""
        route = self.plane.resolve("iris", named.get("version", ""), Asked(revision=named.get("revision")))
        answer = await self.plane.infer(route, asked or request(), FOREVER)
        try:
            return bytes(answer.response.outputs[0].data)
        finally:
            answer.release()

    def counted(self) -> dict[str, int]:
        """What the metrics say of the copies."""
        read = self.metrics.registry.get_sample_value
        found = {}
        for outcome in OUTCOMES:
            labels = {"model": "iris", "version": "2", "outcome": outcome}
            found[outcome] = int(read("tidegate_shadow_requests_total", labels) or 0)
        return found

    def copies(self) -> dict[str, int]:
        """The same by the comparison, which must agree."""
        told = self.shadow.comparison
        found = dict(
            zip(OUTCOMES, (told.compared - told.different, told.different, told.failed, told.dropped), strict=True)
        )
        assert found == self.counted()
        return found

    async def settled(self) -> None:
        """Let the shadow answer all that it is asked."""
        await turns(20)


def at_once(work: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of work that waits for nothing: not even one turn of the loop."""
    try:
        work.send(None)
    except StopIteration as ended:
        return bytes(ended.value)
    raise AssertionError("it waits for something")


@pytest.mark.parametrize(
    ("by", "tolerance", "outcome"),
    [(0.0, (0.0, 0.0), "equal"), (0.5, (0.0, 0.0), "different"), (0.5, (0.0, 0.6), "equal")],
)
def test_a_copy_is_held_against_what_the_caller_got(by: float, tolerance: tuple[float, float], outcome: str) -> None:
    """Within the tolerance it is equal."""

    async def main() -> None:
        scene = Scene(tolerance=tolerance)
        scene.other.by = by
        assert await scene.ask() == request().inputs[0].data
        await scene.settled()
        assert scene.copies() == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}
        assert scene.shadow.comparison.max_absolute == by
        assert sum(scene.shadow.latency.counts()) == 1
        assert [answer.released for answer in scene.other.answers] == [True]

    run_virtual(main())


def hang(scene: Scene) -> None:
    scene.other.gate = asyncio.Event()


def fail(scene: Scene) -> None:
    scene.other.error = ExecutionFailed("it raised")


def break_down(scene: Scene) -> None:
    scene.other.error = ZeroDivisionError()


def vanish(scene: Scene) -> None:
    scene.shadow.lead(None, (0.0, 0.0))


def close(scene: Scene) -> None:
    scene.plane.shadows.closed = True


@pytest.mark.parametrize("misfortune", [hang, fail, break_down, vanish, close])
def test_an_answer_waits_for_nothing_and_fails_by_nothing(misfortune: Callable[[Scene], None]) -> None:
    """Whatever the shadow does, and also once its queue is full."""

    async def main() -> None:
        scene = Scene(ShadowSettings(max_queue=2, max_inflight=1))
        misfortune(scene)
        for _ in range(3):
            for _ in range(5):
                assert at_once(scene.ask()) == request().inputs[0].data
            await scene.settled()
        assert all(answer.released for answer in scene.stable.answers)
        await scene.plane.shadows.close()
        assert sum(scene.copies().values()) == 15

    run_virtual(main())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ExecutionFailed("it raised"), "failed"),
        (InternalError(), "failed"),
        (ReplicaLost("it ended"), "failed"),
        (ZeroDivisionError(), "failed"),
        (Overloaded("it is full"), "dropped"),
        (ShuttingDown(), "dropped"),
        (ModelNotReady("iris", "it starts"), "dropped"),
    ],
)
def test_an_error_of_the_shadow_is_its_own_or_want_of_room(error: TidegateError, outcome: str) -> None:
    """What it has not even tried counts for nothing."""

    async def main() -> None:
        scene = Scene()
        scene.other.error = error
        await scene.ask()
        await scene.settled()
        assert scene.copies() == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}

    run_virtual(main())


def test_what_a_shadow_does_not_take_has_failed_there() -> None:
    """The caller's request was good for the model of today."""

    async def main() -> None:
        scene = Scene(metadata=identity_metadata("iris", Datatype.INT64))
        await scene.ask()
        await scene.settled()
        assert scene.copies()["failed"] == 1
        assert scene.other.requests == []

    run_virtual(main())


@pytest.mark.parametrize("named", [{"revision": "1"}, {"version": "1"}, {"version": "latest"}, {"revision": "2"}])
def test_only_what_the_split_assigns_is_copied(named: dict[str, str]) -> None:
    """Who names a revision asks that one."""

    async def main() -> None:
        scene = Scene()
        await scene.ask(None, **named)
        asked = len(scene.other.requests)
        await scene.settled()
        assert len(scene.other.requests) == asked
        assert sum(scene.copies().values()) == 0

    run_virtual(main())


@pytest.mark.parametrize("change", [{"decoupled": True}, {"stateful": True}])
def test_what_has_many_answers_or_a_state_is_not_copied(change: dict[str, bool]) -> None:
    """There is nothing to hold against one another; a shadow of that kind drops what it gets."""

    async def main() -> None:
        scene = Scene()
        scene.stable._metadata = msgspec.structs.replace(identity_metadata("iris"), **change)
        await scene.ask()
        await scene.settled()
        assert sum(scene.copies().values()) == 0
        scene.stable._metadata, scene.other._metadata = scene.other._metadata, scene.stable._metadata
        await scene.ask()
        await scene.settled()
        assert scene.copies()["dropped"] == 1

    run_virtual(main())


def test_a_request_that_gets_no_result_is_not_copied() -> None:
    """There would be nothing to hold its copy against."""

    async def main() -> None:
        scene = Scene()
        scene.stable.error = ExecutionFailed("it raised")
        with pytest.raises(ExecutionFailed):
            await scene.ask()
        await scene.settled()
        assert scene.other.requests == []

    run_virtual(main())


def test_copies_have_the_lowest_priority_and_are_nobodys_requests() -> None:
    """They are not among the requests that the metrics count, nor in flight when the server drains."""

    async def main() -> None:
        scene = Scene()
        hang(scene)
        await scene.ask()
        await scene.settled()
        assert [caller.priority for caller in scene.other.callers] == [scene.plane.settings.caller.priority_levels]
        assert repr(scene.plane).endswith("0 in flight>")
        assert b'tidegate_rows_total{model="iris",version="2"}' not in scene.metrics.exposition()

    run_virtual(main())


def test_few_copies_are_sent_at_a_time_and_few_wait() -> None:
    """The others are dropped, the newest first."""

    async def main() -> None:
        scene = Scene(ShadowSettings(max_queue=3, max_inflight=2))
        hang(scene)
        for _ in range(10):
            await scene.ask()
            await turns(2)
        assert len(scene.other.requests) == 2
        assert scene.copies()["dropped"] == 5
        assert scene.other.gate is not None
        scene.other.gate.set()
        await scene.settled()
        assert scene.copies() == {"equal": 5, "different": 0, "failed": 0, "dropped": 5}
        assert scene.plane.shadows.held == 0

    run_virtual(main())


@pytest.mark.parametrize("later", range(12))
def test_no_copy_is_left_waiting(later: int) -> None:
    """At whatever point the sender of the one before is: also between its last look at the queue and its end."""

    async def main() -> None:
        scene = Scene(ShadowSettings(max_inflight=1))
        await scene.ask()
        await turns(later)
        await scene.ask()
        await scene.settled()
        assert scene.copies()["equal"] == 2

    run_virtual(main())


def test_of_several_shares_each_is_copied_but_the_shadows_own() -> None:
    """What the shadow answered itself would be held against itself."""

    async def main() -> None:
        scene = Scene()
        backends = {number: IdentityBackend(identity_metadata("iris")) for number in (1, 3)} | {2: scene.other}
        routes = {
            number: Route.of_revision(RevisionId("default", "iris", number), "", backend)
            for number, backend in backends.items()
        }
        traffic = Traffic("default", "iris", (Share(1, 40), Share(3, 40), Share(2, 20)), (1, 2, 3), shadow=2)
        scene.plane.routes = RouteTable.of(services=[Service.of(traffic, routes, scene.shadow)])
        for chance, copied in ((0.1, 1), (0.5, 2), (0.9, 2)):
            route = scene.plane.resolve("iris", "", Asked(chance=chance))
            (await scene.plane.infer(route, request(), FOREVER)).release()
            await scene.settled()
            assert scene.copies()["equal"] == copied
        assert [len(backends[number].requests) for number in (1, 3, 2)] == [1, 1, 3]

    run_virtual(main())


def test_a_copy_is_given_up_at_a_deadline_of_its_own() -> None:
    """Those that wait behind it, too; after that a shadow that is well again is asked again."""

    async def main() -> None:
        scene = Scene(ShadowSettings(max_inflight=1, timeout=10.0))
        hang(scene)
        for _ in range(3):
            await scene.ask()
        await asyncio.sleep(9.9)
        assert scene.copies()["dropped"] == 0
        await asyncio.sleep(0.2)
        assert scene.copies()["dropped"] == 3
        assert len(scene.other.requests) == 1
        scene.other.gate = None
        await scene.ask()
        await scene.settled()
        assert scene.copies()["equal"] == 1

    run_virtual(main())


def test_a_copy_is_made_of_what_the_caller_got_before_its_memory_is_given_back() -> None:
    """The replica writes to it again at once."""

    class Reusing(IdentityBackend):
        async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
            answer = await super().infer(request, deadline, caller)
            memory = bytearray(request.inputs[0].data)
            output = msgspec.structs.replace(request.inputs[0], data=memoryview(memory))
            told = FakeAnswer(msgspec.structs.replace(answer.response, outputs=(output,)))
            answer.release()
            asyncio.get_running_loop().call_soon(lambda: memory.__setitem__(slice(None), bytes(len(memory))))
            return told

    async def main() -> None:
        scene = Scene()
        reusing = Reusing(identity_metadata("iris"))
        route = msgspec.structs.replace(
            Route.of_revision(RevisionId("default", "iris", 1), "", reusing), shadow=scene.shadow
        )
        answer = await scene.plane.infer(route, request(3.0, 4.0), FOREVER)
        answer.release()
        await scene.settled()
        assert scene.copies()["equal"] == 1

    run_virtual(main())


def large(count: int = OFF_LOOP // 4) -> InferRequest:
    return request(*np.arange(count, dtype=np.float32))


def test_large_outputs_are_compared_off_the_loop() -> None:
    """Nobody waits for it; the shadow's memory is given back before."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        scene = Scene()
        scene.other.by = 1.0
        loop.blocking = 5.0
        await scene.ask(large())
        await scene.settled()
        assert [answer.released for answer in scene.other.answers] == [True]
        assert loop.time() == 0.0
        assert at_once(scene.ask(revision="1"))
        assert sum(scene.copies().values()) == 0
        await asyncio.sleep(5.1)
        assert scene.copies()["different"] == 1
        assert scene.plane.shadows.held == 0

    run_virtual(main())


def test_a_shadow_that_answers_more_than_may_be_kept_is_not_compared() -> None:
    """What it takes is bounded on both sides."""

    class Chatty(IdentityBackend):
        async def infer(self, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> FakeAnswer:
            return await super().infer(large(), deadline, caller)

    async def main() -> None:
        scene = Scene(ShadowSettings(max_copy_bytes=OFF_LOOP - 1))
        chatty = Chatty(identity_metadata("iris"))
        scene.shadow.lead(chatty, (0.0, 0.0))
        await scene.ask()
        await scene.settled()
        assert scene.copies()["dropped"] == 1
        assert [answer.released for answer in chatty.answers] == [True]
        await scene.ask(large())
        assert scene.copies()["dropped"] == 2

    run_virtual(main())


def test_draining_gives_up_the_copies_at_once() -> None:
    """Those that wait, and those that are sent; nobody was to be answered by them."""

    async def main() -> None:
        scene = Scene(ShadowSettings(max_inflight=2))
        hang(scene)
        for _ in range(5):
            await scene.ask()
        await turns(2)
        await scene.plane.drain()
        assert asyncio.get_running_loop().time() == 0.0
        assert scene.other.cancelled == 2
        assert scene.copies()["dropped"] == 5
        assert scene.plane.shadows.held == 0
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_copies_follow_the_revision_and_end_with_it() -> None:
    """Started again it answers by another backend; what was at the one before is given up."""

    async def main() -> None:
        scene = Scene()
        hang(scene)
        await scene.ask()
        await turns(2)
        again = Apart(identity_metadata("iris"))
        scene.shadow.lead(again, (0.0, 0.0))
        await scene.ask()
        await scene.settled()
        assert (scene.other.cancelled, len(again.requests)) == (1, 1)
        scene.shadow.lead(None, (0.0, 0.0))
        await scene.ask()
        await scene.settled()
        assert scene.copies() == {"equal": 1, "different": 0, "failed": 0, "dropped": 2}

    run_virtual(main())


def test_a_copy_holds_the_whole_body_that_its_inputs_are_views_of() -> None:
    """Else a small tensor of a large body would cost nothing, and keep all of it."""
    body = memoryview(bytes(1000))
    inputs = tuple(Tensor(str(place), Datatype.UINT8, (10,), body[place : place + 10]) for place in (0, 10))
    plain = Tensor("c", Datatype.UINT8, (7,), bytes(7))
    held = InferRequest("iris", (*inputs, plain), parameters={"text": "x" * 30, "number": 5})
    assert copy_bytes(held, (plain,)) == COPY_BYTES + 1000 + 7 + 7 + 30


ACTS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([1, 1000, 5000, OFF_LOOP // 4])),
    st.tuples(
        st.sampled_from(["hang", "open", "fail", "mend", "vanish", "return", "turn", "turn", "time"]), st.just(0)
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTS, max_size=40), st.integers(1, 4), st.integers(1, 3), st.integers(1, 400_000))
def test_no_order_of_events_exceeds_the_bounds_or_loses_a_copy(
    acts: list[tuple[str, int]], queue: int, inflight: int, most: int
) -> None:
    """Bytes, copies that wait, and copies that are sent; each request that was to be copied is counted once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.blocking = 1.0
        bounds = ShadowSettings(max_queue=queue, max_inflight=inflight, max_bytes=most, timeout=5.0)
        scene = Scene(bounds)
        backends, asked = [scene.other], 0
        for act, size in acts:
            backend = backends[-1]
            if act == "ask":
                at_once(scene.ask(request(*range(size))))
                asked += 1
            elif act == "hang":
                backend.gate = backend.gate or asyncio.Event()
            elif act == "open" and backend.gate is not None:
                backend.gate.set()
                backend.gate = None
            elif act in ("fail", "mend"):
                backend.error = ExecutionFailed("it raised") if act == "fail" else None
            elif act == "vanish":
                scene.shadow.lead(None, (0.0, 0.0))
            elif act == "return":
                backends.append(Apart(identity_metadata("iris")))
                scene.shadow.lead(backends[-1], (0.0, 0.0))
            elif act == "turn":
                await turns(3)
            elif act == "time":
                await asyncio.sleep(2.0)
            assert 0 <= scene.plane.shadows.held <= most
            assert scene.shadow.waiting <= queue
            assert scene.shadow.sent <= inflight
        await asyncio.sleep(20.0)
        await scene.plane.shadows.close()
        assert sum(scene.copies().values()) == asked
        assert scene.plane.shadows.held == 0
        assert all(answer.released for each in backends for answer in each.answers)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def shadowed(server: Served) -> tuple[Shadow, IdentityBackend]:
    """Have a server's only service copied from now on."""
    other = IdentityBackend(identity_metadata("iris"))

    def begin() -> Shadow:
        shadow = server.plane.shadows.open(server.plane.metrics.shadow("iris", "2"), (0.0, 0.0))
        shadow.lead(other, (0.0, 0.0))
        backends = {1: IdentityBackend(identity_metadata("iris")), 2: other}
        routes = {
            number: Route.of_revision(RevisionId("default", "iris", number), "", backend)
            for number, backend in backends.items()
        }
        server.plane.routes = RouteTable.of(services=[service_of(routes, shadow)])
        return shadow

    return server.do(begin), other


def told(shadow: Shadow) -> tuple[int, int]:
    """Copies that were compared, and those of them that differed."""
    return shadow.comparison.compared, shadow.comparison.different


def test_requests_over_http_are_copied() -> None:
    """The listener knows nothing of it."""
    with served() as server:
        shadow, _ = shadowed(server)
        assert httpx.post(f"{server.url}/v2/models/iris/infer", content=BODY).status_code == 200
        server.until(lambda: told(shadow) == (1, 0))


def test_requests_over_grpc_are_copied() -> None:
    """As over HTTP."""
    with served_grpc() as server:
        shadow, _ = shadowed(server)
        tensor = pb.ModelInferRequest.InferInputTensor(name="fp32", datatype="FP32", shape=[1, 2])
        message = pb.ModelInferRequest(
            model_name="iris", inputs=[tensor], raw_input_contents=[np.zeros(2, np.float32).tobytes()]
        )
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            assert infer(message, timeout=10).model_name == "iris"
        server.until(lambda: told(shadow) == (1, 0))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"max_queue": 0}, "max_queue is 0, expected at least 1"),
        ({"max_copy_bytes": 0}, "max_copy_bytes is 0"),
        ({"timeout": -1.0}, "timeout is -1, expected a finite number"),
    ],
)
def test_a_bound_that_cannot_be_is_refused(wrong: dict[str, float], problem: str) -> None:
    """As soon as it is said."""
    with pytest.raises(ValueError, match=problem):
        ShadowSettings(**wrong)  # type: ignore[arg-type]
