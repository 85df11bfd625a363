"""The fakes of a rollout's two ports keep what the ports promise, and say what a test tells them."""

from __future__ import annotations

import asyncio

from tidegate.analysis.observation import Look, Observation
from tidegate.analysis.verdict import Outcome
from tidegate.control.rollouts.examiner import Examiner
from tidegate.control.rollouts.observer import Observer
from tidegate.resources.actuator import RevisionId
from tidegate.resources.rollout import Check, Golden
from tidegate.testing.clock import run_virtual
from tidegate.testing.rollouts import FakeExaminer, FakeObserver

STABLE, CANARY = RevisionId("default", "iris", 1), RevisionId("default", "iris", 2)


def test_an_observer_sees_what_is_shown() -> None:
    """And nothing of a canary that nothing was shown of."""
    fake = FakeObserver()
    observer: Observer = fake
    shown = Look(canary=Observation(requests=5))
    fake.show(shown, canary=2)
    assert observer.look("default", "iris", 1, 2) == shown
    assert observer.look("default", "iris", 1, 3) == Look()
    assert fake.looks == [("default", "iris", 1, 2), ("default", "iris", 1, 3)]


def test_an_examiner_comes_to_what_it_is_told() -> None:
    """One after the other, and then the last; it waits while its gate is shut."""

    async def main() -> None:
        fake = FakeExaminer()
        examiner: Examiner = fake
        check = Check(name="slo")
        fake.tell("check/slo", [Outcome.NO_DATA, Outcome.FAIL])
        told = [(await examiner.ask(check, STABLE, CANARY, "step 1")).outcome for _ in range(3)]
        assert told == [Outcome.NO_DATA, Outcome.FAIL, Outcome.FAIL]
        assert fake.asked == [("slo", STABLE, CANARY, "step 1")] * 3
        fake.gate = asyncio.Event()
        trying = asyncio.create_task(examiner.golden(CANARY, Golden(uri="golden")))
        await asyncio.sleep(1.0)
        assert not trying.done()
        fake.gate.set()
        assert (await trying).outcome is Outcome.PASS
        assert [revision for revision, _ in fake.tried] == [CANARY]

    run_virtual(main())
