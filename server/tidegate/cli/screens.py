"""What is followed, shown: in a terminal redrawn in place, in a pipe a line for each change, for programs in JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Literal

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tidegate.cli.following import Screen, Sight
from tidegate.cli.rollout_lines import BROKEN, DONE, NOW, PAUSED, event_lines, frame, headline, news, since_begun
from tidegate.cli.rollouts import Judgement, as_document
from tidegate.client.resource_calls import Document

STYLES = {DONE: "green", NOW: "bold", PAUSED: "bold yellow", BROKEN: "bold red"}

Tell = Callable[[str], None]


@contextmanager
def screen(output: Literal["text", "json"], tell: Tell, stream: IO[str]) -> Iterator[Screen]:
    """The one that fits what is written to. ``tell`` is told what is waited for while there is no rollout."""
    if output == "json":
        yield Json(stream)
    elif stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with Live(console=Console(file=stream), auto_refresh=False) as live:
            yield Redrawn(live, tell)
    else:
        yield Printed(stream, tell)


class Redrawn:
    """Implements Screen: all of it, in the place of what was there."""

    def __init__(self, live: Live, tell: Tell, clock: Callable[[], float] = time.time) -> None:
        self._live = live
        self._tell = tell
        self._clock = clock

    def show(self, sight: Sight, judgement: Judgement, events: Sequence[Document]) -> None:
        rollout = judgement.rollout
        if rollout is None:
            _waits(judgement, self._tell)
            return
        lines = frame(sight.service, rollout, events, self._clock())
        text = Text("\n", no_wrap=True, overflow="ellipsis").join(styled(line) for line in lines)
        self._live.update(text, refresh=True)


class Printed:
    """Implements Screen: what is new, and no character that a terminal would obey."""

    def __init__(self, stream: IO[str], tell: Tell, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._tell = tell
        self._clock = clock
        self._before: Document | None = None
        self._told: set[tuple[object, ...]] = set()

    def show(self, sight: Sight, judgement: Judgement, events: Sequence[Document]) -> None:
        rollout = judgement.rollout
        if rollout is None:
            _waits(judgement, self._tell)
            return
        lines = [] if self._before is not None else [headline(rollout, self._clock())]
        lines += news(self._before, rollout)
        fresh = [each for each in since_begun(rollout, events) if _state(each) not in self._told]
        self._told.update(map(_state, fresh))
        lines += event_lines(fresh)
        self._before = rollout
        for line in lines:
            print(line, file=self._stream, flush=True)


class Standing:
    """Implements Screen: all of it, once; nothing where there is no rollout."""

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock

    def show(self, sight: Sight, judgement: Judgement, events: Sequence[Document]) -> None:
        if judgement.rollout is not None:
            lines = frame(sight.service, judgement.rollout, events, self._clock())
            print("\n".join(lines), file=self._stream, flush=True)


class Json:
    """Implements Screen: a line for each change, all of it as it is then."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._before: Document | None = None

    def show(self, sight: Sight, judgement: Judgement, events: Sequence[Document]) -> None:
        document = as_document(sight.service, judgement)
        if document != self._before:
            print(msgspec.json.encode(document).decode(), file=self._stream, flush=True)
        self._before = document


def styled(line: str) -> Text:
    """A line in the colours of a terminal."""
    return Text(line, style=STYLES.get(line.lstrip()[:1], ""))


def _waits(judgement: Judgement, tell: Tell) -> None:
    if not judgement.verdict.met:
        tell(judgement.verdict.told)


def _state(event: Document) -> tuple[object, ...]:
    return (event.get("metadata") or {}).get("name"), event.get("count"), event.get("lastTimestamp")
