"""Rules for what a rollout goes by: nothing that is said of it is without effect, and each step can be passed."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.resources.faults import Fault, Path, wrong
from tidegate.resources.parts import Part, part, parts
from tidegate.resources.scalars import Duration, Span

COMPARED = ("errors", "latency", "golden", "outputs", "checks")
OF_COPIES = ("errors", "latency", "outputs", "checks")
WITH_STABLE = ("errors", "latency")
_ROLLOUT: Path = ("spec", "rollout")
_ANALYSIS: Path = (*_ROLLOUT, "analysis")


def analysis(document: Part) -> Iterator[Fault]:
    rollout = part(document, "spec", "rollout")
    strategy, told = rollout.get("strategy", "immediate"), rollout.get("analysis")
    if isinstance(told, dict):
        if strategy == "immediate":
            yield Fault(_ANALYSIS, "stands beside the strategy immediate", "none, or another strategy")
        elif not _of(told, COMPARED):
            yield Fault(_ANALYSIS, "compares nothing", f"at least one of {', '.join(COMPARED)}")
        elif strategy == "shadow" and not _of(told, OF_COPIES):
            expected = f"at least one of {', '.join(OF_COPIES)}, for the strategy is shadow"
            yield Fault(_ANALYSIS, "compares no copies", expected)
    elif strategy == "shadow":
        yield Fault(_ANALYSIS, "is missing", "what copies are judged by, for the strategy is shadow")


def step_ends(document: Part) -> Iterator[Fault]:
    rollout = part(document, "spec", "rollout")
    if rollout.get("strategy") != "canary" or isinstance(rollout.get("analysis"), dict):
        return
    for index, step in parts(rollout, "steps"):
        least = part(step, "hold").get("min")
        if _nanoseconds(least) == 0:
            problem = "is missing" if least is None else f"is {least!r}"
            expected = "a time above 0s, or an analysis: else the step is over as it begins"
            yield Fault((*_ROLLOUT, "steps", index, "hold", "min"), problem, expected)


def all_traffic(document: Part) -> Iterator[Fault]:
    rollout = part(document, "spec", "rollout")
    if not (told := _of(part(rollout, "analysis"), WITH_STABLE)):
        return
    for index, step in parts(rollout, "steps"):
        if step.get("weight") == 100:
            expected = f"at most 99, for {' and '.join(told)} are compared with those of the stable revision"
            yield wrong((*_ROLLOUT, "steps", index, "weight"), 100, expected)


def timeout(document: Part) -> Iterator[Fault]:
    rollout = part(document, "spec", "rollout")
    told = part(rollout, "analysis").get("timeout")
    if told is None:
        return
    for index, step in parts(rollout, "steps"):
        for name, hold in part(step, "hold").items():
            if _nanoseconds(hold) > _nanoseconds(told):
                expected = f"at most analysis.timeout, {told}"
                yield wrong((*_ROLLOUT, "steps", index, "hold", name), hold, expected)


def _of(told: Part, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if told.get(name) not in (None, [])]


def _nanoseconds(value: object) -> int:
    return 0 if value is None else Duration(Span("s").read(value)).nanoseconds
