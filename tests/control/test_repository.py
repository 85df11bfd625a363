"""The live repository: what becomes of models and of those who ask for them, on fake models in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tidegate.protocol.errors import ModelLoadFailed, ModelNotFound, ModelNotReady, ShuttingDown, VersionNotFound
from tidegate.protocol.messages import InferRequest
from tidegate.testing.clock import VirtualLoop, run_virtual
from tidegate.testing.stage import Stage, turns

FOREVER = 1e9


async def begun(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A call that has come as far as it can."""
    task = asyncio.create_task(call)
    await turns()
    return task


async def asked(stage: Stage, model: str) -> tuple[asyncio.Task[Any], asyncio.Event]:
    """A request that is being executed, and the event that lets it end."""
    executor = stage.route(model).executor
    gate = executor.gate = executor.gate or asyncio.Event()
    [lease] = [lease for lease in stage.routes if lease.offer.model == model]
    return await begun(lease.infer(InferRequest(model, ()), FOREVER)), gate


def test_what_is_opened_is_routed_to_before_it_is_ready() -> None:
    """It answers that it is being loaded; started, it answers; one that fails stays, and says why."""

    async def main() -> None:
        stage = Stage("a", "b")
        stage.repository.open(stage.disk.look())
        assert stage.served == ["a/1", "b/1"]
        starting = await begun(stage.repository.start())
        assert (await stage.states())["a/1"][0] == "LOADING"
        stage.route("a").answer()
        stage.route("b").fail("it is rotten")
        results = await starting
        assert sorted(str(result and result.message) for result in results) == ["None", "it is rotten"]
        assert stage.served == ["a/1", "b/1"]
        assert await stage.states() == {"a/1": ("READY", ""), "b/1": ("UNAVAILABLE", "it is rotten")}
        await stage.repository.stop()

    run_virtual(main())


def test_a_model_that_failed_at_the_start_is_loaded_again() -> None:
    """Though its files are the same; the one before it ends."""

    async def main() -> None:
        stage = Stage("a")
        stage.repository.open(stage.disk.look())
        starting = await begun(stage.repository.start())
        failed = stage.route("a")
        failed.fail("out of luck")
        await starting
        await stage.load("a")
        assert stage.route("a") is not failed
        assert await stage.states() == {"a/1": ("READY", "")}
        await turns()
        assert failed.stops == 1
        await stage.repository.stop()

    run_virtual(main())


def test_a_second_load_joins_the_first() -> None:
    """One model is made; both are answered when it is ready, though the first gives up."""

    async def main() -> None:
        stage = Stage()
        stage.disk.write("a")
        first = await begun(stage.repository.load("a"))
        second = await begun(stage.repository.load("a"))
        third = await begun(stage.repository.load("a"))
        assert stage.served == []
        assert stage.unavailable == {"a": "it is being loaded"}
        first.cancel()
        await turns()
        stage.disk.made[0].answer()
        await asyncio.gather(second, third)
        assert first.cancelled()
        assert len(stage.disk.made) == 1
        assert stage.served == ["a/1"]
        await stage.repository.stop()

    run_virtual(main())


def test_an_unload_breaks_a_load_off() -> None:
    """Who waited for it hears why; nothing is left of it, and no change on disk brings it back."""

    async def main() -> None:
        stage = Stage()
        path = stage.disk.write("a")
        loading = await begun(stage.repository.load("a"))
        await stage.repository.unload("a")
        with pytest.raises(ModelNotReady, match="it was unloaded"):
            await loading
        [model] = stage.disk.made
        assert (model.killed, model.stops) == (True, 1)
        stage.disk.write("a")
        await stage.repository.follow([path])
        assert len(stage.disk.made) == 1
        assert stage.unavailable == {"a": "it was unloaded"}
        assert await stage.states() == {"a/1": ("UNAVAILABLE", "it was unloaded")}
        await stage.load("a")
        assert stage.served == ["a/1"]
        await stage.repository.stop()

    run_virtual(main())


def test_an_unload_at_the_start_breaks_it_off() -> None:
    """The others go on."""

    async def main() -> None:
        stage = Stage("a", "b")
        stage.repository.open(stage.disk.look())
        starting = await begun(stage.repository.start())
        await stage.repository.unload("a")
        stage.route("b").answer()
        assert await starting == [None]
        assert stage.served == ["b/1"]
        await stage.repository.stop()

    run_virtual(main())


def test_a_load_waits_for_an_unload() -> None:
    """However both came: then it loads the model again."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        request, gate = await asked(stage, "a")
        unloading = await begun(stage.repository.unload("a"))
        loading = await begun(stage.repository.load("a"))
        assert not unloading.done()
        assert not loading.done()
        assert (await stage.states())["a/1"] == ("UNLOADING", "it is being unloaded")
        gate.set()
        await asyncio.gather(request, unloading)
        await turns()
        stage.disk.made[1].answer()
        await loading
        assert stage.served == ["a/1"]
        await stage.repository.stop()

    run_virtual(main())


def test_a_load_is_not_content_with_an_unload() -> None:
    """One that began while the load looked for the model is waited for, and not joined."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.blocking = 1.0
        stage = Stage()
        stage.disk.write("a")
        unloading = asyncio.create_task(stage.repository.unload("a"))
        loading = asyncio.create_task(stage.repository.load("a"))
        await unloading
        await asyncio.sleep(5.0)
        stage.disk.made[0].answer()
        await loading
        assert stage.served == ["a/1"]
        await stage.repository.stop()

    run_virtual(main())


def test_a_load_sees_what_was_written_before_it() -> None:
    """A look that was under way when it was asked for has begun too early."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        stage = Stage("a")
        await stage.serve()
        loop.blocking = 1.0
        index = await begun(stage.repository.index())
        stage.disk.write("a")
        loading = await begun(stage.repository.load("a"))
        await asyncio.sleep(5.0)
        stage.disk.made[1].answer()
        await asyncio.gather(index, loading)
        assert stage.route("a") is stage.disk.made[1]
        await stage.repository.stop()

    run_virtual(main())


def test_many_who_look_share_two_looks() -> None:
    """That which is under way, and the next."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.blocking = 1.0
        stage = Stage("a")
        await asyncio.gather(*(stage.repository.index() for _ in range(100)))
        assert stage.disk.looks == 2
        await stage.repository.stop()

    run_virtual(main())


def test_a_reload_is_atomic() -> None:
    """The one before takes requests until the new one is ready, and ends when it has answered them."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        former = stage.route("a")
        request, gate = await asked(stage, "a")
        stage.disk.write("a")
        loading = await begun(stage.repository.load("a"))
        assert stage.route("a") is former
        stage.disk.made[1].answer()
        await loading
        assert stage.route("a") is stage.disk.made[1]
        await asyncio.sleep(1000.0)
        assert former.stops == 0
        gate.set()
        await request
        await turns()
        assert (former.stops, former.killed) == (1, False)
        assert [event for event in stage.told if event[0] == "unloaded"] == []
        await stage.repository.stop()

    run_virtual(main())


def test_a_failed_reload_leaves_the_one_before() -> None:
    """The index says why, and the observer that it answers on; the next good one heals it."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        former = stage.route("a")
        path = stage.disk.write("a")
        loading = await begun(stage.repository.load("a"))
        stage.disk.made[1].fail("it is rotten")
        with pytest.raises(ModelLoadFailed, match="it is rotten"):
            await loading
        assert stage.route("a") is former
        assert stage.told[-1] == ("failed", "a", "1", "it is rotten", "serving")
        reason = "what lies there now cannot be served: it is rotten"
        assert await stage.states() == {"a/1": ("READY", reason)}
        stage.disk.write("a")
        following = await begun(stage.repository.follow([path]))
        stage.disk.made[2].answer()
        await following
        assert await stage.states() == {"a/1": ("READY", "")}
        await stage.repository.stop()
        assert [model.stops for model in stage.disk.made] == [1, 1, 1]

    run_virtual(main())


def test_a_fault_in_a_start_leaves_nothing() -> None:
    """What was started with it ends, too; the one before answers on."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        former = stage.route("a")
        stage.disk.write("a")
        stage.disk.write("a", "2")
        loading = await begun(stage.repository.load("a"))
        stage.disk.made[1].fail(KeyError("a fault of ours"))
        with pytest.raises(KeyError):
            await loading
        await stage.repository.stop()
        assert stage.disk.made[0] is former
        assert [model.stops for model in stage.disk.made] == [1, 1, 1]

    run_virtual(main())


def test_a_new_version_takes_over_from_one_that_is_gone() -> None:
    """Once it is ready; of several the last is the default."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        stage.disk.write("a", "10")
        stage.disk.write("a", "2")
        await stage.load("a")
        assert stage.served == ["a/1", "a/2", "a/10"]
        stage.disk.remove("a", "1")
        stage.disk.remove("a", "2")
        stage.disk.write("a", "11")
        loading = await begun(stage.repository.load("a"))
        assert stage.served == ["a/1", "a/2", "a/10"]
        stage.disk.made[-1].answer()
        await loading
        assert stage.served == ["a/10", "a/11"]
        assert stage.told[-2:] == [("unloaded", "a", "1"), ("unloaded", "a", "2")]
        await turns()
        assert [(model.offer.version, model.stops) for model in stage.disk.made[:3]] == [("1", 1), ("2", 1), ("10", 0)]
        with pytest.raises(VersionNotFound, match="'a' has no version '1'; it has 10, 11"):
            stage.repository.configuration("a", "1")
        await stage.repository.stop()

    run_virtual(main())


def test_a_version_is_gone_when_nothing_of_it_is_left() -> None:
    """Neither on disk nor in a process; one that is unloaded, or loaded anew, is still known."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        stage.disk.write("a")
        await stage.load("a")
        await stage.repository.unload("a")
        await stage.load("a")
        request, gate = await asked(stage, "a")
        stage.disk.remove("a", "1")
        stage.disk.write("a", "2")
        await stage.load("a")
        assert stage.forgotten == []
        gate.set()
        await request
        await asyncio.sleep(1.0)
        assert stage.forgotten == [("a", "1")]
        await stage.repository.stop()

    run_virtual(main())


def test_one_of_two_versions_fails() -> None:
    """The other takes over; nothing is dropped, and the load says why."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        stage.disk.remove("a", "1")
        stage.disk.write("a", "2")
        stage.disk.write("a", "3")
        loading = await begun(stage.repository.load("a"))
        stage.disk.made[1].answer()
        stage.disk.made[2].fail("it is rotten")
        with pytest.raises(ModelLoadFailed, match="it is rotten"):
            await loading
        assert stage.served == ["a/1", "a/2"]
        await stage.repository.stop()
        assert [model.stops for model in stage.disk.made] == [1, 1, 1]

    run_virtual(main())


def test_changes_are_followed() -> None:
    """What came is loaded, what changed replaced, what went unloaded, and what is as it was left alone."""

    async def main() -> None:
        stage = Stage("a", "b", "c")
        await stage.serve()
        paths = [stage.disk.write("a"), stage.disk.remove("b"), stage.disk.write("d"), stage.disk.write("c").parent]
        same = stage.route("c")
        stage.disk.remove("c")
        stage.disk.spoil("c", "nonsense is no field")
        following = await begun(stage.repository.follow(paths))
        assert sorted(str(model) for model in stage.disk.made[3:]) == [
            "<FakeModel a version 1>", "<FakeModel d version 1>",
        ]  # fmt: skip
        for model in stage.disk.made[3:]:
            model.answer()
        await following
        assert sorted(stage.served) == ["a/1", "c/1", "d/1"]
        assert stage.route("c") is same
        assert ("failed", "c", "", "nonsense is no field", "serving") in stage.told
        looks = stage.disk.looks
        await stage.repository.follow(paths[:1])
        assert (len(stage.disk.made), stage.disk.looks) == (5, looks + 1)
        await stage.repository.stop()

    run_virtual(main())


def test_what_is_being_unloaded_is_not_followed() -> None:
    """A change that comes meanwhile does not bring it back."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        request, gate = await asked(stage, "a")
        unloading = await begun(stage.repository.unload("a"))
        following = await begun(stage.repository.follow([stage.disk.write("a")]))
        gate.set()
        await asyncio.gather(request, unloading, following)
        assert stage.served == []
        assert len(stage.disk.made) == 1
        await stage.repository.stop()

    run_virtual(main())


def test_what_changes_while_it_is_loaded_is_loaded_again() -> None:
    """The load has looked before the change."""

    async def main() -> None:
        stage = Stage()
        stage.disk.write("a")
        loading = await begun(stage.repository.load("a"))
        following = await begun(stage.repository.follow([stage.disk.write("a")]))
        stage.disk.made[0].answer()
        await loading
        await turns()
        stage.disk.made[1].answer()
        await following
        assert stage.route("a") is stage.disk.made[1]
        await stage.repository.stop()

    run_virtual(main())


def test_an_unload_has_its_time() -> None:
    """Requests that take longer are not waited for."""

    async def main() -> None:
        stage = Stage("a", stop_timeout=10.0)
        await stage.serve()
        model = stage.route("a")
        request, gate = await asked(stage, "a")
        began = asyncio.get_running_loop().time()
        await stage.repository.unload("a")
        assert asyncio.get_running_loop().time() - began == pytest.approx(10.1)
        assert model.stops == 1
        gate.set()
        await request
        await stage.repository.stop()

    run_virtual(main())


def test_a_load_has_its_time() -> None:
    """What is not ready by then is ended."""

    async def main() -> None:
        stage = Stage(ready_timeout=30.0)
        stage.disk.write("a")
        with pytest.raises(ModelNotReady, match="it is being loaded"):
            await stage.repository.load("a")
        await stage.repository.stop()
        assert [(model.killed, model.stops) for model in stage.disk.made] == [(True, 1)]

    run_virtual(main())


def test_unknown_models() -> None:
    """Nothing can be done with them; one whose files are gone is dropped by its load."""

    async def main() -> None:
        stage = Stage("a")
        await stage.serve()
        for call in (stage.repository.load, stage.repository.unload):
            with pytest.raises(ModelNotFound, match="'b'"):
                await call("b")
        with pytest.raises(ModelNotFound, match="'b'"):
            stage.repository.configuration("b", "1")
        stage.disk.remove("a")
        with pytest.raises(ModelNotFound, match="'a'"):
            await stage.repository.load("a")
        assert stage.served == []
        assert stage.told[-1] == ("unloaded", "a", "1")
        await stage.repository.stop()

    run_virtual(main())


def test_a_stop_breaks_off_what_is_under_way() -> None:
    """Loads hear of the end, all that was started is stopped, and nothing begins any more."""

    async def main() -> None:
        stage = Stage("a", "b")
        await stage.serve()
        stage.disk.write("c")
        stage.disk.write("a")
        loading = [await begun(stage.repository.load(model)) for model in ("a", "c")]
        unloading = await begun(stage.repository.unload("b"))
        await stage.repository.stop()
        for call in loading:
            with pytest.raises(ShuttingDown):
                await call
        await asyncio.gather(unloading, return_exceptions=True)
        assert [model.stops for model in stage.disk.made] == [1, 1, 1, 1]
        with pytest.raises(ShuttingDown):
            await stage.repository.load("c")
        await stage.repository.follow([stage.disk.write("d")])
        assert len(stage.disk.made) == 4

    run_virtual(main())


def test_a_kill_reaches_everything() -> None:
    """What answers, what is being loaded, and what is ending."""

    async def main() -> None:
        stage = Stage("a", "b")
        await stage.serve()
        request, gate = await asked(stage, "b")
        ending = await begun(stage.repository.unload("b"))
        stage.disk.write("c")
        loading = await begun(stage.repository.load("c"))
        stage.repository.kill()
        assert [model.killed for model in stage.disk.made] == [True, True, True]
        gate.set()
        await stage.repository.stop()
        await asyncio.gather(request, ending, loading, return_exceptions=True)
        assert [model.stops for model in stage.disk.made] == [1, 1, 1]

    run_virtual(main())
