"""``tidegate simulate``: what scaling policies would have cost, and who would have waited, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.group import Count, Positive

if TYPE_CHECKING:
    from tidegate.autoscaler.simulator.conditions import Conditions
    from tidegate.autoscaler.simulator.outcome import Outcome
    from tidegate.autoscaler.simulator.plays import Play
    from tidegate.autoscaler.simulator.source import Source
    from tidegate.autoscaler.simulator.workload import Service, Workload


def simulate(
    *,
    trace: str,
    policy: str = "qda,kpa,hpa,ray",
    slo: str = "",
    service: str = "",
    batch: Positive = 1,
    batch_base: str = "0ms",
    start: str = "5",
    seeds: Positive = 3,
    sweep: Annotated[bool, Parameter(negative=())] = False,
    duration: str = "",
    speed: Annotated[float, Parameter(validator=Number(gt=0))] = 1.0,
    function: str = "",
    min_replicas: Count = 1,
    max_replicas: Positive = 400,
    plant: Literal["own", "product"] = "own",
    mean_life: str = "",
    blackout: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
) -> int:
    """Play scaling policies against a workload: who would have waited, and what it would have cost.

    Parameters
    ----------
    trace
        A workload of the catalogue (step, ramp, diurnal, flash, mmpp, llm_code, …; a wrong name lists them), or a
        file: seconds of arrivals, one a line; Azure's LLM inference trace; Azure's Functions trace, with --function.
    policy
        Policies, with commas between them: qda, qda@PREFERENCE, kpa@TARGET, hpa@TARGET, ray@TARGET, fixed@REPLICAS,
        and settings after them: kpa@0.7:scale_down_delay=300, hpa@0.7:down_window=60. Targets are shares of what a
        replica can have in progress.
    slo
        Within which a request is to be answered: 200ms. That of the workload; for a file, four times --service.
    service
        What a request takes: 50ms; with --batch, each row of an execution. That of the workload; for a file, 100ms.
    batch
        Requests that are executed at once at most; only with --service.
    batch_base
        What an execution takes beside its rows; only with --service.
    start
        Seconds from the order of a replica until it is ready, with commas between several: 1,5,30,100.
    seeds
        Runs of each, from which the intervals are.
    sweep
        Try each policy with several values of its knob.
    duration
        Only so much of the workload, from its beginning: 10m.
    speed
        Play it so many times as fast.
    function
        Of Azure's Functions trace: how the function's name begins. Its days are runs, as seeds are.
    min_replicas
        Replicas that there are at least.
    max_replicas
        Replicas that there are at most.
    plant
        own: each replica has a queue, and metrics count them; product: this server's queue, batches and dispatch.
    mean_life
        After which a replica dies, on average: 20m. None does without it.
    blackout
        From second to second there are no metrics: 600:660. Once per blackout.
    output
        How to write it; json has the rows of the table and the outcome of each run.
    """
    from tidegate.autoscaler.simulator.contestants import parse, swept
    from tidegate.autoscaler.simulator.plays import Play
    from tidegate.autoscaler.simulator.table import rows
    from tidegate.cli.simulated import as_json, as_text

    contestants = [parse(name) for name in policy.split(",")]
    if sweep:
        contestants = swept(contestants)
    if (batch > 1 or batch_base != "0ms") and not service:
        raise Failure(
            "--batch and --batch-base need --service", "--service 20ms --batch 8 --batch-base 60ms", Exit.USAGE
        )
    if min_replicas > max_replicas:
        raise Failure(f"--min-replicas is {min_replicas}, above --max-replicas {max_replicas}", "", Exit.USAGE)
    told = _service(service, slo, batch, batch_base)

    def change(workload: Workload) -> Workload:
        return _changed(workload, told, slo, speed, duration, (min_replicas, max_replicas))

    source = _source(trace, function, told, change)
    conditions = [_conditions(one, mean_life, blackout) for one in start.split(",")]
    plays = [
        Play(name, make, contestant, condition, seed, plant)
        for seed in range(seeds)
        for name, make in source.replicates
        for condition in conditions
        for contestant in contestants
    ]
    outcomes = list(_progress(plays))
    table = rows(outcomes, _bounds(plays))
    if output == "json":
        print(as_json(source.name, table, outcomes))
    else:
        print("\n".join(as_text(table)))
    return Exit.GOOD


def _seconds(option: str, text: str) -> float:
    from tidegate.protocol.errors import shown
    from tidegate.resources.scalars import Span

    try:
        found: float = Span("s").read(int(text) if text.isdecimal() and len(text) < 10 else text).seconds
    except ValueError as error:
        raise Failure(f"{option} is '{shown(text)}', which is no time", f"expected {error}", Exit.USAGE) from error
    return found


def _service(service: str, slo: str, batch: int, batch_base: str) -> Service | None:
    """What the options say of it; None where they say nothing."""
    from tidegate.autoscaler.simulator.workload import Service

    if not service:
        return None
    per_row, base = _seconds("--service", service), _seconds("--batch-base", batch_base)
    if per_row <= 0:
        raise Failure("--service is 0, expected a time above it", "", Exit.USAGE)
    limit = _seconds("--slo", slo) if slo else 4 * (base + per_row)
    return Service(base=base, per_row=per_row, slo=limit, max_batch=batch)


def _changed(
    workload: Workload, service: Service | None, slo: str, speed: float, duration: str, bounds: tuple[int, int]
) -> Workload:
    from msgspec.structs import replace

    if service is not None:
        workload = replace(workload, service=service)
    elif slo:
        workload = replace(workload, service=replace(workload.service, slo=_seconds("--slo", slo)))
    workload = replace(
        workload,
        arrivals=workload.arrivals / speed,
        duration=workload.duration / speed,
        least=bounds[0],
        most=bounds[1],
    )
    return workload.first(_seconds("--duration", duration)) if duration else workload


def _source(trace: str, function: str, service: Service | None, change: object) -> Source:
    from pathlib import Path
    from typing import cast

    from tidegate.autoscaler.simulator.source import Change, from_catalogue, from_file
    from tidegate.autoscaler.simulator.workload import Service

    path = Path(trace)
    if not path.is_file():
        return from_catalogue(trace, cast("Change", change))
    default = Service(per_row=0.1, slo=0.4)
    try:
        return from_file(path, function, service or default, cast("Change", change))
    except OSError as error:
        raise Failure(f"'{trace}' cannot be read: {error.strerror}") from error


def _conditions(start: str, mean_life: str, blackouts: Sequence[str]) -> Conditions:
    from tidegate.autoscaler.simulator.conditions import Conditions

    life = _seconds("--mean-life", mean_life) if mean_life else None
    if life == 0:
        raise Failure("--mean-life is 0, expected a time above it", "", Exit.USAGE)
    times = []
    for text in blackouts:
        begin, colon, end = text.partition(":")
        if not colon:
            raise Failure(f"--blackout is '{text}'", "expected FROM:TO in seconds, as 600:660", Exit.USAGE)
        times.append((_seconds("--blackout", begin), _seconds("--blackout", end)))
    return Conditions(
        cold_start=_seconds("--start", start.strip()),
        mean_life=life,
        blackouts=tuple(times),
    )


def _progress(plays: Sequence[Play]) -> Iterator[Outcome]:
    """The outcomes; in a terminal, how far it is, on stderr."""
    from rich.console import Console
    from rich.progress import track

    from tidegate.autoscaler.simulator.plays import outcomes

    console = Console(stderr=True)
    found = outcomes(plays)
    if not console.is_terminal or console.is_dumb_terminal:
        yield from found
        return
    yield from track(found, f"{len(plays)} runs", total=len(plays), console=console, transient=True)


def _bounds(plays: Sequence[Play]) -> dict[tuple[str, float, int], float]:
    from tidegate.autoscaler.simulator.clairvoyant import bound
    from tidegate.autoscaler.simulator.conditions import draw

    found: dict[tuple[str, float, int], float] = {}
    for play in plays:
        key = (play.name, play.conditions.cold_start, play.seed)
        if key not in found:
            found[key] = bound(
                play.make(play.seed), play.conditions.cold_start, draw(play.conditions, play.seed).jitter
            )
    return found
