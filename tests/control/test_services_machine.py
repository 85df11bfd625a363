"""Services under whatever happens in whatever order: what holds at every instant, and what holds once it is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tidegate.analysis.observation import Comparison
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.state import State
from tidegate.control.services.settings import ServiceSettings
from tidegate.protocol.errors import StateUnavailable
from tidegate.resources.actuator import Phase, RevisionId
from tidegate.resources.document import Document
from tidegate.resources.revision import STABLE, undone
from tidegate.resources.rollout_command import COMMAND, Verb
from tidegate.resources.traffic import Traffic
from tidegate.testing.actuator import FakeActuator
from tidegate.testing.clock import VirtualLoop
from tidegate.testing.resolver import FakeResolver, digest
from tidegate.testing.services import OURS, ServiceStage, model_service, now, revision
from tidegate.testing.store import MemoryStore

T = TypeVar("T")
HISTORY = 2
MOST = 10_000
"""Occurrences that are read at once: all."""
QUIET = 400.0
"""Seconds after which everything has happened that was going to: pauses are at most 60, a previous one is kept 100,
and a phase of a rollout has 40 for its verdict."""
STEPS = [{"weight": 1}, {"weight": 50, "hold": {"min": "2s", "max": "20s"}}]
ERRORS: Document = {"errors": {}, "minSamples": 100, "timeout": "40s"}
CHECK = {"name": "sales", "prometheus": {"url": "http://p", "query": "x", "max": 1}}
WAYS: dict[str, Document] = {
    "immediate": {"strategy": "immediate"},
    "blueGreen": {"strategy": "blueGreen"},
    "judged blueGreen": {"strategy": "blueGreen", "analysis": ERRORS | {"golden": {"uri": "golden"}}},
    "timed": {"strategy": "canary", "steps": [{"weight": 10, "hold": {"min": "3s"}}, *STEPS[1:]]},
    "canary": {"strategy": "canary", "steps": STEPS, "analysis": ERRORS},
    "checked": {"strategy": "canary", "steps": STEPS, "analysis": ERRORS | {"checks": [CHECK]}},
    "impatient": {"strategy": "canary", "steps": STEPS[:1], "analysis": ERRORS | {"onTimeout": "rollback"}},
    "careful": {"strategy": "canary", "steps": STEPS, "analysis": ERRORS, "onFailure": "pause"},
    "shadow": {"strategy": "shadow", "analysis": ERRORS | {"outputs": {"maxDifferent": 0.02}}},
}


class Cut:
    """Counts what is done, and lets nothing through any more after so many of them: as a crash does."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.done = 0

    def step(self) -> None:
        self.done += 1
        if self.left is not None:
            if self.left == 0:
                raise StateUnavailable("cut off")
            self.left -= 1


class CutStore(MemoryStore):
    def __init__(self, cut: Cut, **settings: Any) -> None:
        super().__init__(**settings)
        self._cut = cut

    async def _write(self, work: Any, keep: bool) -> Any:
        self._cut.step()
        return await super()._write(work, keep)


class CutResolver(FakeResolver):
    def __init__(self, cut: Cut, models: dict[str, str]) -> None:
        super().__init__(models, takes=0.1)
        self._cut = cut

    async def resolve(self, namespace: str, template: Document, progress: Any = None) -> Any:
        self._cut.step()
        return await super().resolve(namespace, template, progress)


class Stage(ServiceStage):
    """Notes what must never be seen, at the moment when it is."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.cut = Cut()
        super().__init__(settings, CutStore(self.cut, clock=now))
        self.resolver = CutResolver(self.cut, {name: name for name in "abcd"})
        self.wrong: list[str] = []
        self.run_nothing()

    def run_nothing(self) -> None:
        """An actuator of which nothing runs, that sees what it is asked for."""
        stage = self

        class Watched(FakeActuator):
            async def run(self, workload: Any) -> None:
                stage.cut.step()
                held = self.workloads.get(workload.id)
                if held is not None and (held.template, held.resolved) != (workload.template, workload.resolved):
                    stage.wrong.append(f"{workload.id} is run as something else than it runs as")
                await super().run(workload)

            async def end(self, revision: RevisionId) -> None:
                stage.cut.step()
                if revision.number in stage.shares(revision.service):
                    stage.wrong.append(f"{revision} is ended with traffic")
                await super().end(revision)

        self.actuator = Watched(starts_in=1.0, ends_in=1.0)

    async def restart(self, *, lost: bool = True) -> None:
        self.cut.left = None
        if not lost:
            return await super().restart(lost=False)
        await self.stop()
        self.routes.clear()
        broken = self.actuator.broken
        self.run_nothing()
        self.actuator.broken = broken
        return await self.start()

    def _publish(self, traffic: Traffic) -> None:
        self.cut.step()
        shares = {share.revision: share.percent for share in traffic.shares}
        standings = self.actuator.standings(traffic.namespace, traffic.service)
        ready = {number for number, each in standings.items() if each.ready and each.phase is not Phase.ENDING}
        if sum(shares.values()) not in (0, 100):
            self.wrong.append(f"{shares} do not sum to 100")
        if not shares.keys() <= ready and shares.keys() & ready:
            self.wrong.append(f"{shares}, and ready are {ready}")
        if not shares.keys() <= set(traffic.running):
            self.wrong.append(f"{shares}, and running are {traffic.running}")
        before = self.shares(traffic.service)
        if before.keys() & ready and not shares and not traffic.reason.startswith("it is stopped"):
            self.wrong.append(f"{before} had traffic and could answer, and nobody has it now")
        super()._publish(traffic)


def by_hand(spec: Document, percent: int | None) -> None:
    spec["predictor"]["canaryTrafficPercent"] = percent
    if percent is not None:
        spec.pop("rollout", None)


class Services(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.contents: dict[str, dict[int, str]] = {}
        """The hash of each revision that was ever seen, by uid of its service and number."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stage.stop())
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        async def made() -> Stage:
            stage = Stage(ServiceSettings(keep_previous=100.0, history=HISTORY))
            await stage.start()
            await stage.apply(model_service("a"))
            return stage

        self.stage = self.run(made())

    def change(self, changed: Any) -> None:
        """A change of the spec, by whoever writes manifests."""

        async def write() -> None:
            if await self.exists():
                document = await self.stage.service()
                changed(document["spec"])
                await self.written(document)

        self.run(write())

    async def written(self, document: Document) -> None:
        """Whatever became of it since it was read."""
        del document["metadata"]["resourceVersion"]
        await self.stage.store.replace(document)

    async def exists(self) -> bool:
        return bool((await self.stage.store.list(OURS)).items)

    @rule(uri=st.sampled_from("abcdz"), percent=st.none() | st.sampled_from([0, 10, 50, 100]))
    def edit(self, uri: str, percent: int | None) -> None:
        def changed(spec: Document) -> None:
            spec["predictor"]["model"] = {"modelFormat": {"name": "sklearn"}, "storageUri": uri}
            by_hand(spec, percent)

        self.change(changed)

    @rule(percent=st.none() | st.sampled_from([0, 10, 50, 100]))
    def split(self, percent: int | None) -> None:
        self.change(lambda spec: by_hand(spec, percent))

    @rule(way=st.none() | st.sampled_from([*WAYS]), uri=st.sampled_from("abcd"), seconds=st.sampled_from([0.0, 2.0]))
    def release(self, way: str | None, uri: str, seconds: float) -> None:
        """Another model, by a rollout; or the same one, whose way changes."""

        def changed(spec: Document) -> None:
            spec["predictor"]["model"] = {"modelFormat": {"name": "sklearn"}, "storageUri": uri}
            for name in ("rollout", "canary"):
                spec.pop(name, None)
            spec["predictor"]["canaryTrafficPercent"] = None
            if way is not None:
                spec["rollout"] = WAYS[way]

        self.change(changed)
        self.run(self.stage.settle(seconds))

    @rule(verb=st.sampled_from([*Verb]), id=st.sampled_from("123"))
    def command(self, verb: Verb, id: str) -> None:
        async def asked() -> None:
            if await self.exists():
                await self.stage.patch({"metadata": {"annotations": {COMMAND: f"{verb} {id}"}}})

        self.run(asked())

    @rule(number=st.integers(1, 4), requests=st.sampled_from([50, 500, 5000]), failing=st.sampled_from([0.0, 0.0, 0.5]))
    def answer(self, number: int, requests: int, failing: float) -> None:
        """Whoever is asked answers so many more; what copies come to is as bad."""
        stage = self.stage
        for each, failures in ((1, 0), (number, int(requests * failing))):
            stage.observer.answered(revision(each), requests, failures)
        seen, bad = stage.observer.outputs, int(requests * failing)
        stage.observer.outputs = Comparison(compared=seen.compared + requests, different=seen.different + bad)

    @rule(name=st.sampled_from(["golden", "sales"]), outcome=st.sampled_from([*Outcome]))
    def examine(self, name: str, outcome: Outcome) -> None:
        self.stage.examiner.verdicts[name] = Verdict(name, outcome, f"{name}: {outcome}")

    @rule(canaries=st.dictionaries(st.sampled_from("bcd"), st.sampled_from([0, 20, 50]), max_size=2))
    def canaries(self, canaries: dict[str, int]) -> None:
        model = {"modelFormat": {"name": "sklearn"}}
        told = [
            {"predictor": {"model": model | {"storageUri": uri}}, "trafficPercent": percent}
            for uri, percent in canaries.items()
        ]

        def changed(spec: Document) -> None:
            spec["canary"] = told
            if told:
                spec.pop("rollout", None)

        self.change(changed)

    @rule(replicas=st.integers(0, 3) | st.none())
    def scale(self, replicas: int | None) -> None:
        self.change(lambda spec: spec["predictor"].update(replicas=replicas))

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        kept = self.run(self.stage.revisions())
        there = self.run(self.exists())
        if kept and there:
            chosen = data.draw(st.sampled_from(kept))

            async def write() -> None:
                await self.written(undone(await self.stage.service(), chosen))

            self.run(write())

    @rule(name=st.sampled_from("abcd"), content=st.sampled_from("abcd"))
    def move(self, name: str, content: str) -> None:
        """A reference means something else from now on."""
        self.stage.resolver.models[name] = content

    @rule(data=st.data(), what=st.sampled_from(["ready", "lost", "failed", "gone"]))
    def replicas(self, data: st.DataObject, what: str) -> None:
        standings = self.stage.actuator.standings("default", "iris")
        running = [number for number, each in standings.items() if each.phase is not Phase.ENDING]
        if not running:
            return
        chosen = revision(data.draw(st.sampled_from(sorted(running))))

        async def happen() -> None:
            match what:
                case "ready":
                    self.stage.actuator.ready(chosen)
                case "lost":
                    self.stage.actuator.ready(chosen, 0)
                case "failed":
                    self.stage.actuator.fail(chosen, "it crashed")
                case "gone":
                    self.stage.actuator.gone(chosen)

        self.run(happen())

    @rule(content=st.sampled_from("abcd"), broken=st.booleans())
    def breaks(self, content: str, broken: bool) -> None:
        """A content cannot be started, or can again."""
        self.stage.actuator.broken = {digest(content): "it is broken"} if broken else {}

    @rule(seconds=st.sampled_from([0.01, 0.5, 2.0, 30.0, 120.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.stage.settle(seconds))

    @rule(left=st.integers(0, 8), lost=st.booleans(), seconds=st.sampled_from([0.5, 3.0]))
    def crash(self, left: int, lost: bool, seconds: float) -> None:
        """Nothing is done any more after so many steps, and then the process begins anew."""
        self.stage.cut.left = left
        self.run(self.stage.settle(seconds))
        self.stage.cut.left = None
        self.run(self.stage.restart(lost=lost))

    @rule(anew=st.booleans(), uri=st.sampled_from("ab"))
    def delete(self, anew: bool, uri: str) -> None:
        async def deleted() -> None:
            if await self.exists():
                await self.stage.delete()
            if anew:
                await self.stage.apply(model_service(uri))

        self.run(deleted())

    @precondition(lambda self: hasattr(self, "stage"))
    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.stage.wrong == []
        for kept in self.run(self.stage.revisions()):
            owner = kept["metadata"]["ownerReferences"][0]["uid"]
            seen, number = self.contents.setdefault(owner, {}), kept["spec"]["number"]
            assert number in seen or number > max(seen, default=0)
            assert seen.setdefault(number, kept["spec"]["hash"]) == kept["spec"]["hash"]

    @rule()
    def quiet(self) -> None:
        """Everything has happened: status says what is, and looking again changes nothing."""
        self.run(self.stage.settle(QUIET))
        self.run(self.hold())

    async def hold(self) -> None:
        stage = self.stage
        if not await self.exists():
            assert (stage.routes, stage.running(), await stage.revisions()) == ({}, {}, [])
            return
        service, book = await stage.service(), await stage.book()
        status, predictor = service["status"], service["spec"]["predictor"]
        assert status["observedGeneration"] == service["metadata"]["generation"]
        assert {share.revision: share.percent for share in book.shares} == stage.shares()
        kept = {each["spec"]["number"]: each for each in await stage.revisions()}
        assert len({each["spec"]["hash"] for each in kept.values()}) == len(kept)
        needed = {*stage.running(), book.rolledout, book.previous}
        needed |= {number for track in book.tracks.values() for number in (track.created, track.ready)}
        assert len(kept.keys() - needed) <= HISTORY
        if predictor.get("replicas") == 0:
            assert (stage.shares(), stage.running()) == ({}, {})
        elif predictor["model"]["storageUri"] != "z":
            created = book.tracks[STABLE].created
            standings = stage.actuator.standings("default", "iris")
            rollout = book.rollout if "rollout" in service["spec"] else None
            if rollout is not None and not rollout.ended:
                assert rollout.revision == created or not standings[created].ready
                if {rollout.stable, rollout.revision} <= {n for n, each in standings.items() if each.ready}:
                    assert stage.shares() == {rollout.stable: 100 - rollout.weight} | (
                        {rollout.revision: rollout.weight} if rollout.weight else {}
                    )
                assert rollout.state in (State.PAUSED, State.WARMING, State.PROMOTING, State.ABORTING)
            elif rollout is not None and rollout.rejected and rollout.revision == created != book.rolledout:
                assert created not in stage.running()
            elif standings[created].ready and not service["spec"].get("canary"):
                percent = predictor.get("canaryTrafficPercent")
                assert stage.shares().get(created, 0) in ({100, percent} if percent is not None else {100})
        await self.told()
        await self.again()

    async def told(self) -> None:
        """Each transition of each rollout once, in its order, and none is missing."""
        seen: dict[str, list[int]] = {}
        for each in (await self.stage.store.occurrences(limit=MOST)).items:
            rollout, _, number = each.occurrence.id.rpartition("/")
            if "/rollout/" in rollout:  # others are told of what has no rollout: a first revision, a failed load
                seen.setdefault(rollout, []).append(int(number))
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seen.values())
        last = (await self.stage.book()).rollout
        if last is not None:
            uid = (await self.stage.service())["metadata"]["uid"]
            assert (last.told, len(seen[f"{uid}/rollout/{last.number}"])) == (last.count, last.count)

    async def again(self) -> None:
        stage = self.stage
        before = (await stage.service(), len(stage.published), len(stage.actuator.calls), len(stage.resolver.calls))
        stage.actuator.notify("default", "iris")
        await stage.settle(0.01)
        after = (await stage.service(), len(stage.published), len(stage.actuator.calls), len(stage.resolver.calls))
        assert after == before


class Rollouts(Services):
    """The same with a rollout nearly all the time: what has little to do with one happens less often."""

    canaries = split = scale = move = edit = delete = None  # type: ignore[assignment]

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.wait(3.0)

    @rule(way=st.sampled_from([*WAYS]), uri=st.sampled_from("bc"), good=st.booleans())
    def course(self, way: str, uri: str, good: bool) -> None:
        """A rollout that gets as far as its answers let it."""
        self.release(way, uri, 2.0)
        for _ in range(3):
            self.answer(2, 5000, 0.0 if good else 0.5)
            self.wait(2.0)


EDITS: tuple[tuple[Any, ...], ...] = (
    ("first", "a"),
    ("next", "b"),
    ("canary", "c", 10),
    ("promote", "c", None),
    ("back", "c", 0),
    ("again", "a", None),
    ("list", "a", None, ("d",)),
    ("scaled", "a", None, (), 3),
)
"""What a service goes through: a reference, a percentage, canaries, replicas."""


def edited(uri: str = "a", percent: int | None = None, canaries: tuple[str, ...] = (), replicas: int = 1) -> Document:
    told: Document = {} if percent is None else {"canaryTrafficPercent": percent}
    model = {"modelFormat": {"name": "sklearn"}}
    entries = [{"predictor": {"model": model | {"storageUri": each}}, "trafficPercent": 20} for each in canaries]
    return model_service(uri, replicas=replicas, spec={"canary": entries} if entries else {}, **told)


async def outcome(cut: tuple[int, int, bool] | None) -> list[Any]:
    """What is there after each edit; at one of them it is cut off after so many steps, and begins anew."""
    stage = Stage(ServiceSettings(keep_previous=100.0, history=HISTORY))
    await stage.start()
    seen: list[Any] = []
    for number, (_, *edit) in enumerate(EDITS):
        await stage.apply(edited(*edit))
        if cut is not None and cut[0] == number:
            stage.cut.left = cut[1]
            await stage.settle(3.0)
            stage.cut.left = None
            await stage.restart(lost=cut[2])
        await stage.settle(10.0)
        kept = [(each["spec"]["number"], each["spec"]["template"]) for each in await stage.revisions()]
        book = await stage.book()
        bookkeeping = (book.rolledout, book.previous, {name: track.created for name, track in book.tracks.items()})
        seen.append((stage.shares(), stage.running(), kept, bookkeeping, sorted(set(stage.resolver.calls))))
    assert stage.wrong == []
    await stage.stop()
    return seen


def virtually(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


@pytest.mark.parametrize("edit", range(len(EDITS)), ids=[edit[0] for edit in EDITS])
def test_a_cut_anywhere_changes_nothing_in_the_end(edit: int) -> None:
    """Between any two actions of any change: begun anew from the store, everything comes out as without it."""
    expected = virtually(outcome(None))
    for steps in range(12):
        for lost in (False, True):
            assert virtually(outcome((edit, steps, lost))) == expected, (steps, lost)


LONG = 20.0
"""Seconds in which a rollout of these is over, or where it stays."""
JUDGED: Document = {"errors": {"maxIncrease": 0.2}, "minSamples": 100, "timeout": "1h"}
COURSES: tuple[tuple[str, str, int, str], ...] = (
    ("first", "a", 2, ""),
    ("succeeds", "b", 2, "Pending Warming Step Step Promoting Succeeded"),
    ("rolled back", "c", 2, "Pending Warming Step Aborting RolledBack"),
    ("in its step", "d", 600, "Pending Warming Step"),
    ("superseded", "a", 600, "Pending Warming Step"),
)
"""What is released, the least seconds of each step, and the way that the rollout goes. The content c is a bad one."""


def coursed(uri: str, hold: int) -> Document:
    steps = [{"weight": weight, "hold": {"min": f"{hold}s"}} for weight in (10, 50)]
    return model_service(uri, spec={"rollout": {"strategy": "canary", "steps": steps, "analysis": JUDGED}})


async def asked(stage: Stage, seconds: float) -> None:
    """So many seconds of a thousand requests each, split as the gateway was told."""
    for _ in range(int(seconds)):
        for number, percent in stage.shares().items():
            bad = number == 3
            stage.observer.answered(revision(number), 10 * percent, 5 * percent if bad else 0)
        await stage.settle(1.0)


async def ways(cut: tuple[int, int, bool] | None) -> tuple[list[Any], list[int]]:
    """What is there after each rollout; one of them is cut off after so many steps, and begins anew. And how many steps
    each takes."""
    stage = Stage(ServiceSettings(keep_previous=100.0, history=4))
    await stage.start()
    seen: list[Any] = []
    steps: list[int] = []
    for number, (_, uri, hold, _) in enumerate(COURSES):
        await stage.apply(coursed(uri, hold))
        before = stage.cut.done
        if cut is not None and cut[0] == number:
            stage.cut.left = cut[1]
            await asked(stage, LONG)
            await stage.restart(lost=cut[2])
        await asked(stage, LONG)
        steps.append(stage.cut.done - before)
        book = await stage.book()
        rollout = book.rollout
        way = " ".join(str(each.target) for each in rollout.transitions) if rollout else ""
        told = [each.occurrence for each in (await stage.store.occurrences(limit=MOST)).items]
        bookkeeping = (book.rolledout, book.previous, rollout and (rollout.number, rollout.weight, rollout.told))
        seen.append((way, stage.shares(), stage.running(), bookkeeping, [(each.id[-4:], each.type) for each in told]))
    assert stage.wrong == []
    await stage.stop()
    return seen, steps


def test_rollouts_go_their_ways() -> None:
    """Without a cut; and each transition is told once, that of the one that is superseded, too."""
    seen, _ = virtually(ways(None))
    assert [each[0] for each in seen] == [course[-1] for course in COURSES]
    assert [each[1] for each in seen] == [{1: 100}, {2: 100}, {2: 100}, {2: 90, 4: 10}, {2: 90, 1: 10}]
    told = [type for _, type in seen[-1][-1]]
    first_and_superseded = 2  # the first revision has no rollout, and is told of, too
    assert len(seen[-1][-1]) == sum(len(way.split()) for *_, way in COURSES) + first_and_superseded
    assert told.count("rollout.superseded") == 1


@pytest.mark.parametrize("course", range(1, len(COURSES)), ids=[course[0] for course in COURSES[1:]])
def test_a_cut_anywhere_in_a_rollout_changes_nothing_in_the_end(course: int) -> None:
    """Between any two actions of it; what is told is the same, too."""
    expected, steps = virtually(ways(None))
    for cut in range(steps[course] + 1):
        lost = cut % 2 == 0
        assert virtually(ways((course, cut, lost)))[0] == expected, (cut, lost)


def test_a_cut_after_the_revision_was_kept_resolves_nothing_again() -> None:
    """A ServingRevision is the first that becomes of what was resolved, and is enough to go on from."""

    async def cut_after(steps: int) -> tuple[bool, int]:
        """Whether there was a revision when it was cut off, and how often the resolver was asked in all."""
        stage = Stage(ServiceSettings())
        await stage.start()
        await stage.apply(model_service("a"))
        stage.cut.left = steps
        await stage.settle(3.0)
        stage.cut.left = None
        kept = await stage.numbers() == [1]
        await stage.restart()
        await stage.settle()
        assert stage.shares() == {1: 100}
        await stage.stop()
        return kept, len(stage.resolver.calls)

    told = [virtually(cut_after(steps)) for steps in range(16)]
    assert {(True, 1), (False, 2)} <= set(told) <= {(True, 1), (False, 2), (False, 1)}


def test_services_under_whatever_happens() -> None:
    """The whole of it, in virtual time."""
    run_state_machine_as_test(Services, settings=settings(max_examples=150, stateful_step_count=25, deadline=None))


def test_rollouts_under_whatever_happens() -> None:
    """The same where new revisions are judged."""
    run_state_machine_as_test(Rollouts, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
