"""From a look at a service to the rollout's machine, and from what the machine says to traffic and actions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from tidegate.analysis.evidence import Evidence
from tidegate.analysis.judge import judge
from tidegate.analysis.settings import AnalysisSettings
from tidegate.analysis.verdict import Outcome, Verdict
from tidegate.control.rollouts.examinations import Examine, Examined
from tidegate.control.rollouts.looking import Counted
from tidegate.control.rollouts.machine import advance
from tidegate.control.rollouts.rollout import Rollout
from tidegate.control.rollouts.situation import Situation
from tidegate.control.rollouts.state import State
from tidegate.control.services.assignment import Assignment
from tidegate.control.services.book import Book
from tidegate.control.services.settings import ServiceSettings
from tidegate.control.services.wish import Wish
from tidegate.resources.actuator import Phase, RevisionId, Standing
from tidegate.resources.document import Document
from tidegate.resources.revision import STABLE
from tidegate.resources.rollout_command import command_of


class Reports(msgspec.Struct, frozen=True):
    """What the shells found out for the rollout of a service."""

    counted: Counted = Counted()
    """Of its requests."""
    examined: Mapping[str, Examined] = {}
    """By the key of the examination."""
    told: tuple[int, int] = (0, 0)
    """The rollout's number, and up to which of its transitions people have been told."""


def situation_of(
    service: Document,
    wish: Wish,
    before: Book,
    assignment: Assignment,
    standings: Mapping[int, Standing],
    reports: Reports,
    for_all: int = 0,
) -> Situation:
    """What the machine is told. ``for_all`` is how many ready replicas it takes for all of the traffic."""
    newest = assignment.newest[STABLE]
    standing = standings.get(newest)
    running = {number for number, each in standings.items() if each.phase is not Phase.ENDING}
    stable = before.rolledout if before.rolledout in assignment.revisions or before.rolledout in running else 0
    return Situation(
        newest=newest,
        stable=stable,
        course=wish.course,
        running=frozenset(running),
        ready=frozenset(number for number in running if standings[number].answers),
        full=standing is not None and standing.full and (standing.asleep or standing.ready >= for_all),
        broken=standing.reason if standing is not None and standing.phase is Phase.FAILED else "",
        undone=newest != 0 and wish.pinned == newest,
        stopped=wish.stopped,
        command=command_of(service),
        counted=reports.counted.evidence,
        golden=_golden(before.rollout, reports.examined),
        checks=tuple(
            reports.examined[key].verdict for key in _check_keys(before.rollout, wish) if key in reports.examined
        ),
    )


def rolled(before: Rollout | None, situation: Situation, reports: Reports, now: float) -> Rollout | None:
    """The rollout after this look. One that has ended is told of before another takes its place."""
    number, told = reports.told
    if before is not None and before.number == number and told > before.told:
        before = msgspec.structs.replace(before, told=told)
    if before is not None and before.ended and before.told < before.count:
        return before
    durations = reports.counted.durations

    def judged(evidence: Evidence, settings: AnalysisSettings, shadow: bool) -> tuple[Verdict, ...]:
        seen = durations if evidence.canary_errors.of else None  # a phase that begins just now has none
        return judge(evidence, settings, shadow=shadow, durations=seen)

    return advance(before, situation, now, judged)


def rejected(rollout: Rollout | None, situation: Situation) -> bool:
    """Whether the newest revision was rejected, and nothing has changed since that would let it try again."""
    if rollout is None or situation.course is None or situation.undone or rollout.left:
        return False
    return rollout.rejected and rollout.revision == situation.newest != situation.stable


def takes_over(rollout: Rollout | None, situation: Situation) -> bool:
    """Whether the newest revision is the stable one once it is ready."""
    if situation.course is None or situation.undone:
        return True
    if rollout is None or rollout.left:
        return False
    return rollout.state is State.SUCCEEDED and rollout.revision == situation.newest


def shown(rollout: Rollout | None, stored: Rollout | None, now: float, every: float) -> Rollout | None:
    """The rollout as it is written down: what is counted changes with every look, and is not written with each."""
    if rollout is None:
        return None
    if stored is None or stored.count != rollout.count or stored.number != rollout.number:
        return msgspec.structs.replace(rollout, reported=now)
    was = msgspec.structs.replace(rollout, evidence=stored.evidence, verdicts=stored.verdicts, reported=stored.reported)
    same = (rollout.evidence, rollout.verdicts) == (stored.evidence, stored.verdicts)
    return was if same or 0 <= now - stored.reported < every else msgspec.structs.replace(rollout, reported=now)


def examinations(
    rollout: Rollout | None, wish: Wish, reports: Reports, settings: ServiceSettings, where: tuple[str, str], now: float
) -> Iterator[Examine]:
    """What is to be found out now."""
    if rollout is None or rollout.ended or wish.course is None:
        return
    stable, canary = (RevisionId(*where, number) for number in (rollout.stable, rollout.revision))
    if rollout.state is State.GOLDEN and wish.course.golden is not None:
        key = _golden_key(rollout)
        found = reports.examined.get(key)
        missing = found is not None and found.verdict.outcome is Outcome.NO_DATA
        if found is None or (missing and now >= found.at + settings.examine_again):
            yield Examine(key, wish.course.golden, stable, canary, str(rollout.state))
    for key, check in zip(_check_keys(rollout, wish), wish.course.checks, strict=False):
        found = reports.examined.get(key)
        every = check.interval.seconds if check.interval else settings.examine_again
        if found is None or now >= found.at + every:
            yield Examine(key, check, stable, canary, str(rollout.at))


def keys_of(rollout: Rollout | None, wish: Wish) -> frozenset[str]:
    """The examinations that are of concern for a rollout as it stands."""
    golden = () if rollout is None or rollout.ended or rollout.at is not State.GOLDEN else (_golden_key(rollout),)
    return frozenset((*golden, *_check_keys(rollout, wish)))


def examine_at(rollout: Rollout | None, wish: Wish, reports: Reports, settings: ServiceSettings) -> float | None:
    """When the golden requests are to be sent again; checks are asked at looks that come anyway."""
    if rollout is None or rollout.state is not State.GOLDEN or wish.course is None:
        return None
    found = reports.examined.get(_golden_key(rollout))
    return None if found is None else found.at + settings.examine_again


def _golden(rollout: Rollout | None, examined: Mapping[str, Examined]) -> Verdict | None:
    found = None if rollout is None else examined.get(_golden_key(rollout))
    return None if found is None else found.verdict


def _golden_key(rollout: Rollout) -> str:
    return f"{rollout.number}/{rollout.renewed}/golden"


def _check_keys(rollout: Rollout | None, wish: Wish) -> tuple[str, ...]:
    """Of each of the user's own checks, in their order; none where none is asked."""
    if rollout is None or rollout.ended or wish.course is None or rollout.at not in (State.SHADOW, State.STEP):
        return ()
    return tuple(f"{rollout.number}/{rollout.renewed}/check/{check.name}" for check in wish.course.checks)
