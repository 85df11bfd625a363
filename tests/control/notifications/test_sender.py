"""The task that empties the outbox, in virtual time: once each, in order, patient, and quiet when there is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import pytest

from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.sender import Sender
from tidegate.control.notifications.settings import NotificationSettings
from tidegate.control.store.settings import StoreSettings
from tidegate.outgoing.fetch import FetchFailed
from tidegate.outgoing.settings import OutgoingSettings
from tidegate.protocol.errors import StateUnavailable, StateUnusable
from tidegate.resources.store import Delivery, Event, Outbox
from tidegate.testing.channels import SLACK_URL, MemorySecrets, Receiver
from tidegate.testing.clock import run_virtual
from tidegate.testing.store import MemoryStore
from tidegate.testing.stores import key, occurrence

T = TypeVar("T")
SLACK = {"slack": {"secretRef": "team"}}
URLS = {f"c{n}": f"https://hooks.example/{n}" for n in range(5)}
START = 1_800_000_000.0


def clock() -> float:
    return START + asyncio.get_running_loop().time()


class Counting(MemoryStore):
    """Counts how often the outbox is looked at, and fails where a test says so."""

    looks = 0
    failures = 0
    failure: Exception = StateUnavailable("the disk is full")

    late = 0.0
    """Seconds from what the outbox was to its being told."""

    async def outbox(self, now: float, limit: int) -> Outbox:
        self.looks += 1
        outbox = await super().outbox(now, limit)
        await asyncio.sleep(self.late)
        return outbox

    async def delivered(self, number: int) -> None:
        if self.failures:
            self.failures -= 1
            raise self.failure
        await super().delivered(number)


class Scene:
    """A store, a sender and what the channels have received."""

    def __init__(self, **store: Any) -> None:
        self.store = Counting(StoreSettings(**store), clock=clock)
        self.receiver = Receiver()
        self.secrets = MemorySecrets({("default", "team"): SLACK_URL})
        self.secrets |= {("default", name): url for name, url in URLS.items()}
        self.counted: list[tuple[str, str]] = []
        self.sender = self.make()

    def make(self, **settings: Any) -> Sender:
        return Sender(
            self.store,
            Courier(self.secrets, OutgoingSettings(), self.receiver),
            NotificationSettings(**settings),
            clock=clock,
            chance=lambda: 0.0,
            counted=lambda sort, outcome: self.counted.append((sort, outcome)),
        )

    async def tell(self, identity: str, *channels: str, **fields: Any) -> None:
        deliveries = [Delivery({"slack": {"secretRef": name}}) for name in channels or ("team",)]
        assert await self.store.tell(occurrence(identity, message=identity, **fields), deliveries)

    @property
    def received(self) -> list[str]:
        """The messages, in the order in which they came."""
        return [msgspec.json.decode(sent.body)["blocks"][1]["text"]["text"] for sent in self.receiver.sent]

    async def empty(self) -> bool:
        outbox = await self.store.outbox(clock(), 100)
        return not outbox.due and outbox.then is None

    async def warnings(self) -> list[Event]:
        return [event for event in await self.store.events(key()) if event.severity == "Warning"]


def scene(**store: Any) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[], None]]:
    """A test in virtual time, whose sender runs from the beginning and is stopped at the end."""

    def decorate(test: Callable[[Scene], Awaitable[None]]) -> Callable[[], None]:
        def run() -> None:
            async def main() -> None:
                async with running(Scene(**store)) as at:
                    await test(at)

            run_virtual(main())

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


@asynccontextmanager
async def running(at: Scene) -> AsyncIterator[Scene]:
    at.sender.start()
    try:
        yield at
    finally:
        await at.sender.stop()
        await at.store.close()


@scene()
async def test_what_is_told_is_sent_once(at: Scene) -> None:
    """And leaves the outbox."""
    await at.tell("a")
    await at.tell("b")
    await asyncio.sleep(1)
    assert at.received == ["a", "b"]
    assert await at.empty()
    assert at.counted == [("slack", "delivered")] * 2
    assert await at.warnings() == []


@pytest.mark.parametrize("answers", [(200,), (500, 200)], ids=["delivered", "postponed"])
def test_a_look_that_is_late_sends_nothing_again(answers: tuple[int, ...]) -> None:
    """What it brings may have been settled while it was on its way; and what was postponed is not forgotten."""

    async def main() -> None:
        async with running(Scene()) as at:
            at.receiver.will_answer(URLS["c0"], *answers)
            at.receiver.gate.clear()
            await at.tell("a", "c0", "c1")
            await asyncio.sleep(1)
            at.store.late = 0.5
            await at.tell("b", "c2")  # has it look, while the first two are on their way
            await asyncio.sleep(0.2)
            at.receiver.gate.set()
            await asyncio.sleep(10)
            assert sorted(sent.url for sent in at.receiver.sent) == sorted(
                [URLS["c0"]] * len(answers) + [URLS["c1"], URLS["c2"]]
            )
            assert await at.empty()

    run_virtual(main())


@scene()
async def test_an_empty_outbox_costs_nothing(at: Scene) -> None:
    """It is not looked at until something is told; events and resources are nothing of that kind."""
    await asyncio.sleep(1)
    looks = at.store.looks
    await asyncio.sleep(1_000_000)
    assert at.store.looks == looks
    await at.tell("a")
    await asyncio.sleep(1)
    assert at.received == ["a"]
    assert at.store.looks <= looks + 3


@scene()
async def test_a_failure_is_tried_again_with_growing_pauses(at: Scene) -> None:
    """After 1, 2 and 4 seconds, whatever failed: the answer or the way there. What is behind it in its lane waits."""
    at.receiver.will_answer(SLACK_URL, 500, FetchFailed("no answer"), 502)
    await at.tell("a")
    await at.tell("b")
    for seconds, attempts in ((0.5, 1), (1, 2), (2, 3), (4, 4)):
        await asyncio.sleep(seconds)
        assert len([each for each in at.received if each == "a"]) == attempts
    assert at.received == ["a", "a", "a", "a", "b"]
    assert at.counted == [("slack", "retried")] * 3 + [("slack", "delivered")] * 2
    assert await at.warnings() == []


@scene()
async def test_a_channel_says_when_to_come_back(at: Scene) -> None:
    """Retry-After is the least."""
    at.receiver.will_answer(SLACK_URL, 429, retry_after="30")
    await at.tell("a")
    await asyncio.sleep(29.9)
    assert at.received == ["a"]
    await asyncio.sleep(0.2)
    assert at.received == ["a", "a"]


@scene()
async def test_what_the_channel_refuses_is_given_up(at: Scene) -> None:
    """With a Warning about the service, without the address; the next one of the lane goes at once."""
    at.receiver.will_answer(SLACK_URL, 404)
    await at.tell("a")
    await at.tell("b")
    await asyncio.sleep(0.5)
    assert at.received == ["a", "b"]
    [event] = await at.warnings()
    assert (event.reason, event.message) == (
        "NotificationFailed",
        "rollout.succeeded was not sent to slack by the secret team: it answered 404",
    )
    assert at.counted == [("slack", "failed"), ("slack", "delivered")]


@scene()
async def test_a_missing_secret_is_told_and_sent_once_it_is_there(at: Scene) -> None:
    """Nobody is asked to send it again."""
    await at.tell("a", "later")
    await asyncio.sleep(0.5)
    [event] = await at.warnings()
    assert event.reason == "NotificationDelayed"
    assert event.message.endswith("to slack by the secret later: there is no secret 'default/later'")
    at.secrets["default", "later"] = SLACK_URL
    await asyncio.sleep(1)
    assert at.received == ["a"]


@scene(max_delivery_age=100)
async def test_what_cannot_be_sent_for_too_long_is_given_up(at: Scene) -> None:
    """And says so."""
    at.receiver.will_answer(SLACK_URL, *[503] * 50)
    await at.tell("a")
    await asyncio.sleep(200)
    assert at.received == ["a"] * 7  # after 1, 3, 7, 15, 31 and 63 seconds; the next one would be after 127
    [event] = await at.warnings()
    assert event.message.endswith("it answered 503; tried 7 times within 100 s")
    assert at.counted[-1] == ("slack", "failed")
    assert await at.empty()


@scene()
async def test_channels_do_not_wait_for_each_other(at: Scene) -> None:
    """One that is away holds up its own messages only; each has one at a time, in the order of their telling."""
    at.receiver.will_answer(URLS["c0"], *[503] * 3)
    for identity in "abc":
        await at.tell(identity, "c0", "c1")
    await asyncio.sleep(0.5)
    assert [sent.url for sent in at.receiver.sent if sent.url == URLS["c1"]] == [URLS["c1"]] * 3
    await asyncio.sleep(20)
    for url in (URLS["c0"], URLS["c1"]):
        texts = [text for text, sent in zip(at.received, at.receiver.sent, strict=True) if sent.url == url]
        assert list(dict.fromkeys(texts)) == ["a", "b", "c"]
        assert texts[-3:] == ["a", "b", "c"]


def test_so_many_are_sent_to_at_a_time() -> None:
    """The others follow as those arrive."""

    async def main() -> None:
        at = Scene()
        at.sender = at.make(concurrent=2)
        async with running(at):
            at.receiver.gate.clear()
            await at.tell("a", *URLS)
            await asyncio.sleep(1)
            assert len(at.received) == 2
            assert repr(at.sender) == "<Sender, 2 lanes under way>"
            at.receiver.gate.set()
            await asyncio.sleep(1)
            assert len(at.received) == 5
            assert at.receiver.at_a_time == 2

    run_virtual(main())


@pytest.mark.parametrize("failure", [StateUnavailable("full"), StateUnusable("damaged"), ZeroDivisionError("ours")])
def test_what_arrived_is_not_sent_again_because_that_cannot_be_written(failure: Exception) -> None:
    """It is written once that can be done; what is behind it waits for so long."""

    async def main() -> None:
        async with running(Scene()) as at:
            at.store.failures, at.store.failure = 3, failure
            await at.tell("a")
            await at.tell("b")
            await asyncio.sleep(6.5)
            assert at.received == ["a"]
            await asyncio.sleep(1)
            assert at.received == ["a", "b"]
            assert await at.empty()

    run_virtual(main())


def test_what_waited_is_sent_by_the_next_process() -> None:
    """Told by one that ended before it sent anything: once, by the next one, and not once more by the one after."""

    async def main() -> None:
        at = Scene()
        await at.tell("a")
        for _ in range(3):
            at.sender = at.make()
            at.sender.start()
            await asyncio.sleep(1)
            await at.sender.stop()
        assert at.received == ["a"]
        await at.store.close()

    run_virtual(main())


def test_a_stop_lets_what_is_being_sent_arrive() -> None:
    """And begins nothing more."""

    async def main() -> None:
        at = Scene()
        at.receiver.gate.clear()
        at.sender.start()
        await at.tell("a")
        await at.tell("b")
        await asyncio.sleep(1)
        stopping = asyncio.ensure_future(at.sender.stop())
        await asyncio.sleep(1)
        at.receiver.gate.set()
        await stopping
        assert at.received == ["a"]
        assert [unsent.occurrence.id for unsent in (await at.store.outbox(clock(), 10)).due] == ["b"]
        await at.sender.stop()
        await at.store.close()

    run_virtual(main())


@pytest.mark.parametrize("kill", [False, True])
def test_a_stop_does_not_wait_for_ever(kill: bool) -> None:
    """What a channel does not take in time stays in the outbox; a kill does not wait at all."""

    async def main() -> None:
        at = Scene()
        at.receiver.gate.clear()
        at.sender.start()
        await at.tell("a")
        await asyncio.sleep(1)
        if kill:
            at.sender.kill()
        await at.sender.stop()
        assert asyncio.get_running_loop().time() == pytest.approx(1.0 if kill else 6.0)
        assert not await at.empty()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        await at.store.close()

    run_virtual(main())


def test_a_store_that_closes_ends_it() -> None:
    """Without an error."""

    async def main() -> None:
        at = Scene()
        at.sender.start()
        await asyncio.sleep(1)
        await at.store.close()
        await asyncio.sleep(1)
        await at.sender.stop()

    run_virtual(main())


def test_a_fault_of_ours_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """It does not end the task."""

    async def main() -> None:
        async with running(Scene()) as at:
            at.receiver.will_answer(SLACK_URL, ZeroDivisionError("ours"))
            await at.tell("a")
            await asyncio.sleep(2)
            assert at.received == ["a", "a"]

    run_virtual(main())
    assert "a notification could not be made" in caplog.text
