"""The client of the Open Inference Protocol for everybody who has no event loop: the twin of AsyncClient."""

from __future__ import annotations

import random

from tidegate.client.asynchronous import AsyncClient
from tidegate.client.attempts import Chance
from tidegate.client.settings import DEFAULT_SETTINGS, ClientSettings
from tidegate.client.threaded import Threaded, blocking, iterating


class Client(Threaded[AsyncClient]):
    """One server: ``http://``, ``https://``, ``grpc://`` or ``grpcs://``. Use it as a context manager, or close it.

    Any number of threads may share it; their calls run side by side. It is not carried over a fork: make one in each
    process. Its calls and their errors are those of AsyncClient.

    Raises:
        InvalidRequest: the URL is no address.
    """

    def __init__(
        self, url: str, settings: ClientSettings = DEFAULT_SETTINGS, *, chance: Chance = random.random
    ) -> None:
        super().__init__(AsyncClient(url, settings, chance=chance), f"tidegate client of {url}")

    infer = blocking(AsyncClient.infer)
    stream = iterating(AsyncClient.stream)
    server_live = blocking(AsyncClient.server_live)
    server_ready = blocking(AsyncClient.server_ready)
    server_metadata = blocking(AsyncClient.server_metadata)
    model_ready = blocking(AsyncClient.model_ready)
    model_metadata = blocking(AsyncClient.model_metadata)
    statistics = blocking(AsyncClient.statistics)
    models = blocking(AsyncClient.models)
    repository_index = blocking(AsyncClient.repository_index)
    load_model = blocking(AsyncClient.load_model)
    unload_model = blocking(AsyncClient.unload_model)
