"""The client of the resource API for everybody who has no event loop: the twin of AsyncResources."""

from __future__ import annotations

import random

from tidegate.client.async_resources import DEFAULT_SERVER, AsyncResources
from tidegate.client.attempts import Chance
from tidegate.client.settings import DEFAULT_SETTINGS, ClientSettings
from tidegate.client.threaded import Threaded, blocking, iterating


class Resources(Threaded[AsyncResources]):
    """The resources of one server, ``http://`` or ``https://``. Use it as a context manager, or close it.

    Any number of threads may share it; their calls run side by side. It is not carried over a fork: make one in each
    process. Its calls and their errors are those of AsyncResources.

    Raises:
        InvalidRequest: the URL is no address of HTTP.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        settings: ClientSettings = DEFAULT_SETTINGS,
        *,
        chance: Chance = random.random,
    ) -> None:
        super().__init__(AsyncResources(url, settings, chance=chance), f"tidegate client of {url}")

    version = blocking(AsyncResources.version)
    discover = blocking(AsyncResources.discover)
    get = blocking(AsyncResources.get)
    page = blocking(AsyncResources.page)
    list = blocking(AsyncResources.list)
    watch = iterating(AsyncResources.watch)
    together = iterating(AsyncResources.together)
    wait = blocking(AsyncResources.wait)
    create = blocking(AsyncResources.create)
    replace = blocking(AsyncResources.replace)
    patch = blocking(AsyncResources.patch)
    apply = blocking(AsyncResources.apply)
    delete = blocking(AsyncResources.delete)
    scale = blocking(AsyncResources.scale)
    events = blocking(AsyncResources.events)
    follow_events = iterating(AsyncResources.follow_events)
    occurrences = blocking(AsyncResources.occurrences)
    follow_occurrences = iterating(AsyncResources.follow_occurrences)
    try_channels = blocking(AsyncResources.try_channels)
    logs = iterating(AsyncResources.logs)
