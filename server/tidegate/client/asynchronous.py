"""The client for asyncio: each call once, over whichever protocol the URL names."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from tidegate.client.address import Address, parse_address
from tidegate.client.attempts import Attempts, Chance
from tidegate.client.calls import NO_LOAD_PARAMETERS, Calls, LoadParameters, Transport
from tidegate.client.request import Inputs, make_request
from tidegate.client.result import InferResult
from tidegate.client.settings import DEFAULT_SETTINGS, ClientSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.errors import InvalidRequest, shown
from tidegate.protocol.messages import InferRequest, ModelMetadata, ServerMetadata
from tidegate.protocol.repository import IndexEntry
from tidegate.protocol.statistics import ModelStatistics
from tidegate.protocol.tensors import NO_PARAMETERS, Parameters

SHORTEST = 0.001
"""Seconds that a call is given whose time is over: it says so itself."""


class AsyncClient:
    """One server: ``http://``, ``https://``, ``grpc://`` or ``grpcs://``. Use it as a context manager, or close it.

    Any number of tasks may share it, all in one event loop. Every call takes ``timeout``: the seconds in which it ends,
    its retries included; None is that of the settings. A version "" is the server's default.

    Every call raises TidegateError: what the server answered, by its status; ServerUnreachable if it did not;
    DeadlineExceeded when the time is over.

    Raises:
        InvalidRequest: the URL is no address.
    """

    def __init__(
        self, url: str, settings: ClientSettings = DEFAULT_SETTINGS, *, chance: Chance = random.random
    ) -> None:
        address = parse_address(url)
        self._settings = settings
        self._calls, transport = _speaking(address, settings)
        self._attempts = Attempts(transport, address, settings, chance)

    def __repr__(self) -> str:
        return f"<AsyncClient {self._attempts!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._attempts.close()

    async def infer(
        self,
        model: str,
        inputs: Inputs | InferRequest,
        *,
        outputs: Iterable[str] = (),
        version: str = "",
        parameters: Parameters = NO_PARAMETERS,
        priority: int | None = None,
        tenant: str = "",
        timeout: float | None = None,
        request_id: str = "",
        datatypes: Mapping[str, Datatype | str] | None = None,
        signature: ModelMetadata | None = None,
    ) -> InferResult:
        """Ask a model. ``inputs`` are arrays by name, or a whole request.

        ``outputs`` names those that are wanted, all of them by default. ``priority`` 1 goes first; ``tenant`` is whom
        the request is for. An input has its array's datatype, unless ``datatypes`` names another or the model's
        ``signature`` (see ``model_metadata``) is given: then values are converted, and one that does not fit is an
        InvalidTensor. The server is told how much time is left, and has ``grace`` beyond it to say so itself.
        """
        request = self._request(
            model,
            inputs,
            tenant,
            outputs=outputs,
            version=version,
            parameters=parameters,
            priority=priority,
            request_id=request_id,
            datatypes=datatypes,
            signature=signature,
        )
        return InferResult.of(await self._attempts.perform(self._calls.infer(request, tenant), timeout))

    def stream(
        self,
        model: str,
        inputs: Inputs | InferRequest,
        *,
        outputs: Iterable[str] = (),
        version: str = "",
        parameters: Parameters = NO_PARAMETERS,
        priority: int | None = None,
        tenant: str = "",
        timeout: float | None = None,
        request_id: str = "",
        datatypes: Mapping[str, Datatype | str] | None = None,
        signature: ModelMetadata | None = None,
    ) -> AsyncGenerator[InferResult, None]:
        """Ask a model that makes any number of answers, and have each as it comes; any other gives its one.

        Close the iterator (``contextlib.aclosing``) to give the rest up, which ends the model's work. The arguments are
        those of ``infer``; ``timeout`` bounds the whole stream. It is sent again only while no answer has come, and an
        error after that is raised where it comes. Over HTTP, whose form has neither shapes nor datatypes, the
        signature is fetched unless it is given; Unsupported where that form cannot carry an input.
        """
        request = self._request(
            model,
            inputs,
            tenant,
            outputs=outputs,
            version=version,
            parameters=parameters,
            priority=priority,
            request_id=request_id,
            datatypes=datatypes,
            signature=signature,
        )
        return self._stream(request, tenant, timeout, signature)

    async def _stream(
        self, request: InferRequest, tenant: str, timeout: float | None, signature: ModelMetadata | None
    ) -> AsyncGenerator[InferResult, None]:
        if signature is None and self._calls.reads_by_signature:
            began = asyncio.get_running_loop().time()
            signature = await self.model_metadata(request.model_name, request.model_version, timeout=timeout)
            whole = self._settings.timeout if timeout is None else timeout
            timeout = max(whole - (asyncio.get_running_loop().time() - began), SHORTEST)
        exchange = self._calls.stream(request, tenant, signature)
        async with aclosing(self._attempts.stream(exchange, timeout)) as responses:
            async for response in responses:
                yield InferResult.of(response)

    def _request(self, model: str, inputs: Inputs | InferRequest, tenant: str, **wishes: Any) -> InferRequest:
        if not (tenant.isascii() and tenant.isprintable() and tenant == tenant.strip()):
            raise InvalidRequest(f"tenant is '{shown(tenant)}', expected printable ASCII, as headers hold")
        return make_request(model, inputs, limits=self._settings.limits, **wishes)

    async def server_live(self, *, timeout: float | None = None) -> bool:
        """Whether the server's process is well."""
        return await self._attempts.perform(self._calls.server_live(), timeout)

    async def server_ready(self, *, timeout: float | None = None) -> bool:
        """Whether the server takes requests."""
        return await self._attempts.perform(self._calls.server_ready(), timeout)

    async def server_metadata(self, *, timeout: float | None = None) -> ServerMetadata:
        """The server's name, version and extensions."""
        return await self._attempts.perform(self._calls.server_metadata(), timeout)

    async def model_ready(self, model: str, version: str = "", *, timeout: float | None = None) -> bool:
        """Whether the model answers; NotFound if there is none."""
        return await self._attempts.perform(self._calls.model_ready(model, version), timeout)

    async def model_metadata(self, model: str, version: str = "", *, timeout: float | None = None) -> ModelMetadata:
        """The model's signature."""
        return await self._attempts.perform(self._calls.model_metadata(model, version), timeout)

    async def statistics(
        self, model: str = "", version: str = "", *, timeout: float | None = None
    ) -> tuple[ModelStatistics, ...]:
        """What the server has counted of a model, or of all; an extension of Triton's and ours."""
        return await self._attempts.perform(self._calls.statistics(model, version), timeout)

    async def models(self, *, timeout: float | None = None) -> list[str]:
        """The names of the server's models, over HTTP, where it lists them (tidegate and KServe do)."""
        return await self._attempts.perform(self._calls.models(), timeout)

    async def repository_index(self, *, ready: bool = False, timeout: float | None = None) -> tuple[IndexEntry, ...]:
        """Every model that the server could serve, or only those that are ready."""
        return await self._attempts.perform(self._calls.repository_index(ready), timeout)

    async def load_model(
        self, model: str, parameters: LoadParameters = NO_LOAD_PARAMETERS, *, timeout: float | None = None
    ) -> None:
        """Have the server load a model, or load it again; returns when it is ready.

        Sent again only if it did not arrive.
        """
        await self._attempts.perform(self._calls.load_model(model, parameters), timeout)

    async def unload_model(self, model: str, *, timeout: float | None = None) -> None:
        """Have the server let go of a model. Sent again only if it did not arrive."""
        await self._attempts.perform(self._calls.unload_model(model), timeout)


def _speaking(address: Address, settings: ClientSettings) -> tuple[Calls[Any, Any], Transport[Any, Any]]:
    """The protocol of an address. Each is imported when it is used: a command line begins sooner with one."""
    if address.grpc:
        from tidegate.client.grpc_calls import GrpcCalls
        from tidegate.client.grpc_transport import GrpcTransport

        return GrpcCalls(settings), GrpcTransport(address, settings)
    from tidegate.client.http_calls import HttpCalls
    from tidegate.client.http_transport import HttpTransport

    return HttpCalls(settings), HttpTransport(address, settings)
