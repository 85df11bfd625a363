"""What becomes of services, told to people as events."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.app.events import Event, Loaded, LoadFailed, Unloaded
from tidegate.control.services.turns import Name
from tidegate.gateway.route import label
from tidegate.protocol.errors import ModelNotReady, TidegateError
from tidegate.protocol.messages import ModelMetadata
from tidegate.resources.actuator import Workload, version_of


class News:
    """Implements the actuator's Observer, and is told what cannot be resolved. From ``close`` on it is silent: at the
    end all are gone.

    ``answers(namespace, service)`` tells whether another revision of a service answers.
    """

    def __init__(self, announce: Callable[[Event], None], answers: Callable[[str, str], bool]) -> None:
        self._announce = announce
        self._answers = answers
        self._failing: set[Name] = set()
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def forget(self, name: Name) -> None:
        """There is no such service any more."""
        self._failing.discard(name)

    def loaded(self, workload: Workload, seconds: float, metadata: ModelMetadata) -> None:
        name = _name(workload)
        self._failing.discard(name)
        self._tell(Loaded(label(*name), version_of(workload), seconds, metadata))

    def failed(self, workload: Workload, error: TidegateError) -> None:
        name = _name(workload)
        if isinstance(error, ModelNotReady) and name in self._failing:
            return  # that it is late has been told
        self._fail(name, version_of(workload), error)

    def unloaded(self, workload: Workload) -> None:
        self._tell(Unloaded(label(*_name(workload)), version_of(workload)))

    def unresolved(self, name: Name, error: TidegateError) -> None:
        """The model of a service cannot be found out."""
        self._fail(name, "", error)

    def late(self, name: Name, error: ModelNotReady) -> None:
        """A service does not answer yet, and nobody waits for it any more. Whoever was told why is not told again."""
        if name not in self._failing:
            self._fail(name, "", error)

    def _fail(self, name: Name, version: str, error: TidegateError) -> None:
        self._failing.add(name)
        self._tell(LoadFailed(label(*name), version, error.message, self._answers(*name)))

    def _tell(self, event: Event) -> None:
        if not self._closed:
            self._announce(event)


def _name(workload: Workload) -> Name:
    return Name(workload.id.namespace, workload.id.service)
