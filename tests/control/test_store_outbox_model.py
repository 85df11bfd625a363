"""The log of occurrences and the outbox against lists: whatever is told, sent, delayed and forgotten in any order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tidegate.protocol.errors import ResourceExpired
from tidegate.resources.store import Delivery
from tidegate.testing.stores import NAMES, Setup, key, occurrence

T = TypeVar("T")
BOUNDS = {"max_occurrences": 6, "max_occurrence_age": 50, "max_deliveries": 5, "max_delivery_age": 30}
"""So small that all of them are met."""
channels = st.sampled_from(["red", "green", "blue"])


class OutboxModel(RuleBasedStateMachine):
    """The oracle: the log as (number, id, time), the outbox as (id, channel, told, due, attempts) in order."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.setup = Setup(self.kind, self.directory)
        self.log: list[tuple[int, str, float]] = []
        self.newest = 0
        self.box: list[dict[str, Any]] = []
        self.lost = 0
        self.read: list[str] = []
        self.position = 0
        self.told: list[str] = []
        self.open()

    @property
    def now(self) -> float:
        return self.setup.clock.now

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def open(self) -> None:
        self.context = self.setup.open(**BOUNDS)
        self.store = self.run(self.context.__aenter__())

    def teardown(self) -> None:
        self.run(self.context.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.directory)

    def heads(self) -> list[dict[str, Any]]:
        seen: dict[str, dict[str, Any]] = {}
        for row in self.box:
            seen.setdefault(row["channel"], row)
        return list(seen.values())

    @rule(n=st.integers(0, 8), to=st.lists(channels, max_size=3, unique=True))
    def tell(self, n: int, to: list[str]) -> None:
        identity = f"o{n}"
        new = identity not in [each for _, each, _ in self.log]
        deliveries = [Delivery({"slack": {"secretRef": channel}}) for channel in to]
        assert self.run(self.store.tell(occurrence(identity), deliveries)) is new
        if not new:
            return
        self.newest += 1
        self.told.append(identity)
        self.log.append((self.newest, identity, self.now))
        self.log = [row for row in self.log if row[2] >= self.now - 50][-6:]
        self.box += [{"id": identity, "channel": one, "at": self.now, "due": self.now, "tried": 0} for one in to]
        young = [row for row in self.box if row["at"] >= self.now - 30]
        self.lost += len(self.box) - len(young)
        self.box = young
        while len(self.box) > 5:
            longest = Counter(row["channel"] for row in self.box).most_common()
            most = [channel for channel, count in longest if count == longest[0][1]]
            oldest = next(row for row in self.box if row["channel"] in most)
            surplus = len(self.box) - 5
            for row in [row for row in self.box if row["channel"] == oldest["channel"]][:surplus]:
                self.box.remove(row)
                self.lost += 1

    @rule(seconds=st.sampled_from([1, 7, 25]))
    def wait(self, seconds: int) -> None:
        self.setup.clock.now += seconds

    @rule(limit=st.integers(1, 4))
    def look(self, limit: int) -> None:
        """Due is the first of each lane; the next one is due when the oracle says."""
        outbox = self.run(self.store.outbox(self.now, limit))
        due = [row for row in self.heads() if row["due"] <= self.now]
        due.sort(key=lambda row: (row["due"], self.box.index(row)))
        assert [(one.occurrence.id, one.channel["slack"]["secretRef"], one.attempts) for one in outbox.due] == [
            (row["id"], row["channel"], row["tried"]) for row in due[:limit]
        ]
        assert outbox.then == min((row["due"] for row in self.heads() if row["due"] > self.now), default=None)

    @precondition(lambda self: self.box)
    @rule(seconds=st.sampled_from([None, 0, 3, 40]), warn=st.booleans())
    def settle(self, seconds: int | None, warn: bool) -> None:
        """Deliver the first that is due, or postpone it."""
        outbox = self.run(self.store.outbox(self.now, 1))
        if not outbox.due:
            return
        [unsent] = outbox.due
        row = next(row for row in self.heads() if row["channel"] == unsent.channel["slack"]["secretRef"])
        if seconds is None:
            self.run(self.store.delivered(unsent.number))
            self.box.remove(row)
            return
        stays = self.run(self.store.postponed(unsent.number, self.now + seconds, "why", warn=warn))
        assert stays is (self.now + seconds <= row["at"] + 30)
        if stays:
            row["due"], row["tried"] = self.now + seconds, row["tried"] + 1
        else:
            self.box.remove(row)
            self.lost += 1

    @rule(limit=st.integers(1, 4))
    def follow(self, limit: int) -> None:
        """Reading on from where one is misses nothing, or says so."""
        try:
            telling = self.run(self.store.occurrences(since=self.position or None, limit=limit))
        except ResourceExpired:
            assert self.position < (self.log[0][0] - 1 if self.log else self.newest)
            self.position = 0
            return
        expected = [row for row in self.log if row[0] > self.position][:limit] if self.position else self.log[-limit:]
        assert [(told.number, told.occurrence.id) for told in telling.items] == [row[:2] for row in expected]
        self.position = telling.position

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def open_again(self) -> None:
        self.run(self.context.__aexit__(None, None, None))
        self.open()

    @invariant()
    def what_was_given_up_was_told(self) -> None:
        """Each by a Warning, counted: nothing leaves the outbox in silence."""
        events = self.run(self.store.events(key()))
        assert sum(event.count for event in events if event.reason == "NotificationFailed") == self.lost


@pytest.mark.parametrize("kind", NAMES)
def test_the_outbox_is_a_list_with_lanes(kind: str) -> None:
    """Any sequence agrees with the oracle."""
    machine = type(kind, (OutboxModel,), {"kind": kind})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
