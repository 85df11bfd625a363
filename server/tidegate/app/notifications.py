"""The notifications of one server: its secrets, where it may send to, and the task that does."""

from __future__ import annotations

import msgspec

from tidegate.app.settings import ServeSettings
from tidegate.control.notifications.courier import Courier
from tidegate.control.notifications.secrets import DirectorySecrets
from tidegate.control.notifications.sender import Sender
from tidegate.control.notifications.trial import Trial
from tidegate.resources.store import Store
from tidegate.telemetry.metrics import Metrics


class Notifications:
    """From ``open`` to ``stop``. What ends a server before ``open`` may stop it, too."""

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self._settings = msgspec.structs.replace(
            settings.notifications, secrets=settings.secrets, outgoing=settings.identity.outgoing
        )
        self._metrics = metrics
        self.secrets = DirectorySecrets(settings.secrets)
        """What manifests name by ``secretRef``."""
        self._courier = Courier(self.secrets, self._settings.outgoing)
        self._sender: Sender | None = None
        self._trial: Trial | None = None

    @property
    def trial(self) -> Trial:
        """Who tries the channels of services; there is one from ``open`` on."""
        assert self._trial is not None, "open comes first"
        return self._trial

    def open(self, store: Store) -> None:
        """Send what waits in the store, and what comes."""
        self._trial = Trial(store, self._courier)
        self._sender = Sender(store, self._courier, self._settings, counted=self._metrics.notified)
        self._sender.start()

    async def stop(self) -> None:
        """Let end what is being sent, for a bounded time; the rest waits for the next server."""
        if self._sender is not None:
            await self._sender.stop()

    def kill(self) -> None:
        """Break off what is being sent."""
        if self._sender is not None:
            self._sender.kill()
