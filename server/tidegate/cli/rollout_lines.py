"""A rollout as people see it: all of it as it is now, in lines that are redrawn; or what is new, a line each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len

from tidegate.cli.rollouts import message_of, phase_of, seconds_of, service_of, status_of, titled, took, under_way
from tidegate.cli.tables import age, cell
from tidegate.client.resource_calls import Document
from tidegate.protocol.errors import shown
from tidegate.resources.age import span

DONE, NOW, PAUSED, BROKEN, NEXT = "✓", "▸", "‖", "✗", "·"
"""What stands before a stage."""
EVENTS = 5
"""Of the latest events, how many are shown below."""
_ORDER = ("Warming", "Golden", "Shadow", "Step", "Promoting")
_TITLES = {"Warming": "warm up", "Golden": "golden requests", "Shadow": "shadow", "Promoting": "promote"}
_BAD = ("Aborting", "RolledBack", "Failed", "Superseded")


class Stage(NamedTuple):
    """One line of the list of stages."""

    mark: str
    title: str
    weight: str
    hold: str


def stages(service: Document, rollout: Document) -> list[Stage]:
    """What has been done of a rollout, what is under way, and what is to come.

    The steps are those of the service; a phase that its manifest does not tell of, and has been, is there all the same.
    """
    told = (service.get("spec") or {}).get("rollout") or {}
    at = _position(rollout)
    reached = {*_passed(rollout), at[0]}
    strategy, analysis = rollout["spec"].get("strategy"), told.get("analysis") or {}
    asked = {"Warming", "Promoting"}
    asked |= {"Golden"} if analysis.get("golden") else set()
    asked |= {"Shadow"} if analysis.get("outputs") or strategy == "shadow" else set()
    asked |= {"Step"} if strategy == "canary" or status_of(rollout).get("steps") else set()
    found: list[Stage] = []
    for phase in _ORDER:
        if phase not in asked | reached:
            continue
        if phase == "Step":
            found += _steps(told.get("steps") or [], rollout, at)
        else:
            weight = "100 %" if phase == "Promoting" else ""
            found.append(Stage(_mark((phase, 0), at, rollout), _TITLES[phase], weight, ""))
    return found


def frame(service: Document, rollout: Document, events: Sequence[Document], now: float) -> list[str]:
    """All of a rollout as it is at a time, in lines."""
    lines = [headline(rollout, now)]
    rows = [(stage.mark, stage.title, stage.weight, stage.hold) for stage in stages(service, rollout)]
    for row, line in zip(rows, _aligned(rows, right=(2,)), strict=True):
        waits = outlook(rollout, now) if row[0] in (NOW, PAUSED) else ""
        lines.append(f"  {line}{f'   {waits}' if waits else ''}".rstrip())
    if told := message_of(rollout):
        lines.append(told)
    lines += [f"  {line}" for line in _aligned(verdict_rows(rollout))]
    lines += [f"  {line}" for line in _aligned(_event_rows(rollout, events, now))]
    return lines


def headline(rollout: Document, now: float) -> str:
    spec, name = rollout["spec"], shown(service_of(rollout))
    over = f" takes over from revision {spec['stable']}" if spec.get("stable") else " takes over"
    lasts = took(rollout, now)
    told = f", {'for' if under_way(rollout) else 'after'} {lasts}" if lasts else ""
    return shown(f"{name}: {titled(rollout)}{over}, {spec.get('strategy')}, {phase_of(rollout)}{told}", 500)


def outlook(rollout: Document, now: float) -> str:
    """How long the phase lasts by now, and what comes next when, by the clock of who looks."""
    status = status_of(rollout)
    began = seconds_of(status.get("since"))
    told = [] if began is None else [f"for {span(now - began)}"]
    if phase_of(rollout) == "Paused":
        return ", ".join(["paused", *told]) if told else "paused"
    words = {
        "passAfter": "can pass in {}",
        "passBy": "passes in {} if nothing speaks against it",
        "timeoutAt": "times out in {}",
    }
    for field, text in words.items():
        then = seconds_of(status.get(field))
        if then is not None and then > now:
            told.append(text.format(span(then - now)))
    return "; ".join(told)


def verdict_rows(rollout: Document) -> list[tuple[str, str, str]]:
    """Check, outcome and sentence of each verdict."""
    return [
        (cell(each.get("check")), cell(each.get("outcome")), cell(each.get("sentence") or ""))
        for each in status_of(rollout).get("verdicts") or ()
        if isinstance(each, dict)
    ]


def news(before: Document | None, after: Document) -> list[str]:
    """What is new of a rollout since it was looked at before, a line each: its transitions, and verdicts that are
    others than they were."""
    last = max((_number(each) for each in _transitions(before)), default=0) if before else 0
    lines = [
        f"{shown(each.get('time') or '')} {_passage(each)}" for each in _transitions(after) if _number(each) > last
    ]
    was = {check: outcome for check, outcome, _ in verdict_rows(before)} if before else {}
    for check, outcome, sentence in verdict_rows(after):
        if was.get(check) != outcome:
            lines.append(f"{check}: {outcome}{f' ({sentence})' if sentence else ''}")
    return lines


def event_lines(events: Sequence[Document]) -> list[str]:
    """A line each. Those of rollouts tell what their transitions tell."""
    return [
        shown(f"{each.get('lastTimestamp') or ''} {each.get('reason')}: {each.get('message')}", 1000)
        for each in events
        if not is_of_rollout(each)
    ]


def is_of_rollout(event: Document) -> bool:
    return str(event.get("reason") or "").startswith("Rollout")


def since_begun(rollout: Document, events: Sequence[Document]) -> list[Document]:
    """Those that were told since a rollout has begun."""
    began = seconds_of(status_of(rollout).get("startedAt")) or 0.0
    return [each for each in events if (seconds_of(each.get("lastTimestamp")) or 0.0) >= began]


def _event_rows(rollout: Document, events: Sequence[Document], now: float) -> list[tuple[str, str, str]]:
    return [
        (f"{age(each.get('lastTimestamp'), now)} ago", cell(each.get("reason")), cell(each.get("message")))
        for each in since_begun(rollout, events)[-EVENTS:]
    ]


def _steps(manifest: Sequence[Any], rollout: Document, at: tuple[str, int]) -> Iterator[Stage]:
    status = status_of(rollout)
    count = max(int(status.get("steps") or len(manifest)), at[1])
    for number in range(1, count + 1):
        step = manifest[number - 1] if number <= len(manifest) and isinstance(manifest[number - 1], dict) else {}
        weight = status.get("weight") if ("Step", number) == at and under_test(rollout) else step.get("weight")
        told = "" if weight is None else f"{weight} %"
        yield Stage(_mark(("Step", number), at, rollout), f"step {number} of {count}", told, _hold(step.get("hold")))


def under_test(rollout: Document) -> bool:
    """Whether its weight is that of the step that it is in."""
    return phase_of(rollout) in ("Step", "Paused")


def _hold(hold: Any) -> str:
    told = hold if isinstance(hold, dict) else {}
    words = (("min", "at least"), ("max", "at most"))
    return ", ".join(f"{word} {shown(told[name])}" for name, word in words if told.get(name))


def _position(rollout: Document) -> tuple[str, int]:
    """The phase that a rollout is in or was stopped in, and of steps which; ("", 0) before the first."""
    phase, status = phase_of(rollout), status_of(rollout)
    if phase == "Paused":
        phase = str(status.get("pausedPhase") or "")
    if phase in _BAD or phase == "Succeeded":
        phase = next((each for each in reversed(_passed(rollout)) if each in _ORDER), "")
    if phase == "Step":
        return phase, int(status.get("step") or _steps_begun(rollout))
    return phase if phase in _ORDER else "", 0


def _steps_begun(rollout: Document) -> int:
    """How many, of one that does not say any more which it was in."""
    return sum(each.get("to") == "Step" and each.get("from") != "Paused" for each in _transitions(rollout))


def _mark(stage: tuple[str, int], at: tuple[str, int], rollout: Document) -> str:
    here, there = _rank(at), _rank(stage)
    if there < here or phase_of(rollout) == "Succeeded":
        return DONE
    if there > here:
        return NEXT
    if phase_of(rollout) in _BAD:
        return BROKEN
    return PAUSED if phase_of(rollout) == "Paused" else NOW


def _rank(stage: tuple[str, int]) -> tuple[int, int]:
    return (_ORDER.index(stage[0]) if stage[0] in _ORDER else -1), stage[1]


def _passed(rollout: Document) -> list[str]:
    """The phases that it has been in, in their order."""
    return [str(each.get("from")) for each in _transitions(rollout)]


def _transitions(rollout: Document | None) -> list[Mapping[str, Any]]:
    found = status_of(rollout).get("transitions") if rollout else ()
    return sorted((each for each in found or () if isinstance(each, dict)), key=_number)


def _number(transition: Mapping[str, Any]) -> int:
    number = transition.get("number")
    return number if isinstance(number, int) else 0


def _passage(transition: Mapping[str, Any]) -> str:
    message = transition.get("message")
    told = f": {message}" if message else ""
    return shown(f"{transition.get('from')} → {transition.get('to')}{told}", 1000)


def _aligned(rows: Sequence[tuple[str, ...]], right: Sequence[int] = ()) -> list[str]:
    """Rows in columns, three spaces between, but for a mark one."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for at, (text, width) in enumerate(zip(row, widths, strict=True)):
            pad = " " * (width - cell_len(text))
            cells.append(pad + text if at in right else text + pad)
        gaps = [" " if width == 1 else "   " for width in widths]
        lines.append(
            "".join(text + gap for text, gap, width in zip(cells, gaps, widths, strict=True) if width).rstrip()
        )
    return lines
