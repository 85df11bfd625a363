"""Jobs in the store, and downloads that take turns, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.downloads import Asked, Downloads
from tidegate.control.job import JOB, State, download_name, ended_at, spoilt
from tidegate.control.jobs import Jobs
from tidegate.control.services.settings import ServiceSettings
from tidegate.protocol.errors import InternalError, ModelLoadFailed, StateUnavailable
from tidegate.resources.decode import decode
from tidegate.resources.document import Document, Key, key_of
from tidegate.resources.revision import timestamp
from tidegate.resources.store import Change, ChangeType
from tidegate.testing.api import in_virtual_time
from tidegate.testing.resolver import digest
from tidegate.testing.services import EPOCH, OURS, ServiceStage, model_service, now
from tidegate.testing.store import MemoryStore

REQUEST = "sha256:0123456789abcdef"
SPEC = {"type": "download", "subject": {"kind": "ModelService", "name": "iris"}}


class Failing(MemoryStore):
    """A store whose disk is full when the test says so."""

    full = False

    async def replace_status(self, document: Document, *, dry_run: bool = False) -> Document:
        if self.full:
            raise StateUnavailable("the disk is full")
        return await super().replace_status(document, dry_run=dry_run)


class Stage:
    """A service iris, and who fetches for it."""

    def __init__(self, settings: ServiceSettings | None = None) -> None:
        self.settings = settings or ServiceSettings()
        self.store = Failing(clock=now)
        self.jobs = Jobs(self.store, self.settings, now)
        self.downloads = Downloads(self.jobs, self.settings, now)

    async def start(self) -> Stage:
        await self.store.create(model_service("a"))
        await self.jobs.start()
        return self

    async def stop(self) -> None:
        await self.downloads.stop()
        await self.jobs.stop()

    async def restart(self) -> None:
        """The same store, seen by another process."""
        self.jobs = Jobs(self.store, self.settings, now)
        self.downloads = Downloads(self.jobs, self.settings, now)
        await self.jobs.start()

    async def fetch(self, seconds: float, number: int = 0, error: Exception | None = None) -> None:
        asked = Asked("ModelService", "default", "iris", f"sha256:{number:08x}ff", f"models/{number}")
        async with self.downloads.turn(asked) as progress:
            for quarter in range(1, 5):
                await asyncio.sleep(seconds / 4)
                progress(quarter / 4)
            if error is not None:
                raise error

    async def statuses(self) -> dict[str, Document]:
        """By the last digit of the name."""
        page = await self.store.list(JOB)
        return {each["metadata"]["name"][-1]: each.get("status", {}) for each in page.items}

    async def states(self) -> dict[str, str]:
        return {name: status["state"] for name, status in (await self.statuses()).items()}

    async def writes(self) -> int:
        return int((await self.store.list(JOB)).version)


@in_virtual_time
async def test_what_is_quickly_done_is_no_job() -> None:
    """A small model on the same disk costs no write."""
    stage = await Stage().start()
    before = await stage.writes()
    await stage.fetch(0.4)
    await asyncio.sleep(10)
    assert await stage.writes() == before
    await stage.stop()


@in_virtual_time
async def test_what_takes_a_while_is_seen_and_goes_with_its_service() -> None:
    """How far it is, and how it ended."""
    stage = await Stage().start()
    fetching = asyncio.create_task(stage.fetch(8.0))
    await asyncio.sleep(5.1)
    [stored] = (await stage.store.list(JOB)).items
    decode(stored, strict=True)
    assert stored["metadata"]["name"] == "download-iris-00000000"
    assert stored["metadata"]["labels"] == {"tidegate.dev/service": "iris"}
    assert stored["status"] == {
        "state": "Running",
        "message": "'models/0' is being fetched",
        "progress": 0.5,
        "startedAt": timestamp(EPOCH),
    }
    await fetching
    await asyncio.sleep(0.1)
    assert (await stage.statuses())["0"] == {
        "state": "Succeeded",
        "message": "'models/0' is kept",
        "progress": 1.0,
        "startedAt": timestamp(EPOCH),
        "endedAt": timestamp(EPOCH + 8),
    }
    await stage.store.delete(Key(OURS, "default", "iris"))
    assert (await stage.store.list(JOB)).items == []
    await stage.stop()


@in_virtual_time
async def test_progress_is_written_once_a_second() -> None:
    """However often it is told."""
    stage = await Stage().start()
    before = await stage.writes()
    asked = Asked("ModelService", "default", "iris", REQUEST, "m")
    async with stage.downloads.turn(asked) as progress:
        for step in range(1000):
            await asyncio.sleep(0.01)
            progress(step / 1000)
    await asyncio.sleep(1)
    assert await stage.writes() - before <= 1 + 11 + 1  # made, then once a second, and its end
    await stage.stop()


@in_virtual_time
async def test_so_many_at_once_and_the_others_in_their_order() -> None:
    """Each knows its place, and moves up when somebody before it is given up."""
    stage = await Stage(ServiceSettings(downloads_at_once=2)).start()
    going = [asyncio.create_task(stage.fetch(4.0, number)) for number in range(5)]
    await asyncio.sleep(1.1)
    assert await stage.states() == {
        "0": "Running", "1": "Running", "2": "Waiting", "3": "Waiting", "4": "Waiting"
    }  # fmt: skip
    assert [(await stage.statuses())[each]["place"] for each in "234"] == [1, 2, 3]
    going[2].cancel()
    await asyncio.sleep(1)
    assert await stage.states() == {
        "0": "Running", "1": "Running", "2": "Cancelled", "3": "Waiting", "4": "Waiting"
    }  # fmt: skip
    assert [(await stage.statuses())[each]["place"] for each in "34"] == [1, 2]
    assert "place" not in (await stage.statuses())["2"]
    await asyncio.sleep(4)
    assert set((await stage.states()).values()) == {"Succeeded", "Running", "Cancelled"}
    await asyncio.wait(going)
    await asyncio.sleep(1)
    assert sorted((await stage.states()).values()) == ["Cancelled"] + ["Succeeded"] * 4
    await stage.stop()


@in_virtual_time
async def test_a_turn_is_not_lost() -> None:
    """Whoever is given up, and when: those after him have theirs."""
    stage = await Stage(ServiceSettings(downloads_at_once=1)).start()
    for lead in (0, 1, 2):  # who is given up: the one that goes on, the next, or both in the same turn of the loop
        going = [asyncio.create_task(stage.fetch(1.0, number)) for number in range(4)]
        await asyncio.sleep(0.5)
        for each in going[max(lead - 1, 0) : lead + 1]:
            each.cancel()
        await asyncio.wait(going, timeout=60)
        assert all(each.done() for each in going)
    await stage.stop()


@in_virtual_time
async def test_what_fails_is_told_however_quickly_and_once() -> None:
    """Trying again for ever writes nothing more; what becomes of it in the end is told."""
    stage = await Stage().start()
    with pytest.raises(ModelLoadFailed):
        await stage.fetch(0.1, error=ModelLoadFailed("'m' is not there"))
    await asyncio.sleep(0.1)
    assert (await stage.statuses())["0"]["message"] == "'m' is not there"
    before = await stage.writes()
    for _ in range(5):
        with pytest.raises(ModelLoadFailed):
            await stage.fetch(0.1, error=ModelLoadFailed("'m' is not there"))
        await asyncio.sleep(10)
    assert await stage.writes() == before
    with pytest.raises(RuntimeError):
        await stage.fetch(0.1, error=RuntimeError("a secret"))
    await asyncio.sleep(0.1)
    assert (await stage.statuses())["0"]["message"] == InternalError().message
    await stage.fetch(0.1)
    await asyncio.sleep(0.1)
    assert await stage.states() == {"0": "Succeeded"}
    await stage.stop()


@in_virtual_time
async def test_a_service_that_was_made_anew_has_jobs_of_its_own() -> None:
    """What was told of the one before has gone with it; and what is for nobody is no job."""
    stage = await Stage().start()
    with pytest.raises(ModelLoadFailed):
        await stage.fetch(0.1, error=ModelLoadFailed("'m' is not there"))
    await stage.store.delete(Key(OURS, "default", "iris"))
    await stage.store.create(model_service("a"))
    with pytest.raises(ModelLoadFailed):
        await stage.fetch(0.1, error=ModelLoadFailed("'m' is not there"))
    await asyncio.sleep(0.1)
    assert await stage.states() == {"0": "Failed"}
    await stage.store.delete(Key(OURS, "default", "iris"))
    await stage.fetch(2.0)
    await asyncio.sleep(2)
    assert await stage.states() == {}
    await stage.stop()


@in_virtual_time
async def test_what_is_asked_for_twice_is_one_job() -> None:
    """And made anew when it is asked for again later, so that its age is that of the work."""
    stage = await Stage().start()
    both = [asyncio.create_task(stage.fetch(2.0, 7)), asyncio.create_task(stage.fetch(3.0, 7))]
    await asyncio.wait(both)
    await asyncio.sleep(1)
    assert await stage.states() == {"7": "Succeeded"}
    await asyncio.sleep(100)
    created = [each["metadata"]["creationTimestamp"] for each in (await stage.store.list(JOB)).items]
    await stage.fetch(2.0, 7)
    assert [each["metadata"]["creationTimestamp"] for each in (await stage.store.list(JOB)).items] != created
    await stage.stop()


@in_virtual_time
async def test_what_a_killed_server_left_is_cancelled() -> None:
    """A rollout is not: it goes on."""
    stage = await Stage().start()
    going = asyncio.create_task(stage.fetch(100.0))
    rollout = {"type": "rollout", "subject": {"kind": "ModelService", "name": "iris"}}
    await stage.jobs.write("default", "rollout-iris-1", rollout, {"state": "Running"})
    await asyncio.sleep(2)
    await stage.restart()
    statuses = await stage.statuses()
    assert (statuses["0"]["state"], statuses["0"]["message"]) == ("Cancelled", "the server ended before it did")
    assert statuses["0"]["endedAt"] == timestamp(EPOCH + 2)
    assert statuses["1"] == {"state": "Running"}
    going.cancel()
    await asyncio.wait({going})
    await stage.stop()


@in_virtual_time
async def test_a_server_that_ends_says_so() -> None:
    """Before its store is closed."""
    stage = await Stage().start()
    going = asyncio.create_task(stage.fetch(100.0))
    await asyncio.sleep(2)
    stage.downloads.close()
    going.cancel()
    await asyncio.wait({going})
    await stage.downloads.stop()
    assert (await stage.statuses())["0"]["message"] == "the server ended before it did"
    await stage.stop()


@in_virtual_time
async def test_a_disk_that_is_full_keeps_nobody_from_fetching() -> None:
    """The end is written once it can be."""
    stage = await Stage().start()
    going = asyncio.create_task(stage.fetch(5.0))
    await asyncio.sleep(2)
    stage.store.full = True
    await going
    await asyncio.sleep(20)
    stage.store.full = False
    await asyncio.sleep(60)
    assert (await stage.statuses())["0"]["state"] == "Succeeded"
    stage.store.full = True
    going = asyncio.create_task(stage.fetch(5.0, 1))
    await asyncio.sleep(6)
    assert going.done()
    await stage.stop()  # which does not wait for the disk


@in_virtual_time
async def test_so_many_are_kept_for_so_long() -> None:
    """By themselves, without another one that ends."""
    stage = await Stage(ServiceSettings(jobs_kept=2, jobs_kept_for=100.0)).start()
    for number in range(4):
        await stage.fetch(2.0, number)
        await asyncio.sleep(1)
    assert set(await stage.states()) == {"2", "3"}
    going = asyncio.create_task(stage.fetch(300.0, 9))
    await asyncio.sleep(95)
    assert set(await stage.states()) == {"2", "3", "9"}
    await asyncio.sleep(10)
    assert set(await stage.states()) == {"9"}
    going.cancel()
    await asyncio.wait({going})
    await stage.stop()


@in_virtual_time
async def test_any_work_can_be_written() -> None:
    """Once for each change; its subject is its owner, and of one that is not there nothing is written."""
    stage = await Stage().start()
    rollout = {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingRollout",
        "metadata": {"name": "iris-rollout-3", "namespace": "default"},
        "spec": {
            "service": {"kind": "ModelService", "name": "iris"},
            "number": 3, "revision": 2, "stable": 1, "strategy": "canary",
        },
    }  # fmt: skip
    await stage.store.create(rollout)
    spec = {"type": "rollout", "subject": {"kind": "ServingRollout", "name": "iris-rollout-3"}}
    async with stage.store.watch(JOB, since="0") as changes:
        for _ in range(2):
            await stage.jobs.write("default", "r", spec, {"state": "Running", "message": "step 1 of 3"})
        await stage.jobs.write("default", "r", spec, {"state": "Paused", "message": "step 1 of 3"})
        seen: list[Change] = [await anext(changes) for _ in range(3)]
        assert [each.type for each in seen] == [ChangeType.ADDED, ChangeType.MODIFIED, ChangeType.MODIFIED]
        assert seen[0].document["metadata"]["labels"] == {"tidegate.dev/service": "iris"}
        assert seen[0].document["metadata"]["ownerReferences"][0]["kind"] == "ServingRollout"
    gone = {"type": "rollout", "subject": {"kind": "ServingRollout", "name": "iris-rollout-4"}}
    await stage.jobs.write("default", "s", gone, {"state": "Running"})
    assert [each["metadata"]["name"] for each in (await stage.store.list(JOB)).items] == ["r"]
    await stage.stop()


@in_virtual_time
async def test_the_control_plane_s_downloads_are_jobs() -> None:
    """With the progress that the resolver tells; nobody waits for them who does not fetch himself."""
    stage = ServiceStage(ServiceSettings(downloads_at_once=1))
    stage.resolver.takes = 8.0
    await stage.start()
    await stage.apply(model_service("a"))
    await stage.apply(model_service("b", name="rose"))
    await stage.settle(5.0)
    statuses = {each["spec"]["subject"]["name"]: each["status"] for each in (await stage.store.list(JOB)).items}
    assert statuses["iris"] | {"startedAt": ""} == {
        "state": "Running", "message": "'a' is being fetched", "progress": 0.5, "startedAt": "",
    }  # fmt: skip
    assert statuses["rose"] == {"state": "Waiting", "message": "others are fetched before it", "place": 1}
    await stage.apply(model_service("c", name="rose"))
    await stage.settle(20.0)
    told = {(each["spec"]["subject"]["name"], each["status"]["state"]) for each in (await stage.store.list(JOB)).items}
    assert told == {("iris", "Succeeded"), ("rose", "Cancelled"), ("rose", "Succeeded")}
    assert stage.resolver.calls == ["a", "c"]
    assert stage.resolver.kept == {digest("a"), digest("c")}
    await stage.stop()


@pytest.mark.parametrize("service", ["iris", "a" * 253, "a" * 200 + "." * 3 + "b" * 50], ids=len)
def test_a_download_s_name_can_be_a_resource_s(service: str) -> None:
    """However long the service's is."""
    name = download_name(service, REQUEST)
    assert name.startswith(f"download-{service[:4]}")
    assert name.endswith("-01234567")
    key_of({"apiVersion": "tidegate.dev/v1", "kind": "ServingJob", "metadata": {"name": name}})
    assert download_name(service[:-1] + "c", REQUEST) != name


STATES = st.sampled_from([state.value for state in State])


@given(
    st.lists(st.tuples(st.sampled_from("ab"), STATES, st.integers(0, 50)), max_size=12),
    st.integers(0, 3),
    st.integers(1, 40),
)
def test_which_jobs_are_kept(told: list[tuple[str, str, int]], most: int, longest: int) -> None:
    """Whatever goes on, and of what has ended the latest, none of it too old."""
    jobs: list[dict[str, Any]] = [
        {
            "apiVersion": "tidegate.dev/v1",
            "kind": "ServingJob",
            "metadata": {"name": f"j{number}", "namespace": namespace},
            "status": {"state": state, "endedAt": timestamp(time)},
        }
        for number, (namespace, state, time) in enumerate(told)
    ]
    gone = set(spoilt(jobs, 50.0, most, longest))
    kept = [each for each in jobs if key_of(each) not in gone]
    ended = [each for each in jobs if State(each["status"]["state"]).ended]
    assert all(each in kept for each in jobs if each not in ended)
    for namespace in "ab":
        mine = [each for each in ended if each["metadata"]["namespace"] == namespace]
        left = [each for each in mine if each in kept]
        assert len(left) <= most
        assert all(50.0 - ended_at(each) <= longest for each in left)
        lost = [each for each in mine if each not in kept and 50.0 - ended_at(each) <= longest]
        assert not lost or (len(left) == most and max(map(ended_at, lost)) <= min(map(ended_at, left), default=50.0))
