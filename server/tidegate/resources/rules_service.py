"""Rules for services, of KServe's kind and of ours; ``rules`` has the table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tidegate.resources.faults import Fault, Path, wrong
from tidegate.resources.parts import (
    FRAMEWORKS,
    Part,
    at,
    components,
    containers,
    is_collocated,
    models,
    part,
    parts,
    predictors,
    variables,
)
from tidegate.resources.scalars import Duration, Span

MAX_NAME = 63 - len("-transformer")
_METRICS = {"kpa": ("concurrency", "rps"), "hpa": ("cpu", "memory"), "ray": ("concurrency",), "qda": (), "fixed": ()}


def name_length(document: Part) -> Iterator[Fault]:
    name = at(document, "metadata", "name") or ""
    if len(name) > MAX_NAME:
        yield Fault(("metadata", "name"), f"has {len(name)} characters", f"at most {MAX_NAME}", name)


def one_predictor(document: Part) -> Iterator[Fault]:
    for path, predictor in predictors(document):
        beside = is_collocated(predictor)
        told = [key for key in ("model", *FRAMEWORKS) if key in predictor]
        told += ["containers"] if predictor.get("containers") and not (beside and told) else []
        if len(told) != 1:
            yield _one_of(
                path, told, "model (or a framework's old key)" if _is_kserve(document) else "model", "containers"
            )


def one_companion(document: Part) -> Iterator[Fault]:
    for name, choice in (("transformer", "builtin"), ("explainer", "art")):
        component = at(document, "spec", name)
        if not isinstance(component, dict):
            continue
        choices = ["containers", choice] if _knows(document, choice) else ["containers"]
        told = [key for key in choices if component.get(key) not in (None, [])]
        if len(told) != 1:
            yield _one_of(("spec", name), told, *choices)


def bounds(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        least, most = component.get("minReplicas", 1), component.get("maxReplicas", 0)
        if least > most > 0:
            yield wrong((*path, "maxReplicas"), most, f"0 (no bound) or at least minReplicas, {least}")


def one_place(document: Part) -> Iterator[Fault]:
    for path, model in models(document):
        if "storageUri" in model and "storage" in model:
            yield Fault((*path, "storage"), "stands beside storageUri", "one of them")


def python_path(document: Part) -> Iterator[Fault]:
    for path, container in containers(document):
        for place, name, value in variables(path, container):
            if name == "PYTHONPATH":
                yield Fault((*place, "name"), "is 'PYTHONPATH'", "a variable that changes no import", value)


def container_names(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        seen: set[str] = set()
        for index, container in parts(component, "containers"):
            name = container.get("name") or ""
            if name in seen:
                problem = f"is '{name}' once more" if name else "is missing"
                yield Fault((*path, "containers", index, "name"), problem, "a name of its own", name)
            seen.add(name)


def canary_shares(document: Part) -> Iterator[Fault]:
    total = sum(canary.get("trafficPercent", 0) for _, canary in parts(document, "spec", "canary"))
    if total > 100:
        yield Fault(("spec", "canary"), f"has {total} per cent of the traffic together", "at most 100", total)


def one_split(document: Part) -> Iterator[Fault]:
    if not isinstance(at(document, "spec", "rollout"), dict):
        return
    name = "canaryTrafficPercent"
    by_hand: list[Path] = [(*path, name) for path, each in predictors(document) if name in each]
    by_hand += [("spec", "canary")] if at(document, "spec", "canary") else []
    for path in by_hand:
        yield Fault(path, "stands beside spec.rollout", "one of them, for both split the traffic")


def steps(document: Part) -> Iterator[Fault]:
    rollout = part(document, "spec", "rollout")
    strategy, told = rollout.get("strategy", "immediate"), rollout.get("steps")
    path: Path = ("spec", "rollout", "steps")
    if strategy == "canary" and not told:
        yield Fault(path, "is missing" if told is None else "is empty", "at least one, for the strategy is canary")
    if strategy != "canary" and told:
        yield Fault(path, f"stands beside the strategy {strategy}", "none, or the strategy canary")
    weights = [(index, each["weight"]) for index, each in parts(rollout, "steps") if "weight" in each]
    for (_, before), (index, weight) in pairwise(weights):
        if weight <= before:
            yield wrong((*path, index, "weight"), weight, f"more than that of the step before, {before}")


def holds(document: Part) -> Iterator[Fault]:
    for index, step in parts(document, "spec", "rollout", "steps"):
        hold = part(step, "hold")
        if "min" in hold and "max" in hold and _duration(hold["min"]) > _duration(hold["max"]):
            yield wrong(("spec", "rollout", "steps", index, "hold", "max"), hold["max"], f"at least min, {hold['min']}")


def own_checks(document: Part) -> Iterator[Fault]:
    at_checks: Path = ("spec", "rollout", "analysis", "checks")
    seen: set[str] = set()
    for index, check in parts(document, *at_checks):
        path: Path = (*at_checks, index)
        yield from _exactly_one(path, check, ("webhook", "prometheus"))
        name = check.get("name")
        if isinstance(name, str) and name in seen:
            yield Fault((*path, "name"), f"is '{name}' once more", "a name of its own", name)
        seen.add(str(name))
        if isinstance(query := check.get("prometheus"), dict):
            least, most = query.get("min"), query.get("max")
            if least is None and most is None:
                yield Fault((*path, "prometheus"), "has no min and no max", "at least one of them")
            elif least is not None and most is not None and least > most:
                yield wrong((*path, "prometheus", "max"), most, f"at least min, {least}")


def sizes(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        batcher = part(component, "batcher")
        most = batcher.get("maxBatchSize", 32)
        allowed = batcher.get("allowedSizes") or []
        yield from _ascending((*path, "batcher", "allowedSizes"), allowed)
        for index, size in enumerate(allowed):
            if isinstance(size, int) and size > most:
                yield wrong((*path, "batcher", "allowedSizes", index), size, f"at most maxBatchSize, {most}")
        for dimension, padded in part(batcher, "pad").items():
            yield from _ascending((*path, "batcher", "pad", dimension), padded or [])


def priorities(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        told = part(component, "batcher", "priorities")
        levels, default = told.get("levels", 9), told.get("default", 5)
        if default > levels:
            yield wrong((*path, "batcher", "priorities", "default"), default, f"at most levels, {levels}")


def scale_policy(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        policy = part(component, "scalePolicy")
        name = policy.get("name", "qda")
        known = _METRICS[name]
        path = (*path, "scalePolicy")
        if "metric" in policy and policy["metric"] not in known:
            yield wrong((*path, "metric"), policy["metric"], f"{' or '.join(known) or 'none'} for {name}")
        if "target" in policy and not known:
            yield wrong((*path, "target"), policy["target"], f"none for {name}, which has no metric")
        if "metricType" in policy and name != "hpa":
            yield wrong((*path, "metricType"), policy["metricType"], f"none for {name}; it is hpa's")
        if "preference" in policy and name != "qda":
            yield wrong((*path, "preference"), policy["preference"], f"none for {name}; it is qda's")


def one_thing(document: Part) -> Iterator[Fault]:
    for index, channel in parts(document, "spec", "notify"):
        yield from _exactly_one(("spec", "notify", index), channel, ("slack", "teams", "webhook"))
    for path, predictor in predictors(document):
        for index, sample in parts(predictor, "warmup"):
            yield from _exactly_one((*path, "warmup", index), sample, ("file", "batchSize"))
    builtin = at(document, "spec", "transformer", "builtin")
    if isinstance(builtin, dict):
        yield from _exactly_one(("spec", "transformer", "builtin"), builtin, ("image", "text", "tabular", "topK"))


def _exactly_one(path: Path, section: Part, choices: Sequence[str]) -> Iterator[Fault]:
    told = [name for name in choices if name in section]
    if len(told) != 1:
        yield _one_of(path, told, *choices)


def _one_of(path: Path, told: Sequence[str], *choices: str) -> Fault:
    problem = f"has {' and '.join(told)}" if told else f"has no {' and no '.join(choices)}"
    return Fault(path, problem, f"exactly one of {', '.join(choices)}" if len(choices) > 1 else choices[0])


def _ascending(path: Path, numbers: Sequence[Any]) -> Iterator[Fault]:
    for index, (before, number) in enumerate(pairwise(numbers), start=1):
        if isinstance(before, int) and isinstance(number, int) and number <= before:
            yield wrong((*path, index), number, f"more than the one before, {before}")


def _duration(value: Any) -> int:
    return Duration(Span("s").read(value)).nanoseconds


def _is_kserve(document: Part) -> bool:
    return bool(document.get("kind") == "InferenceService")


def _knows(document: Part, choice: str) -> bool:
    return _is_kserve(document) == (choice == "art")
