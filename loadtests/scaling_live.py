"""The autoscaler in a real server beside what the simulator says of the same run. Minutes of real time for each.

A server on the loopback, replicas that are processes and whose model sleeps, and requests that come when they come. For
each schedule (Azure's LLM trace sped up, ten times the load and back, bursts) and policy: late, refused or failed
requests, and replica-seconds from order until gone. Then the simulator plays the same with the server's own queue,
batch former and dispatch: the same requests at the same times, each as long, the manifest's own policy and bounds, and
starts that took as long as was measured. Aims: violations within 3 points, replica-seconds within 20 %.

    python loadtests/scaling_live.py --quick                   the step only, 6 minutes
    python loadtests/scaling_live.py --results live.jsonl      three schedules, two policies, 35 minutes
    python loadtests/scaling_live.py --report live.jsonl       what is in such a file; nothing runs
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tidegate.autoscaler.policies import policy_of
from tidegate.autoscaler.simulator import phases
from tidegate.autoscaler.simulator.conditions import DRAWS, Conditions, draw
from tidegate.autoscaler.simulator.phases import Played
from tidegate.autoscaler.simulator.workload import Service, Workload
from tidegate.control.scaling.scale import scaling_of
from tidegate.loadtests import census, likeness, live
from tidegate.loadtests.comparison import machine
from tidegate.loadtests.likeness import Figures, Result
from tidegate.loadtests.report import percentile
from tidegate.loadtests.schedules import SCHEDULES, schedule
from tidegate.testing.service_server import ServiceServer, manifest, ready

POLICIES: dict[str, dict[str, Any]] = {
    "qda": {"scalePolicy": {"name": "qda"}},
    "kpa": {"scalePolicy": {"name": "kpa"}, "containerConcurrency": 1},
}
"""What the manifest says of each."""
PHASES = 10
"""Times that the simulator plays a run."""


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--schedules", default=",".join(SCHEDULES), help="with commas (default: %(default)s)")
    add("--policies", default=",".join(POLICIES), help="with commas (default: %(default)s)")
    add("--seconds", type=float, default=270.0, help="of a schedule, after its lead (default: %(default)s)")
    add("--lead", type=float, default=65.0, help="quiet seconds before it (default: %(default)s)")
    add("--times", type=float, default=1.0, help="the usual rates (default: %(default)s)")
    add("--service", type=float, default=0.18, help="seconds of a request, mean (default: %(default)s)")
    add("--slo", type=float, default=0.72, help="seconds (default: %(default)s)")
    add("--start", type=float, default=5.0, help="seconds for which the model loads, mean (default: %(default)s)")
    add("--spread", type=float, default=0.3, help="of both: deviation over mean, lognormal (default: %(default)s)")
    add("--min", type=int, default=2, help="replicas at least (default: %(default)s)")
    add("--max", type=int, default=30, help="replicas at most (default: %(default)s)")
    add("--seed", type=int, default=1, help="of arrivals and service times (default: %(default)s)")
    add("--bin", type=float, default=10.0, help="seconds of a column of the time-line (default: %(default)s)")
    add("--results", type=Path, help="a file to which a line of JSON is added for each run")
    add("--report", type=Path, help="such a file; nothing runs")
    add("--serve", default="", metavar="WORDS", help="further options of `tidegate serve`, as one word")
    add("--quick", action="store_true", help="the step only, and shorter")
    told = made.parse_args()
    if told.quick:
        told.schedules, told.seconds, told.lead = "step", 105.0, 65.0
    return told


def run(name: str, policy: str, options: argparse.Namespace, folder: Path) -> Result:
    """One schedule with one policy, in a server of its own, and its simulation."""
    service = Service(per_row=options.service, slo=options.slo)
    workload = schedule(name, options.seconds, options.lead, service, options.seed, options.times)
    workload = msgspec.structs.replace(workload, least=options.min, most=options.max, begin=options.min)
    model = folder / f"{live.MODEL}.model.py"
    sigma = math.sqrt(math.log(1 + options.spread**2))
    model.write_text(live.program(options.start, -sigma * sigma / 2, sigma))
    told = manifest(live.MODEL, model, "python", minReplicas=options.min, maxReplicas=options.max, **POLICIES[policy])
    told["spec"]["slo"] = {"latency": f"{round(options.slo * 1000)}ms"}
    jitter = draw(Conditions(spread=options.spread), options.seed).jitter
    bodies = [live.body(options.service * jitter[k & (DRAWS - 1)]) for k in range(workload.arrivals.size)]
    words: list[str | Path] = ["--trust", folder, "--keep-alive-timeout", "3600", *shlex.split(options.serve)]
    with ServiceServer.start(folder / "state", *words) as server:
        server.write(told)
        server.until(live.MODEL, lambda status: ready(status) and status.get("replicas") == options.min)
        target = live.Target(server.serving.url, server.serving.status, server.serving.process.pid)
        measured = live.measure(target, workload.arrivals.tolist(), bodies, workload.duration)
        [revision] = server.revisions(live.MODEL)
    history = revision["status"].get("scaling", {}).get("history", [])
    return result(name, policy, options, workload, measured, history, simulated(workload, told, measured, options))


def simulated(
    workload: Workload, told: dict[str, Any], measured: live.Measured, options: argparse.Namespace
) -> list[Played]:
    """The same run in the simulator. Metrics are neither late nor missing, for the server reads its own."""
    scaling = scaling_of(told["spec"]["predictor"], told["spec"]["slo"])
    assert scaling is not None, "its bounds differ"
    config = msgspec.structs.replace(scaling.config, max_batch=1)  # as the server does, once the model has said so
    start = census.mean_start(census.starts(measured.counts), options.spread) or options.start
    conditions = Conditions(cold_start=start, spread=options.spread, late=0, dropped=0.0, wrong=0.0)
    return phases.play(workload, policy_of(scaling.policy), config, conditions, phases=PHASES, seed=options.seed)


def result(
    name: str,
    policy: str,
    options: argparse.Namespace,
    workload: Workload,
    measured: live.Measured,
    history: list[dict[str, Any]],
    plays: list[Played],
) -> Result:
    samples, counts = measured.samples, measured.counts
    starts = census.starts(counts)
    late = sum(likeness.late(sample, options.slo) for sample in samples)
    return Result(
        schedule=name,
        policy=policy,
        options={key: value for key, value in vars(options).items() if not isinstance(value, Path)},
        statuses=dict(Counter(sample.status for sample in samples)),
        measured=Figures(
            100 * late / max(len(samples), 1),
            census.replica_seconds(counts, workload.duration),
            census.changes(counts, workload.duration),
            percentile(sorted(sample.ended - sample.intended for sample in samples), 99),
        ),
        simulated=[figures(each) for each in plays],
        starts=starts.took,
        called_off=starts.without,
        start=census.mean_start(starts, options.spread) or options.start,
        lag=percentile(sorted(sample.lag for sample in samples), 99),
        processor=measured.processor,
        load_average=measured.load_average,
        history=history,
        samples=samples,
        counts=counts,
        looks=[census.Count(look.at, look.desired, look.ready, look.desired) for look in plays[0].looks],
    )


def figures(played: Played) -> Figures:
    outcome = played.outcome
    p99 = math.inf if outcome.p99 is None else outcome.p99
    return Figures(100 * outcome.violations, outcome.replica_seconds, outcome.changes, p99)


def results(options: argparse.Namespace) -> Iterator[Result]:
    """Those of the file, or of runs, one after the other."""
    if options.report is not None:
        yield from (msgspec.json.decode(line, type=Result) for line in options.report.read_bytes().splitlines())
        return
    pairs = [(name, policy) for name in options.schedules.split(",") for policy in options.policies.split(",")]
    for number, (name, policy) in enumerate(pairs, 1):
        took = options.lead + options.seconds
        print(f"{time.strftime('%X')} {number} of {len(pairs)}: {name}, {policy}, {took:.0f} s", file=sys.stderr)
        with tempfile.TemporaryDirectory() as directory:
            found = run(name, policy, options, Path(directory))
        if options.results is not None:
            with options.results.open("ab") as file:
                file.write(msgspec.json.encode(found) + b"\n")
        yield found


def main() -> None:
    options = arguments()
    found = []
    for each in results(options):
        found.append(each)
        told = each.options
        line = likeness.timeline(each, told["slo"], told["lead"] + told["seconds"], options.bin)
        print(f"{likeness.shown(each)}\n{line}\n", flush=True)
    print(
        f"{machine()}; simulated is the mean of {PHASES} plays [range], measured : simulated\n{likeness.table(found)}"
    )


if __name__ == "__main__":
    main()
