"""``tidegate rollout`` against the real resource API: what is followed, what is asked, how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from tidegate.cli.failure import Failure
from tidegate.cli.following import Sight, follow
from tidegate.cli.kinds import find_type, known_types
from tidegate.cli.main import run
from tidegate.cli.rollouts import Judgement
from tidegate.cli.screens import Json, Printed, Redrawn, screen
from tidegate.cli.target import Session
from tidegate.cli.waiting import Deadline
from tidegate.client import Resources
from tidegate.resources.document import Document, GroupKind, Key, key_of
from tidegate.resources.rollout_command import Verb, command_of
from tidegate.resources.store import ChangeType, Store
from tidegate.testing.admin import Administered

Told = Callable[..., tuple[str, str]]
SERVICE = GroupKind("tidegate.dev", "ModelService")
KIND = find_type("ModelService", known_types())
IRIS = """\
apiVersion: tidegate.dev/v1
kind: ModelService
metadata: {name: iris}
spec:
  predictor:
    model: {modelFormat: {name: sklearn}, storageUri: "models:/iris"}
  rollout:
    strategy: canary
    steps: [{weight: 10, hold: {min: 1m}}, {weight: 50, hold: {min: 1m}}]
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Administered]:
    with Administered.start(tmp_path / "state", ready=False) as running:
        monkeypatch.setenv("TIDEGATE_SERVER", running.url)
        monkeypatch.setenv("TIDEGATE_CONFIG", str(tmp_path / "none.yaml"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "iris.yaml").write_text(IRIS)
        yield running


@pytest.fixture
def told(server: Administered, capsys: pytest.CaptureFixture[str]) -> Told:
    """Run a command that ends well (or with ``code``), and return what it says."""

    def run_it(*words: str, code: int = 0) -> tuple[str, str]:
        assert run(words) == code, capsys.readouterr()
        return capsys.readouterr()

    return run_it


def stored(server: Administered) -> Document:
    return server.call(server.store.get(Key(SERVICE, "default", "iris")))


def looked_at(server: Administered, created: int = 2, rolledout: int = 1) -> None:
    """Say that the service answers, and which of its revisions."""
    document = stored(server)
    predictor = {
        "latestCreatedRevision": f"iris-{created:05}",
        "latestRolledoutRevision": f"iris-{rolledout:05}",
        "traffic": [{"revisionName": f"iris-{rolledout:05}", "percent": 100}],
    }
    conditions = [{"type": name, "status": "True"} for name in ("Ready", "LatestDeploymentReady")]
    generation = document["metadata"]["generation"]
    server.set_status(
        document,
        {"observedGeneration": generation, "conditions": conditions, "components": {"predictor": predictor}},
    )


def rollout(phase: str, number: int = 1, revision: int = 2, **status: Any) -> Document:
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingRollout",
        "metadata": {
            "name": f"iris-rollout-{number}",
            "namespace": "default",
            "labels": {"tidegate.dev/service": "iris"},
        },
        "spec": {
            "service": {"kind": "ModelService", "name": "iris"},
            "number": number,
            "revision": revision,
            "stable": 1,
            "strategy": "canary",
        },
        "status": {"phase": phase, **status},
    }


def passage(number: int, before: str, after: str, message: str) -> Document:
    return {"number": number, "time": f"2026-11-27T10:00:0{number}Z", "from": before, "to": after, "message": message}


PASSAGES = [
    passage(1, "Pending", "Warming", "revision 2 is started"),
    passage(2, "Warming", "Step", "it is ready"),
    passage(3, "Step", "Step", "errors: pass"),
    passage(4, "Step", "Promoting", "errors: pass"),
    passage(5, "Promoting", "Succeeded", "it has all of the traffic"),
]
COURSE = [
    rollout("Warming", transitions=PASSAGES[:1]),
    rollout("Step", step=1, steps=2, weight=10, transitions=PASSAGES[:2]),
    rollout("Step", step=2, steps=2, weight=50, transitions=PASSAGES[:3]),
    rollout("Promoting", weight=100, transitions=PASSAGES[:4]),
    rollout("Succeeded", transitions=PASSAGES, startedAt="2026-11-27T10:00:00Z", endedAt="2026-11-27T10:00:05Z"),
]


class Course:
    """A screen that, whenever something new is shown, has the server do the next thing."""

    def __init__(self, inner: Any, steps: Sequence[Callable[[], object]]) -> None:
        self._inner = inner
        self._steps = list(steps)
        self.shown: list[str] = []

    def show(self, sight: Sight, judgement: Judgement, events: Sequence[Document]) -> None:
        self._inner.show(sight, judgement, events)
        if self.shown[-1:] == [judgement.verdict.told]:
            return
        self.shown.append(judgement.verdict.told)
        if self._steps:
            self._steps.pop(0)()


def following(
    server: Administered, inner: Any, steps: Sequence[Callable[[], object]], seconds: float = 60.0, patient: bool = True
) -> Course:
    course = Course(inner, steps)
    with Resources(server.url) as client:
        session = Session(client, server.url, "default", False)
        follow(session, KIND, "iris", Deadline(seconds), course, patient=patient)
    return course


def statuses(server: Administered, course: Sequence[Document]) -> list[Callable[[], object]]:
    return [lambda each=each: server.set_status(each, each["status"]) for each in course]  # type: ignore[misc]


def begun(server: Administered, told: Told, document: Document) -> None:
    """The service, looked at, with one rollout."""
    told("apply", "-f", "iris.yaml")
    looked_at(server)
    server.create(document)


def test_a_rollout_is_followed_line_by_line(server: Administered, told: Told) -> None:
    """From before it begins until it has ended; nothing in it that a terminal would obey."""
    told("apply", "-f", "iris.yaml")
    waited: list[str] = []
    out = io.StringIO()

    def loaded() -> None:
        server.tell(stored(server), "ModelLoaded", "it\x1b[2J took 3 s")
        server.set_status(COURSE[1], COURSE[1]["status"])

    course = following(
        server,
        Printed(out, waited.append),
        [
            lambda: looked_at(server),
            lambda: server.create(COURSE[0]),
            loaded,
            *statuses(server, COURSE[2:]),
        ],
    )
    assert list(dict.fromkeys(waited)) == [
        "the server has not looked at its latest change yet",
        "the rollout of iris-00002 has not begun yet",
    ]
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("iris: revision 2 takes over from revision 1, canary, ")
    assert [line.partition(" ")[2] for line in lines if " → " in line] == [
        f"{each['from']} → {each['to']}: {each['message']}" for each in PASSAGES
    ]
    assert [line.partition(" ")[2] for line in lines if "ModelLoaded" in line] == ["ModelLoaded: it\\x1b[2J took 3 s"]
    assert out.getvalue().replace("\n", "").isprintable()
    assert course.shown[-1] == "revision 2 has taken over after 5s"


def test_a_rollout_is_redrawn_in_a_terminal(server: Administered, told: Told) -> None:
    """Each look in the place of the one before; the last one stays."""
    begun(server, told, COURSE[0])
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=20, legacy_windows=False, no_color=True)
    with Live(console=console, auto_refresh=False) as live:
        following(server, Redrawn(live, lambda told: None, lambda: 1795773605.0), statuses(server, COURSE[1:]))
    drawn = out.getvalue()
    assert "\x1b[1A\x1b[2K" in drawn
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.rpartition("\x1b[2K")[2]).split("\n")
    assert [line.rstrip() for line in last if line.strip()] == [
        "iris: revision 2 takes over from revision 1, canary, Succee…",
        "  ✓ warm up",
        "  ✓ step 1 of 2    10 %   at least 1m",
        "  ✓ step 2 of 2    50 %   at least 1m",
        "  ✓ promote       100 %",
    ]


def test_which_screen_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal is redrawn, unless it cannot be; a pipe never is."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb"):
        for term, kind in (("xterm", Redrawn), ("dumb", Printed)):
            monkeypatch.setenv("TERM", term)
            with screen("text", print, terminal) as shows:
                assert isinstance(shows, kind)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with screen("text", print, io.StringIO()) as shows:
        assert isinstance(shows, Printed)
    with screen("json", print, io.StringIO()) as shows:
        assert isinstance(shows, Json)


def test_a_rollout_may_take_as_long_as_it_does(server: Administered, told: Told) -> None:
    """Where nobody said how long; else it ends with 3."""
    begun(server, told, COURSE[1])
    following(server, Printed(io.StringIO(), print), statuses(server, COURSE[2:]), seconds=0.0)
    server.set_status(COURSE[1], COURSE[1]["status"])
    with pytest.raises(Failure, match=r"was not as wanted within 0 s: revision 2 is in step 1 of 2 \(10 %\)") as caught:
        following(server, Printed(io.StringIO(), print), [], seconds=0.0, patient=False)
    assert caught.value.code == 3


def test_a_newer_rollout_does_not_hide_what_became_of_this_one(server: Administered, told: Told) -> None:
    """It was superseded; a service that is deleted has no rollout."""
    begun(server, told, COURSE[1])
    superseded = rollout("Superseded", message="revision 3 came")
    steps = [lambda: (server.create(rollout("Warming", 2, 3)), *(each() for each in statuses(server, [superseded])))]
    with pytest.raises(Failure, match="'iris' is not rolled out: revision 2 was superseded: revision 3 came"):
        following(server, Printed(io.StringIO(), print), steps)
    with pytest.raises(Failure, match=r"modelservice\.tidegate\.dev/iris was deleted"):
        following(
            server,
            Printed(io.StringIO(), print),
            [lambda: server.call(server.store.delete(Key(SERVICE, "default", "iris")))],
        )


def test_status_ends_as_the_rollout_did(server: Administered, told: Told) -> None:
    """0, 1 or 3, with the reason; in JSON for programs."""
    begun(server, told, COURSE[-1])
    assert told("rollout", "status", "iris")[0].splitlines()[-1] == (
        "modelservice.tidegate.dev/iris rolled out: revision 2 has taken over after 5s"
    )
    server.set_status(COURSE[0], {"phase": "RolledBack", "message": "errors 9 % vs 0.2 %"})
    error, hint = told("rollout", "status", "iris", code=1)[1].splitlines()
    assert error == "error: 'iris' is not rolled out: revision 2 was rolled back: errors 9 % vs 0.2 %"
    assert hint == "hint: `tidegate rollout retry iris` tries it again"
    document = json.loads(told("rollout", "status", "iris", "-o", "json", code=1)[0])
    assert (document["done"], document["rollout"]["status"]["phase"]) == (False, "RolledBack")
    server.set_status(COURSE[0], {"phase": "Paused", "pausedPhase": "Step", "step": 1, "message": "no data"})
    out, err = told("rollout", "status", "iris", code=3)
    assert out == "iris: revision 2 takes over from revision 1, canary, Paused\n"
    assert err.splitlines()[0] == "error: 'iris' is not rolled out: revision 2 is paused in step 1: no data"
    assert "tidegate rollout resume iris" in err.splitlines()[1]


def test_status_without_waiting_shows_all_of_it(server: Administered, told: Told) -> None:
    """The stages as they are, once; ends with 3 while it goes on."""
    begun(server, told, COURSE[1])
    lines = told("rollout", "status", "iris", "--no-watch", code=3)[0].splitlines()
    assert lines[:3] == [
        "iris: revision 2 takes over from revision 1, canary, Step",
        "  ✓ warm up",
        "  ▸ step 1 of 2    10 %   at least 1m",
    ]
    assert lines[-1] == "modelservice.tidegate.dev/iris is not rolled out yet: revision 2 is in step 1 of 2 (10 %)"
    document = json.loads(told("rollout", "status", "iris", "--no-watch", "-o", "json", code=3)[0])
    assert document["message"] == "revision 2 is in step 1 of 2 (10 %)"


def test_history_shows_the_rollouts(server: Administered, told: Told) -> None:
    """Below the revisions: which came how, and why not."""
    begun(server, told, COURSE[-1])
    server.create(rollout("RolledBack", 2, 3, message="errors 9 % vs 0.2 %", endedAt="2026-11-27T10:00:05Z"))
    server.create(
        {
            "apiVersion": "tidegate.dev/v1",
            "kind": "ServingRevision",
            "metadata": {
                "name": "iris-00002",
                "namespace": "default",
                "labels": {"tidegate.dev/service": "iris"},
            },
            "spec": {
                "service": {"kind": "ModelService", "name": "iris"},
                "number": 2, "generation": 1, "template": {}, "resolved": {}, "hash": "sha256:0",
            },
        }
    )  # fmt: skip
    revisions, rollouts = told("rollout", "history", "iris")[0].split("\n\n")
    assert len(revisions.splitlines()) == 2
    head, first, second = rollouts.splitlines()
    assert head.split() == ["ROLLOUT", "REVISION", "FROM", "STRATEGY", "OUTCOME", "TOOK", "AGO", "MESSAGE"]
    assert first.split()[:6] == ["1", "2", "1", "canary", "Succeeded", "5s"]
    assert second.endswith("errors 9 % vs 0.2 %")


async def machine(store: Store, becomes: dict[Verb, Document]) -> None:
    """Carry out what is asked of rollouts, each asking once."""
    done = ""
    async with store.watch(SERVICE) as changes:
        async for change in changes:
            command = None if change.type is ChangeType.DELETED else command_of(change.document)
            if command is None or command.id == done:
                continue
            done = command.id
            after = becomes[command.verb]
            try:
                await store.get(key_of(after))
            except Exception:
                await store.create(after)
            await store.replace_status(after)


@pytest.fixture
def carrying_out(server: Administered) -> Iterator[Callable[..., None]]:
    """Have somebody at the server who does what is asked, with what becomes of it."""
    tasks: list[Any] = []

    def start(becomes: dict[Verb, Document]) -> None:
        tasks.append(asyncio.run_coroutine_threadsafe(machine(server.store, becomes), server._loop))

    yield start
    for task in tasks:
        task.cancel()


def test_what_is_asked_is_carried_out(server: Administered, told: Told, carrying_out: Any) -> None:
    """An annotation, with an id of its own each time; the command ends once the server has done it."""
    begun(server, told, COURSE[1])
    paused = rollout("Paused", pausedPhase="Step", step=1, steps=2, weight=10)
    carrying_out(
        {
            Verb.PAUSE: paused,
            Verb.RESUME: COURSE[1],
            Verb.PROMOTE: COURSE[2],
            Verb.PROMOTE_FULL: COURSE[3],
            Verb.ABORT: rollout("RolledBack", message="it was asked for"),
            Verb.RETRY: rollout("Warming", 2),
        }
    )
    ids = []
    for words, asked, said in (
        (["pause"], "pause", "revision 2 is paused in step 1 of 2 (10 %)"),
        (["resume"], "go on", "revision 2 is in step 1 of 2 (10 %)"),
        (["promote"], "take the next step", "revision 2 is in step 2 of 2 (50 %)"),
        (["promote", "--full"], "take all of the traffic", "revision 2 is taking over"),
        (["abort"], "go back", "revision 2 was rolled back"),
        (["retry"], "begin again", "revision 2 is "),
    ):
        out, err = told("rollout", words[0], "iris", *words[1:])
        assert err == f"modelservice.tidegate.dev/iris: asked to {asked} with revision 2\n"
        assert out.startswith(f"modelservice.tidegate.dev/iris: {said}")
        command = command_of(stored(server))
        assert command is not None
        ids.append(command.id)
    assert len(set(ids)) == 6
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in ids)
    assert told("apply", "-f", "iris.yaml")[0].endswith("unchanged\n")


def test_what_is_asked_need_not_be_waited_for(server: Administered, told: Told) -> None:
    """And if it is, not for ever."""
    begun(server, told, COURSE[1])
    assert told("rollout", "pause", "iris", "--no-wait") == (
        "modelservice.tidegate.dev/iris: asked to pause with revision 2\n",
        "",
    )
    assert str(command_of(stored(server))).startswith("pause ")
    err = told("rollout", "abort", "iris", "--timeout", "0", code=3)[1].splitlines()
    assert err[1] == "error: modelservice/iris was not as wanted within 0 s: the server has not done it yet"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("resume", "iris"), "the rollout of revision 2 of 'iris' is in step 1 of 2 (10 %)"),
        (("retry", "iris"), "the rollout of revision 2 of 'iris' is in step 1 of 2 (10 %)"),
        (("pause", "ns/default"), "'ns/default' is no service"),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(server: Administered, told: Told, words: tuple[str, ...], cause: str) -> None:
    """As wrong usage, and nothing is written."""
    begun(server, told, COURSE[1])
    version = stored(server)["metadata"]["resourceVersion"]
    error, hint = told("rollout", *words, code=2)[1].splitlines()
    assert error.startswith(f"error: {cause}")
    assert hint.startswith("hint: ")
    assert stored(server)["metadata"]["resourceVersion"] == version


def test_apply_says_how_to_follow(server: Administered, told: Told) -> None:
    """Where it takes over by steps; not where nothing changed, nothing was written, or it waits itself."""

    def hint(*words: str) -> list[str]:
        return [line for line in told("apply", "-f", "iris.yaml", *words)[1].splitlines() if line.startswith("hint:")]

    assert hint("--dry-run", "server") == []
    assert hint() == ["hint: `tidegate rollout status iris` shows how it is rolled out"]
    assert hint() == []
    Path("iris.yaml").write_text(IRIS.replace("canary", "blueGreen").replace("    steps", "    # steps"))
    assert hint("-n", "default") == ["hint: `tidegate rollout status iris -n default` shows how it is rolled out"]
    Path("iris.yaml").write_text(IRIS.partition("  rollout")[0])
    assert hint() == []


def test_apply_waits_for_the_end_of_a_rollout(server: Administered, told: Told) -> None:
    """And ends with 1 when it was rolled back, although the service answers."""
    begun(server, told, COURSE[-1])
    out, err = told("apply", "-f", "iris.yaml", "--wait")
    assert out.splitlines() == [
        "modelservice.tidegate.dev/iris unchanged",
        "modelservice.tidegate.dev/iris rolled out: revision 2 has taken over after 5s",
        "modelservice.tidegate.dev/iris ready",
    ]
    assert "Promoting → Succeeded" in err
    server.set_status(COURSE[0], {"phase": "RolledBack", "message": "errors 9 % vs 0.2 %"})
    assert "revision 2 was rolled back: errors 9 %" in told("apply", "-f", "iris.yaml", "--wait", code=1)[1]
    server.set_status(COURSE[0], COURSE[1]["status"])
    assert "step 1 of 2" in told("apply", "-f", "iris.yaml", "--wait", "--timeout", "0", code=3)[1]
