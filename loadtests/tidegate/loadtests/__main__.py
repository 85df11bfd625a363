"""``python -m tidegate.loadtests MODEL``: put a load on a server and report what became of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tidegate.client import Client
from tidegate.loadtests.arrivals import bounded, constant, poisson, read_trace
from tidegate.loadtests.payload import (
    grpc_message,
    host_and_port,
    http_body,
    http_message,
    is_loopback,
    sample_request,
)
from tidegate.loadtests.report import Report, summarize, table
from tidegate.loadtests.shares import Share, run
from tidegate.protocol.errors import TidegateError

EPILOG = """
Without --rate and --trace the loop is closed: each connection sends its next request once it has its answer, which
tells what the server can do. With one of them it is open: the times are fixed in advance, and latency counts from
the intended start, which tells what users see. One process may be too slow for a fast server: --processes takes more,
and what they reach against `python -m tidegate.loadtests.null` is what they can do.
"""


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def positive_integer(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("python -m tidegate.loadtests", description=__doc__, epilog=EPILOG)
    add = made.add_argument
    add("model", help="name of the model to ask")
    target = made.add_mutually_exclusive_group()
    target.add_argument("--url", default="http://127.0.0.1:8080", help="HTTP server (default: %(default)s)")
    target.add_argument("--grpc", metavar="HOST:PORT", help="use gRPC, at this address, instead of HTTP")
    add("--allow-remote", action="store_true", help="let the load go to another machine than this one")
    add("--binary", action="store_true", help="over HTTP, tensors as bytes instead of JSON")
    add("--body", type=Path, metavar="FILE", help="send this v2 JSON (gRPC: ModelInferRequest), not random values")
    add("--rows", type=positive_integer, default=1, help="rows of random values per request (default: %(default)s)")
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="one more HTTP header; repeat it for more",
    )
    add("--connections", type=positive_integer, default=16, metavar="N", help="(default: %(default)s)")
    add(
        "--processes",
        type=positive_integer,
        default=1,
        metavar="N",
        help="split connections and arrivals between so many processes (default: %(default)s)",
    )
    times = made.add_mutually_exclusive_group()
    times.add_argument("--rate", type=positive, metavar="R", help="open loop of R requests per second")
    times.add_argument("--trace", type=Path, metavar="FILE", help="open loop at a trace's times: seconds, or Azure LLM")
    add("--arrivals", choices=("poisson", "constant"), default="poisson", help="of --rate (default: %(default)s)")
    add("--speed", type=positive, default=1.0, help="play the trace so many times as fast (default: %(default)s)")
    add(
        "--duration",
        type=positive,
        metavar="S",
        help="seconds measured (default: 10, unless --requests or --trace bounds it)",
    )
    add(
        "--requests", type=positive_integer, metavar="N", help="at most so many requests, those of the warm-up included"
    )
    add("--warmup", type=positive, default=0.0, metavar="S", help="seconds before that, not counted (default: 0)")
    add("--timeout", type=positive, default=60.0, metavar="S", help="of one request (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the arrivals and values (default: %(default)s)")
    add("-o", "--output", choices=("table", "json"), default="table")
    return made


def message(options: argparse.Namespace) -> bytes:
    """The request to repeat; asks the server for the model's signature unless there is a body.

    Raises:
        TidegateError: the server does not tell it.
        OSError: the body cannot be read.
    """
    if options.body is not None:
        body = options.body.read_bytes()
        return body if options.grpc else http_message(options.url, options.model, body, None, options.header)
    with Client(f"grpc://{options.grpc}" if options.grpc else options.url) as client:
        metadata = client.model_metadata(options.model, timeout=options.timeout)
    request = sample_request(options.model, metadata, options.rows, options.seed)
    if options.grpc:
        return grpc_message(request)
    return http_message(options.url, options.model, *http_body(request, options.binary), options.header)


def planned(options: argparse.Namespace, until: float | None) -> Iterator[float] | None:
    """The arrivals of an open loop before ``until`` seconds; None for a closed one.

    Raises:
        ValueError, OSError: the trace cannot be read.
    """
    if options.trace is not None:
        with options.trace.open() as lines:
            return bounded(read_trace(lines, options.speed), until, options.requests)
    if options.rate is None:
        return None
    times = constant(options.rate) if options.arrivals == "constant" else poisson(options.rate, options.seed)
    return bounded(times, until, options.requests)


def measure(options: argparse.Namespace) -> Report:
    """Raises: TidegateError, OSError, ValueError: the run cannot begin, and why."""
    host, port = host_and_port(options.grpc or options.url)
    if not options.allow_remote and not is_loopback(host):
        raise ValueError(f"{host} is another machine; add --allow-remote if you may put a load on it")
    if options.grpc and options.header:
        raise ValueError("--header is for HTTP; a gRPC call carries none of its own here")
    duration = options.duration or (None if options.requests or options.trace else 10.0)
    until = None if duration is None else options.warmup + duration
    arrivals = planned(options, until)
    share = Share(
        host=host,
        port=port,
        grpc=bool(options.grpc),
        message=message(options),
        connections=options.connections,
        arrivals=None if arrivals is None else list(arrivals),
        duration=until,
        requests=None if arrivals is not None else options.requests,
        timeout=options.timeout,
    )
    sent = run(share, options.processes)
    open_loop = arrivals is not None
    return summarize(sent.samples, sent.took, options.warmup, open_loop=open_loop, interrupted=sent.interrupted)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 if a request failed, 2 if the run could not begin, 130 if it was interrupted."""
    options = parser().parse_args(arguments)
    try:
        report = measure(options)
    except (TidegateError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(msgspec.json.encode(report).decode() if options.output == "json" else table(report))
    if report.interrupted:
        return 130
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
