"""What a starting and stopping server says: to a person on stderr, to a program as JSON lines on stdout.

With a log of JSON lines stderr is for a program, too, and its life becomes a part of the log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from tidegate.app.events import (
    Event,
    Found,
    Leaving,
    Listening,
    Loaded,
    LoadFailed,
    Lost,
    Ready,
    Stopped,
    Unloaded,
    Warned,
)
from tidegate.cli.lines import Lines
from tidegate.cli.sample import curl_line, infer_line
from tidegate.protocol.messages import TensorSpec

log = logging.getLogger("tidegate.serve")


@contextmanager
def announcer(to_stdout: bool, to_log: bool) -> Iterator[Callable[[Event], None]]:
    """Who is told: stderr, as prose or as a part of its JSON log, and stdout as JSON lines if that is wanted.

    A line is written at once, as its reader waits for it, but whoever tells does not wait for a reader. What is left at
    the end is written then.
    """
    if to_log:
        log.setLevel(logging.INFO)
    stderr = as_log_entry if to_log else Narrator(Console(stderr=True))
    if not to_stdout:
        yield stderr
        return
    lines = Lines(sys.stdout.fileno(), lambda count: msgspec.json.encode(Lost(count)))

    def announce(event: Event) -> None:
        stderr(event)
        lines.say(msgspec.json.encode(event))

    try:
        yield announce
    finally:
        lines.close()


def as_log_entry(event: Event) -> None:
    """Log an event: its kind as the message, its fields beside it."""
    fields = msgspec.to_builtins(event)
    log.log(
        logging.ERROR if isinstance(event, LoadFailed) else logging.INFO, fields.pop("event"), extra={"fields": fields}
    )


class Narrator:
    """Tells a person, line by line; on a terminal a spinner names what is still loading."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._loading: list[str] = []
        self._ports = Listening("", "", "", "")
        self._samples: list[Loaded] = []
        self._invited = False

    def __call__(self, event: Event) -> None:
        match event:
            case Listening():
                self._ports = event
            case Warned():
                self._say(f"{escape(event.place)}: [yellow]warning[/]: {escape(event.message)}")
            case Found():
                self._found(event)
            case Loaded():
                self._loaded(event)
            case LoadFailed():
                self._failed(event)
            case Unloaded():
                self._say(f"{_named(event.model, event.version)}: unloaded")
                self._ended(event.model)  # it may have been on its way
            case Ready():
                self._ready(event)
            case Leaving():
                self._leaving(event)
            case Stopped():
                self._say("stopped" if event.clean else "[yellow]stopped with requests unfinished[/]")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _found(self, event: Found) -> None:
        name = _named(event.model, event.version)
        self._say(f"{name}: {escape(event.path)} → runtime [bold]{event.runtime}[/] ({event.format}: {event.reason})")
        self._loading.append(event.model)
        if self._console.is_terminal and self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._refresh()

    def _loaded(self, event: Loaded) -> None:
        if not (self._invited or "/" in event.model):  # of another namespace: not under this name
            self._samples.append(event)
        signature = f"{_signature(event.metadata.inputs)} → {_signature(event.metadata.outputs)}"
        self._say(f"{_named(event.model, event.version)}: [green]ready[/] after {event.seconds:.1f} s; {signature}")
        self._ended(event.model)

    def _failed(self, event: LoadFailed) -> None:
        serving = "; the one before answers on" if event.serving else ""
        self._say(f"{_named(event.model, event.version)}: [bold red]failed[/]: {escape(event.reason)}{serving}")
        self._ended(event.model)

    def _ready(self, event: Ready) -> None:
        ports = self._ports
        told = f"serving HTTP on http://{ports.http}, gRPC on {ports.grpc}"
        self._say(f"{told}, admin on {ports.admin}, status on http://{ports.status}")
        if event.asleep:
            self._quiet()
            self._loading.clear()
            models = "1 model sleeps" if event.asleep == 1 else f"{event.asleep} models sleep"
            self._say(f"{models} until somebody asks")
        if event.failed:
            of = event.loaded + event.failed + event.asleep
            self._say(f"[yellow]{event.failed} of {of} models failed[/]; they answer 503")
        if self._samples:
            self._invite()
        if not (event.loaded or event.failed or event.asleep):
            self._say("nothing is served yet; `tidegate apply -f FILE` adds a service")
        self._invited = True
        self._samples.clear()

    def _invite(self) -> None:
        """The lines to try next, ready to paste: of the first model that can be asked in one."""
        asked = ((curl_line(self._ports.http, each.model, each.metadata), each) for each in self._samples)
        curl, sample = next((pair for pair in asked if pair[0]), (None, self._samples[0]))
        self._say("try:")
        for line in filter(None, (curl, infer_line(self._ports.http, sample.model, sample.metadata))):
            self._say(f"  {escape(line)}")

    def _leaving(self, event: Leaving) -> None:
        self._quiet()
        self._say(f"{event.signal}: requests in flight have {event.grace:g} s to end; once more ends at once")

    def _ended(self, model: str) -> None:
        if model in self._loading:
            self._loading.remove(model)
        self._refresh()

    def _refresh(self) -> None:
        if not self._loading:
            self._quiet()
        elif self._status is not None:
            self._status.update(f"loading {escape(', '.join(self._loading))}")

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _named(model: str, version: str) -> str:
    return f"[bold]{escape(model)}[/]" + (f" version {escape(version)}" if version else "")


def _signature(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(escape(f"{spec.name} {spec.datatype}{list(spec.shape)}") for spec in specs)
