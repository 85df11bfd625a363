"""What a server tells about its own life, as values: a terminal shows them, a script reads them as JSON lines.

They come in this order: one ``Listening``, then a ``Warned`` for all that is to be said of manifests, ``Found`` for
every model, ``Loaded`` or ``LoadFailed`` for each as it happens, one ``Ready``, and after the signal to stop one
``Leaving`` and one ``Stopped``. Between those two, models that are loaded anew are told in the same way, and those that
go as ``Unloaded``.
"""

from __future__ import annotations

import msgspec

from tidegate.protocol.messages import ModelMetadata


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower):
    """The root; ``event`` in the JSON form is the kind's name in lower case."""


class Listening(Event, frozen=True):
    """The ports are open. Each is ``host:port``, the port as it really is where a free one was asked for.

    Models may still be loading: until then they are answered with 503 and the reason.
    """

    http: str
    grpc: str
    admin: str
    status: str


class Warned(Event, frozen=True):
    """Something that whoever wrote a manifest should know. ``place`` is ``FILE:LINE``."""

    place: str
    message: str


class Found(Event, frozen=True):
    """A model file, and how it will be served. ``reason`` says why this runtime was chosen."""

    model: str
    version: str
    path: str
    runtime: str
    format: str
    reason: str


class Loaded(Event, frozen=True):
    """A model answers. ``seconds`` have passed since its replica was started."""

    model: str
    version: str
    seconds: float
    metadata: ModelMetadata


class LoadFailed(Event, frozen=True):
    """A model does not answer, and why; callers are told the same with 503. ``version`` is "" where it has none yet.

    ``serving`` tells that the one before it goes on answering.
    """

    model: str
    version: str
    reason: str
    serving: bool = False


class Unloaded(Event, frozen=True):
    """A model answers no more, and nothing has taken its place."""

    model: str
    version: str


class Ready(Event, frozen=True):
    """Every model has loaded or failed, or sleeps until somebody asks for it; how many of each."""

    loaded: int
    failed: int
    asleep: int = 0


class Leaving(Event, frozen=True):
    """A signal has come. Readiness is down; what is in flight has ``grace`` seconds to end."""

    signal: str
    grace: float


class Stopped(Event, frozen=True):
    """Nothing is left. ``clean`` tells that every request in flight was answered."""

    clean: bool


class Lost(Event, frozen=True):
    """So many events stood here: their reader did not take them in time."""

    count: int
