"""How a rollout stands, in words and in lines. Pure: documents and a time in, text out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.rollout_lines import event_lines, frame, headline, news, outlook, stages
from tidegate.cli.rollouts import as_document, concluded, judged, rows_of, under_way, where
from tidegate.cli.screens import styled
from tidegate.cli.steering import MEANS, carried_out, refusal
from tidegate.resources.revision import timestamp
from tidegate.resources.rollout_command import Verb
from tidegate.resources.serving_rollout import ServingRollout

NOW = 1_800_000_000.0
PHASES = (
    "Pending", "Warming", "Golden", "Shadow", "Step", "Promoting", "Aborting", "Paused",
    "Succeeded", "RolledBack", "Failed", "Superseded",
)  # fmt: skip
LATEST = {"type": "LatestDeploymentReady", "status": "True"}
KNOWN = {"type": "PredictorConfigurationReady", "status": "True"}
STEPS = [{"weight": 1, "hold": {"min": "1m", "max": "10m"}}, {"weight": 10, "hold": {"min": "5m"}}, {"weight": 50}]


def at(seconds: float) -> str:
    return timestamp(NOW + seconds)


def rollout(phase: str = "Step", number: int = 4, revision: int = 3, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ServingRollout",
        "metadata": {"name": f"iris-rollout-{number}", "namespace": "default"},
        "spec": {
            "service": {"kind": "ModelService", "name": "iris"},
            "number": number, "revision": revision, "stable": 2, "strategy": "canary",
        },
        "status": {"phase": phase, "startedAt": at(-720), **status},
    }  # fmt: skip


def service(**status: Any) -> dict[str, Any]:
    """One whose newest revision is 3, and which says that all is well."""
    predictor = {"latestCreatedRevision": "iris-00003", "latestRolledoutRevision": "iris-00002", **status}
    told = {"observedGeneration": 5, "conditions": [LATEST, KNOWN], "components": {"predictor": predictor}}
    analysis = {"golden": {"uri": "g"}, "outputs": {"maxDifferent": 0.1}}
    return {
        "apiVersion": "tidegate.dev/v1",
        "kind": "ModelService",
        "metadata": {"name": "iris", "namespace": "default", "generation": 5},
        "spec": {"rollout": {"strategy": "canary", "steps": STEPS, "analysis": analysis}},
        "status": told,
    }


IN_STEP: dict[str, Any] = {
    "step": 2,
    "steps": 3,
    "weight": 10,
    "message": "errors 0.2 % vs 0.2 %, n = 431",
    "since": at(-130),
    "passAfter": at(170),
    "passBy": at(470),
    "timeoutAt": at(1670),
    "verdicts": [
        {"check": "errors", "outcome": "pass", "sentence": "0.2 % vs 0.2 %, n = 431"},
        {"check": "latency", "outcome": "undecided", "sentence": "n = 431, expected 500"},
    ],
    "transitions": [
        {"number": 1, "time": at(-720), "from": "Pending", "to": "Warming", "message": "revision 3 is started"},
        {"number": 2, "time": at(-700), "from": "Warming", "to": "Golden", "message": "it is ready"},
        {"number": 3, "time": at(-690), "from": "Golden", "to": "Shadow", "message": "12 of 12 requests"},
        {"number": 4, "time": at(-500), "from": "Shadow", "to": "Step", "message": "outputs: pass"},
        {"number": 5, "time": at(-130), "from": "Step", "to": "Step", "message": "step 1/3 1 %: pass"},
    ],
}


def test_a_rollout_under_way_is_seen_whole() -> None:
    """Its stages with weights and holds, how far it is, what comes next and when, the verdicts, the events."""
    told = [
        {"lastTimestamp": at(-3600), "reason": "Ready", "message": "long ago"},
        {"lastTimestamp": at(-130), "reason": "RolloutStep", "message": "step 1/3 1 %: pass"},
    ]
    assert frame(service(), rollout(**IN_STEP), told, NOW) == [
        "iris: revision 3 takes over from revision 2, canary, Step, for 12m",
        "  ✓ warm up",
        "  ✓ golden requests",
        "  ✓ shadow",
        "  ✓ step 1 of 3         1 %   at least 1m, at most 10m",
        "  ▸ step 2 of 3        10 %   at least 5m   for 2m10s; can pass in 2m50s; passes in 7m50s if nothing speaks "
        "against it; times out in 27m",
        "  · step 3 of 3        50 %",
        "  · promote           100 %",
        "errors 0.2 % vs 0.2 %, n = 431",
        "  errors    pass        0.2 % vs 0.2 %, n = 431",
        "  latency   undecided   n = 431, expected 500",
        "  2m10s ago   RolloutStep   step 1/3 1 %: pass",
    ]


@pytest.mark.parametrize(
    ("phase", "status", "marks"),
    [
        ("Pending", {}, "·······"),
        ("Warming", {}, "▸······"),
        ("Golden", {}, "✓▸·····"),
        ("Shadow", {}, "✓✓▸····"),
        ("Step", {"step": 1}, "✓✓✓▸···"),
        ("Step", {"step": 3}, "✓✓✓✓✓▸·"),
        ("Promoting", {}, "✓✓✓✓✓✓▸"),
        ("Succeeded", {}, "✓✓✓✓✓✓✓"),
        ("Paused", {"pausedPhase": "Step", "step": 2}, "✓✓✓✓‖··"),
        ("Paused", {"pausedPhase": "Golden"}, "✓‖·····"),
        ("Aborting", {"step": 2, "transitions": IN_STEP["transitions"]}, "✓✓✓✓✗··"),
        ("RolledBack", {"transitions": IN_STEP["transitions"]}, "✓✓✓✓✗··"),
        ("Failed", {"transitions": IN_STEP["transitions"][:2]}, "✗······"),
    ],
)
def test_each_stage_has_its_mark(phase: str, status: dict[str, Any], marks: str) -> None:
    """Done, under way, paused, where it broke off, to come."""
    assert "".join(each.mark for each in stages(service(), rollout(phase, **status))) == marks


def test_stages_are_those_of_the_manifest_and_those_that_were() -> None:
    """Without an analysis there are none for it; what was done before the manifest changed is not hidden."""
    plain = service()
    plain["spec"]["rollout"] = {"strategy": "blueGreen"}
    other = rollout("Warming")
    other["spec"]["strategy"] = "blueGreen"
    assert [each.title for each in stages(plain, other)] == ["warm up", "promote"]
    assert [each.title for each in stages(plain, rollout(**IN_STEP))] == [
        "warm up", "golden requests", "shadow", "step 1 of 3", "step 2 of 3", "step 3 of 3", "promote",
    ]  # fmt: skip
    del plain["spec"]["rollout"]
    assert stages(plain, rollout(**IN_STEP))[4].weight == "10 %"


def test_the_head_says_how_long_it_goes_on_or_took() -> None:
    """By its own times once it has ended."""
    assert headline(rollout(), NOW).endswith("canary, Step, for 12m")
    assert headline(rollout("RolledBack", endedAt=at(-600)), NOW).endswith("canary, RolledBack, after 2m")


def test_times_that_are_over_are_not_counted_down() -> None:
    """Nor those that are not known; a pause has its length alone."""
    assert outlook(rollout(since=at(-5), passAfter=at(-1), timeoutAt="soon"), NOW) == "for 5s"
    assert outlook(rollout("Paused", since=at(-300), timeoutAt=at(9)), NOW) == "paused, for 5m"
    assert outlook(rollout(), NOW) == ""


def test_news_are_told_once() -> None:
    """Transitions by their numbers, verdicts when they are others; numbers alone are no news."""
    before = rollout(**IN_STEP)
    lines = news(None, before)
    assert lines[0] == f"{at(-720)} Pending → Warming: revision 3 is started"
    assert lines[-2:] == ["errors: pass (0.2 % vs 0.2 %, n = 431)", "latency: undecided (n = 431, expected 500)"]
    assert len(lines) == 7
    more = {"check": "errors", "outcome": "pass", "sentence": "0.2 % vs 0.2 %, n = 500"}
    failed = {"check": "latency", "outcome": "fail", "sentence": "p95 is 1.9 times as long"}
    after = rollout(**IN_STEP | {"verdicts": [more, failed]})
    assert news(before, after) == ["latency: fail (p95 is 1.9 times as long)"]
    passed = {"number": 6, "time": at(0), "from": "Step", "to": "Aborting", "message": "latency\x1b[2J"}
    gone = rollout("Aborting", **{k: v for k, v in after["status"].items() if k not in ("phase", "startedAt")})
    gone["status"]["transitions"] = [*IN_STEP["transitions"], passed]
    assert news(after, gone) == [f"{at(0)} Step → Aborting: latency\\x1b[2J"]


def test_events_of_rollouts_are_transitions() -> None:
    """Which are told as such; the others are told."""
    events = [
        {"lastTimestamp": at(0), "reason": "RolloutStep", "message": "a"},
        {"lastTimestamp": at(0), "reason": "ModelLoadFailed", "message": "b"},
    ]
    assert event_lines(events) == [f"{at(0)} ModelLoadFailed: b"]


TEXT = st.text(max_size=8) | st.none() | st.integers() | st.booleans()
STATUSES = st.fixed_dictionaries(
    {"phase": st.sampled_from(PHASES)},
    optional={
        "message": TEXT,
        "step": st.integers(0, 5),
        "steps": st.integers(0, 4),
        "weight": st.integers(0, 100),
        "pausedPhase": st.sampled_from(PHASES),
        "since": TEXT,
        "startedAt": TEXT,
        "verdicts": st.lists(
            st.dictionaries(st.sampled_from(["check", "outcome", "sentence"]), TEXT) | TEXT, max_size=3
        ),
        "transitions": st.lists(
            st.dictionaries(st.sampled_from(["number", "time", "from", "to", "message"]), TEXT) | TEXT, max_size=3
        ),
    },
)


@given(STATUSES, STATUSES)
def test_whatever_the_status_is_lines_are_printable(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Of a server that is newer, or wrong: no error, and no character that a terminal would obey."""
    before, after = rollout(), rollout()
    before["status"], after["status"] = one, other
    lines = [*frame(service(), after, [{"lastTimestamp": one.get("since")}], NOW), *news(before, after)]
    lines += [where(after), concluded(after).verdict.told, *map(str, rows_of([before, after], NOW))]
    assert all(line.isprintable() for line in lines)


def test_what_is_watched_is_what_counts() -> None:
    """Under way, done, or ended badly with the reason; the one that is watched, whatever comes after it."""
    going = judged(service(), [rollout("Succeeded", 3), rollout(**IN_STEP)])
    assert going.verdict == (False, "revision 3 is in step 2 of 3 (10 %): errors 0.2 % vs 0.2 %, n = 431")
    assert going.rollout is not None
    assert going.failure is None
    done = judged(service(), [rollout("Succeeded", endedAt=at(0))])
    assert done.verdict == (True, "revision 3 has taken over after 12m")
    back = judged(service(), [rollout("RolledBack", message="errors 9 %")]).failure
    assert back is not None
    assert (back.cause, back.code) == ("'iris' is not rolled out: revision 3 was rolled back: errors 9 %", Exit.FAILED)
    assert back.hint == "`tidegate rollout retry iris` tries it again"
    newer = [rollout("Superseded", 4, message="revision 4 came"), rollout("Step", 5, 4)]
    left = judged(service(), newer, "iris-rollout-4").failure
    assert left is not None
    assert (left.cause, left.hint) == ("'iris' is not rolled out: revision 3 was superseded: revision 4 came", "")
    assert judged(service(), newer).failure is None


def test_a_pause_is_not_ready_and_says_how_to_go_on() -> None:
    """With what it waits for."""
    stays = judged(service(), [rollout("Paused", pausedPhase="Step", step=2, steps=3, message="no data for 30m")])
    assert stays.failure is not None
    assert stays.failure.code == Exit.NOT_READY
    assert stays.failure.cause == ("'iris' is not rolled out: revision 3 is paused in step 2 of 3: no data for 30m")
    assert "`tidegate rollout resume iris`" in stays.failure.hint


def test_what_ended_says_nothing_of_what_came_after_it() -> None:
    """A change that nobody has looked at, a model that is being found out, a revision that has no rollout yet."""
    ended = [rollout("RolledBack", 4, 2), rollout("Succeeded", 5, 3)]
    unseen = service()
    unseen["metadata"]["generation"] = 6
    assert judged(unseen, ended).verdict == (False, "the server has not looked at its latest change yet")
    resolving = service()
    resolving["status"]["conditions"] = [
        {"type": "LatestDeploymentReady", "status": "Unknown", "message": "its model is being resolved"},
        {"type": "PredictorConfigurationReady", "status": "Unknown"},
    ]
    assert judged(resolving, ended).verdict == (False, "its model is being resolved")
    begun = judged(service(latestCreatedRevision="iris-00004"), ended)
    assert begun.verdict == (False, "the rollout of iris-00004 has not begun yet")
    undone = service(latestCreatedRevision="iris-00002", latestRolledoutRevision="iris-00002")
    assert judged(undone, ended) == ((True, "no traffic yet"), None, None)
    missing = service()
    missing["status"]["conditions"] = [{**LATEST, "status": "False", "message": "no file"}]
    with pytest.raises(Failure, match="no file"):
        judged(missing, [])


def test_without_steps_readiness_counts() -> None:
    """As it always has: of a service that changes at once, rollouts that have ended say nothing."""
    plain = service(traffic=[{"revisionName": "iris-00003", "percent": 100}])
    plain["spec"] = {}
    assert judged(plain, [rollout("RolledBack")]).verdict == (True, "100 % to iris-00003")
    assert judged(plain, [rollout("Warming")]).verdict.met is False


def test_programs_read_all_of_it() -> None:
    """The sentence, whether it is done, and the rollout with its status."""
    told = as_document(service(), judged(service(), [rollout(**IN_STEP)]))
    assert (told["service"], told["done"], told["rollout"]["status"]["step"]) == ("iris", False, 2)
    assert as_document(service(), judged(service(), [rollout("RolledBack", message="errors")]))["message"].endswith(
        "was rolled back: errors"
    )


def test_history_says_how_each_revision_came() -> None:
    """Of one under way how far it is."""
    rows = rows_of([rollout("RolledBack", 4, 3, endedAt=at(-600), message="errors"), rollout(**IN_STEP)], NOW)
    assert rows == [
        (4, 3, 2, "canary", "RolledBack", "2m", "10m", "errors"),
        (4, 3, 2, "canary", "Step 2/3", "12m", "", "errors 0.2 % vs 0.2 %, n = 431"),
    ]


@pytest.mark.parametrize("phase", PHASES)
def test_a_verb_is_refused_where_it_means_nothing(phase: str) -> None:
    """With a sentence that says how it stands instead, as wrong usage."""
    own = [rollout("Succeeded", 3), rollout(phase, pausedPhase="Step", step=1)]
    for verb in Verb:
        refused = refusal(verb, "iris", own)
        assert (refused is None) is (phase in MEANS[verb])
        if refused is not None:
            assert refused.code == Exit.USAGE
            assert "revision 3 of 'iris'" in refused.cause
    assert refusal(Verb.ABORT, "iris", own) is None or phase in ("Aborting", *PHASES[8:])


def test_the_refusals_in_words() -> None:
    """What there is not, what is over, what goes on."""
    causes = [
        refusal(verb, "iris", own).cause  # type: ignore[union-attr]
        for verb, own in (
            (Verb.PAUSE, []),
            (Verb.PAUSE, [rollout("Succeeded")]),
            (Verb.RESUME, [rollout(**IN_STEP)]),
            (Verb.PAUSE, [rollout("Paused", pausedPhase="Golden")]),
        )
    ]
    assert causes == [
        "'iris' has no rollout",
        "nothing goes on: revision 3 of 'iris' has taken over",
        "the rollout of revision 3 of 'iris' is in step 2 of 3 (10 %)",
        "the rollout of revision 3 of 'iris' is paused at its golden requests",
    ]


@pytest.mark.parametrize(
    ("verb", "before", "after", "told"),
    [
        (Verb.PROMOTE, ("Step", {"step": 1}), ("Step", {"step": 1}), ""),
        (Verb.PROMOTE, ("Step", {"step": 1}), ("Step", {"step": 2, "steps": 3}), "revision 3 is in step 2 of 3"),
        (Verb.PROMOTE, ("Step", {"step": 3}), ("Promoting", {}), "revision 3 is taking over"),
        (Verb.PROMOTE, ("Paused", {"pausedPhase": "Step", "step": 1}), ("Step", {"step": 1}), ""),
        (Verb.PROMOTE, ("Step", {"step": 3}), ("Succeeded", {}), "revision 3 has taken over"),
        (Verb.PROMOTE_FULL, ("Step", {"step": 1}), ("Step", {"step": 2}), ""),
        (Verb.PROMOTE_FULL, ("Step", {"step": 1}), ("Promoting", {}), "revision 3 is taking over"),
        (Verb.PAUSE, ("Step", {}), ("Paused", {"pausedPhase": "Shadow"}), "revision 3 is paused in its shadow phase"),
        (Verb.RESUME, ("Paused", {}), ("Golden", {}), "revision 3 is at its golden requests"),
        (Verb.RESUME, ("Paused", {}), ("Paused", {}), ""),
        (Verb.ABORT, ("Step", {}), ("Aborting", {}), "revision 3 is going back"),
        (Verb.ABORT, ("Step", {}), ("RolledBack", {}), "revision 3 was rolled back"),
    ],
)
def test_a_verb_is_carried_out_when_that_is_seen(
    verb: Verb, before: tuple[str, dict[str, Any]], after: tuple[str, dict[str, Any]], told: str
) -> None:
    """By what the rollout is then."""
    assert carried_out(verb, rollout(before[0], **before[1]), [rollout(after[0], **after[1])]) == told


def test_a_verb_can_come_too_late() -> None:
    """The rollout has ended otherwise meanwhile: nobody waits for what cannot come."""
    with pytest.raises(Failure, match="it came too late to take the next step: revision 3 was rolled back: errors"):
        carried_out(Verb.PROMOTE, rollout("Step"), [rollout("RolledBack", message="errors")])
    again = [rollout("RolledBack"), rollout("Warming", 5)]
    assert carried_out(Verb.RETRY, rollout("RolledBack"), again[:1]) == ""
    assert carried_out(Verb.RETRY, rollout("RolledBack"), again) == "revision 3 is warming up"


def test_the_documents_here_are_rollouts() -> None:
    """As the server has them."""
    from tidegate.resources.decode import decode

    assert isinstance(decode(rollout(**IN_STEP), strict=True), ServingRollout)
    assert under_way(rollout())
    assert styled("  ✗ step").style == "bold red"
