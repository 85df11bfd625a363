"""Who gets the requests while revisions come and go under a rollout: what every route that is published keeps to."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.analysis.evidence import Evidence, Share
from tidegate.analysis.observation import Comparison
from tidegate.control.rollouts.looking import Counted
from tidegate.control.rollouts.state import State
from tidegate.control.services.actions import CreateRevision, Publish, Resolve, WriteStatus
from tidegate.control.services.book import Book
from tidegate.control.services.plan import Seen, plan
from tidegate.control.services.resolution import Resolution
from tidegate.control.services.rolling import Reports
from tidegate.control.services.settings import ServiceSettings
from tidegate.resources.actuator import Phase, Resolved, Standing
from tidegate.resources.document import Document
from tidegate.resources.rollout_command import COMMAND, Verb
from tidegate.resources.traffic import Traffic
from tidegate.testing.resolver import digest
from tidegate.testing.services import model_service

SETTINGS = ServiceSettings(keep_previous=100.0)
STEPS: list[Document] = [{"weight": 1}, {"weight": 33, "hold": {"min": "20s"}}, {"weight": 99, "hold": {"max": "60s"}}]
TIMED: list[Document] = [{"weight": weight, "hold": {"min": "2s"}} for weight in (1, 33, 100)]
ERRORS: Document = {"errors": {}, "minSamples": 100, "timeout": "60s"}
WAYS: list[Document | None] = [
    None,
    {"strategy": "immediate"},
    {"strategy": "blueGreen"},
    {"strategy": "blueGreen", "analysis": ERRORS},
    {"strategy": "canary", "steps": TIMED},
    {"strategy": "canary", "steps": STEPS, "analysis": ERRORS | {"outputs": {"maxDifferent": 0.02}}},
    {"strategy": "canary", "steps": STEPS[:2], "analysis": ERRORS | {"onTimeout": "rollback"}},
    {"strategy": "canary", "steps": STEPS, "analysis": ERRORS, "onFailure": "pause"},
    {"strategy": "shadow", "analysis": {"outputs": {"maxDifferent": 0.02}, "minSamples": 100}},
]


class Look(msgspec.Struct, frozen=True):
    """What somebody wrote before it, how revisions stand, and what was counted."""

    seconds: float
    edit: tuple[str, int] | None
    command: tuple[Verb, str] | None
    replicas: int
    ready: frozenset[int]
    ending: frozenset[int]
    broken: bool
    counted: Evidence
    restart: bool


COUNTED = [
    Evidence(),
    Evidence(stable_errors=Share(0, 9000), canary_errors=Share(0, 9000), outputs=Comparison(compared=9000)),
    Evidence(stable_errors=Share(0, 900), canary_errors=Share(450, 900), outputs=Comparison(compared=90, different=90)),
]
ALL = frozenset({1, 2, 3, 4})
SOME = [frozenset(some) for size in range(4) for some in combinations(sorted(ALL), size)]
EDITS = [(uri, way) for uri in "abc" for way in range(len(WAYS))]
LOOKS = st.builds(
    Look,
    st.sampled_from([1.0, 25.0, 70.0]),
    st.sampled_from([*[None] * 120, *EDITS]),
    st.sampled_from([*[None] * 60, *product(Verb, "12")]),
    st.sampled_from([*[1] * 18, 3, 0]),
    st.sampled_from([*[ALL] * 60, *SOME]),
    st.sampled_from([*[frozenset[int]()] * 60, *SOME]),
    st.sampled_from([*[False] * 9, True]),
    st.sampled_from(COUNTED),
    st.booleans(),
)


class World:
    """Around the plan: what it asks for is there at the next look, and revisions stand as they are told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.service = model_service("a")
        self.service["metadata"] |= {"uid": "u", "generation": 1, "annotations": {}, "resourceVersion": "1"}
        self.revisions: list[Document] = []
        self.resolutions: dict[str, Resolution] = {}
        self.book: Book | None = None
        self.wanted: frozenset[int] = frozenset()
        self.told: tuple[int, int] = (0, 0)

    def look(self, look: Look) -> tuple[Traffic, Book, dict[int, Standing]]:
        """The route after it."""
        self.now += look.seconds
        self._edited(look)
        standings = {number: self._standing(number, look) for number in self.wanted}
        seen = Seen(
            namespace="default",
            name="iris",
            service=self.service,
            revisions=tuple(self.revisions),
            standings=standings,
            resolutions=self.resolutions,
            reports=Reports(Counted(look.counted), {}, self.told),
            book=None if look.restart else self.book,
        )
        planned = plan(seen, SETTINGS, self.now)
        [traffic] = [each.traffic for each in planned.actions if isinstance(each, Publish)]
        for action in planned.actions:
            self._done(action)
        assert planned.book is not None
        self.book = planned.book
        if self.book.rollout is not None:
            self.told = (self.book.rollout.number, self.book.rollout.count)
        return traffic, self.book, standings

    def _edited(self, look: Look) -> None:
        spec, annotations = self.service["spec"], self.service["metadata"]["annotations"]
        if look.edit is not None:
            spec["predictor"]["model"]["storageUri"] = look.edit[0]
            spec.pop("rollout", None)
            if (way := WAYS[look.edit[1]]) is not None:
                spec["rollout"] = way
        spec["predictor"]["replicas"] = look.replicas
        if look.command is not None:
            annotations[COMMAND] = " ".join(look.command)

    def _standing(self, number: int, look: Look) -> Standing:
        if number in look.ending:
            return Standing(Phase.ENDING, look.replicas)
        if number not in look.ready:
            phase = Phase.FAILED if look.broken else Phase.STARTING
            return Standing(phase, 0, look.replicas, "it is broken" if look.broken else "")
        return Standing(Phase.READY, max(look.replicas, 1), look.replicas)

    def _done(self, action: Any) -> None:
        match action:
            case Resolve(track, request, template):
                uri = template["predictor"]["model"]["storageUri"]
                self.resolutions = {track: Resolution(request, Resolved(uri, digest(uri), at=self.now))}
            case CreateRevision(document):
                self.revisions.append(document)
            case WriteStatus(document):
                self.service = msgspec.json.decode(msgspec.json.encode(document))
                running = frozenset(each["spec"]["number"] for each in self.revisions)
                self.wanted = running


@given(st.sampled_from(range(len(WAYS))), st.lists(LOOKS, min_size=3, max_size=16))
@settings(max_examples=200)
def test_what_every_route_keeps_to(way: int, story: list[Look]) -> None:
    """Shares are 100 together, of those who can answer; nobody has none while somebody who may answer can."""
    world = World()
    first = Look(1.0, ("a", 0), None, 1, ALL, frozenset(), False, Evidence(), False)
    second = msgspec.structs.replace(first, edit=("b", way))
    before: set[int] = set()
    for look in (first, first, first, second, second, *story):
        traffic, book, standings = world.look(look)
        shares = {share.revision: share.percent for share in traffic.shares}
        running = {number for number, each in standings.items() if each.phase is not Phase.ENDING}
        ready = {number for number in running if standings[number].ready}
        rollout = book.rollout
        assert sum(shares.values()) in (0, 100)
        assert all(percent > 0 for percent in shares.values())
        assert len(shares) == len(traffic.shares)
        assert shares.keys() <= set(traffic.running)
        if ready & shares.keys():
            assert shares.keys() <= ready
        entitled = {book.rolledout} | before
        if look.replicas == 0:
            assert shares == {}
        elif entitled & ready:
            assert shares
            assert shares.keys() <= ready
        elif not shares:
            assert book.rolledout not in running
        if rollout is not None and not rollout.ended:
            if rollout.at in (State.PENDING, State.WARMING, State.GOLDEN, State.SHADOW) and rollout.stable in ready:
                assert rollout.revision not in shares
            both = look.replicas and {rollout.revision, rollout.stable} <= ready
            if rollout.at in (State.STEP, State.PROMOTING) and both:
                assert shares.get(rollout.revision, 0) == rollout.weight
            assert shares.keys() <= {rollout.revision, rollout.stable} | before
        if rollout is not None and rollout.at is State.SHADOW and not rollout.ended:
            assert traffic.shadow in (rollout.revision, 0)
        else:
            assert traffic.shadow == 0
        before = set(shares)
