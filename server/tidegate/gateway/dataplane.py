"""Everything between a codec and a backend, for every transport alike: route, admit, check, execute, count.

The data plane owns no socket. A listener resolves the route first (an unknown model costs no decoding), decodes,
and calls ``infer``; what it raises is a TidegateError that the listener puts in its protocol's form.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from random import Random
from time import perf_counter

import msgspec

from tidegate.gateway.access import Access, tenant_of
from tidegate.gateway.addressee import PLAIN, REVISION, Asked, Headers, ServiceName, first, read_asked
from tidegate.gateway.backend import ANYBODY, Answer, Caller
from tidegate.gateway.caller import CallerSettings, TenantHeader, as_sent, caller_of
from tidegate.gateway.index import index_of
from tidegate.gateway.owned import OwnedAnswer, owned
from tidegate.gateway.repository import ModelRepository
from tidegate.gateway.routes import Route, RouteTable
from tidegate.gateway.shadow import Shadows
from tidegate.gateway.shadow_settings import ShadowSettings
from tidegate.gateway.statistics import model_statistics
from tidegate.identity.identity import Identity, may
from tidegate.identity.quota import Bucket
from tidegate.identity.scope import DEFAULT_NAMESPACE, Verb
from tidegate.protocol.configuration import ModelConfiguration
from tidegate.protocol.content import content_bytes
from tidegate.protocol.errors import (
    Forbidden,
    InternalError,
    InvalidRequest,
    ModelManaged,
    ModelNotFound,
    ModelNotReady,
    RequestCancelled,
    ShuttingDown,
    TidegateError,
    Unauthenticated,
    Unsupported,
)
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from tidegate.protocol.parameters import PRIORITY, TIMEOUT
from tidegate.protocol.repository import IndexEntry
from tidegate.protocol.statistics import ModelStatistics
from tidegate.protocol.validation import check_request
from tidegate.telemetry.metrics import Metrics, Protocol
from tidegate.telemetry.traffic import Traffic

log = logging.getLogger(__name__)

EXTENSIONS = (
    "binary_tensor_data",
    "generate",
    "parameters",
    "schedule_policy",
    "sequence",
    "sequence(string_id)",
    "statistics",
)

REPOSITORY_EXTENSIONS = ("model_repository", "model_configuration")
"""Those of a server whose models somebody owns."""

_AS_STREAM = "ask it by generate_stream over HTTP or ModelStreamInfer over gRPC"


class GatewaySettings(msgspec.Struct, frozen=True):
    version: str
    """tidegate's own version, as the server's metadata shows it."""
    limits: Limits = DEFAULT_LIMITS
    default_timeout: float = 60.0
    """Seconds that a request may take where the caller sets no deadline."""
    max_timeout: float = 3600.0
    """Seconds; a longer wish of the caller is cut to this, so that nothing waits for ever."""
    caller: CallerSettings = CallerSettings()
    shadow: ShadowSettings = ShadowSettings()
    """What copies of requests for shadows may take."""
    model_control: bool = True
    """Whether callers may load and unload models."""


class DataPlane:
    """One gateway's state: the routes it serves, what is in flight, whether it takes more.

    ``routes`` is replaced as a whole by whoever owns the models, which is ``repository`` where there is one.
    ``access`` is None where callers are not asked who they are.
    ``chance`` gives numbers from 0 to below 1, for callers whom nothing tells apart; chosen here if it is None.
    """

    def __init__(
        self,
        routes: RouteTable,
        metrics: Metrics,
        settings: GatewaySettings,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.routes = routes
        self.repository: ModelRepository | None = None
        self.access: Access | None = None
        self.settings = settings
        self.metrics = metrics
        self._chance = chance or Random().random
        self.tenants = TenantHeader.of(settings.caller, settings.limits)
        self._anybody = caller_of(None, "", settings.caller)
        self.shadows = Shadows(settings.shadow, caller_of(settings.caller.priority_levels, "", settings.caller))
        self.starting = False
        """Whether services that are kept from before are still being brought up."""
        self.leaving = False
        self.draining = False
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self._inflight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        state = "draining" if self.draining else "leaving" if self.leaving else "serving"
        return f"<DataPlane {state}, {len(self.routes.names(PLAIN))} models, {self._inflight} in flight>"

    @property
    def ready(self) -> bool:
        """Whether the server as a whole takes requests: every model answers that is to be loaded, and nothing is being
        shut down."""
        return not (self.starting or self.leaving) and not any(
            route.backend.readiness.holds_up for versions in self.routes.models.values() for route in versions.values()
        )

    def asked(
        self,
        headers: Headers,
        service: ServiceName | None = None,
        request_id: str = "",
        identity: Identity | None = None,
    ) -> Asked:
        """What a request says of its addressee.

        ``service`` is that of its path; ``identity`` is who asks, None where callers are not asked for that.
        """
        if (
            identity is None
            and service is None
            and not self.routes.services.by_name
            and first(headers, REVISION) is None
        ):
            return PLAIN
        return read_asked(headers, service, request_id, self._chance(), identity)

    def resolve(self, model: str, version: str, asked: Asked, verb: Verb = Verb.INFER) -> Route:
        """The route of a request: the one place where a listener gets one, for whatever it is about to do with it.

        Raises:
            TidegateError: see ``RouteTable.resolve``. What the caller has no right to is not found.
        """
        return self.table(asked, verb).resolve(model, version, asked)

    def instead(self, route: Route, version: str, asked: Asked, error: ModelNotReady) -> Route:
        """Who answers a request in the place of a revision that has no replica left to do so.

        It is another revision that the service's callers are assigned to. Who has asked for one gets no other.

        Raises:
            ModelNotReady: ``error``, where there is none.
        """
        if route.revision is None or version or asked.revision is not None:
            raise error
        found = self.table(asked, Verb.INFER).service(route.revision.service, asked)
        other = None if found is None or found[1] else found[0].another(route)
        if other is None:
            raise error
        if route.observed is not None:  # the caller does not see it, and it failed all the same
            route.observed.answered(error, 0.0)
        return other

    def table(self, asked: Asked, verb: Verb) -> RouteTable:
        """All routes that whoever asks may do this with.

        Raises:
            Unauthenticated: a listener has not asked who that is; nobody gets anything by that fault.
        """
        if self.access is None:
            return self.routes
        if asked.identity is None:
            raise Unauthenticated
        return self.access.table(self.routes, asked.identity, verb)

    def begin(self, asked: Asked) -> Bucket | None:
        """Count an inference against the quota of whoever asks; what this returns is to be given to ``end``.

        Raises:
            QuotaExceeded: there is none left.
        """
        return None if self.access is None or asked.identity is None else self.access.begin(asked.identity)

    def end(self, bucket: Bucket | None) -> None:
        """The inference has had its answer."""
        if self.access is not None:
            self.access.end(bucket)

    def server_metadata(self) -> ServerMetadata:
        more = () if self.repository is None and not self.routes.services.by_name else REPOSITORY_EXTENSIONS
        return ServerMetadata("tidegate", self.settings.version, EXTENSIONS + more)

    @property
    def models(self) -> ModelRepository:
        """Whoever owns the models, to look at them.

        Raises:
            Unsupported: nobody does.
        """
        if self.repository is None:
            raise Unsupported("this server has no model repository")
        return self.repository

    def names(self, asked: Asked) -> list[str]:
        """The models that can be asked for where this was asked.

        Raises:
            NotFound: see ``RouteTable.resolve``.
        """
        return self.table(asked, Verb.METADATA).names(asked)

    async def index(self, asked: Asked) -> list[IndexEntry]:
        """Every version of every model that can be asked for where this was asked, or loaded. By name and number.

        Raises:
            Unsupported: nobody owns the models, and there is no service.
            NotFound: see ``RouteTable.resolve``.
        """
        table = self.table(asked, Verb.METADATA)
        services = table.services_of(asked)
        found = [entry for service in services.values() for entry in index_of(service)]
        if not table.is_for_service(asked) and (self.repository is not None or not services):
            index = await self.models.index()
            found += [
                entry for entry in index if entry.name not in services and allowed(asked, Verb.METADATA, entry.name)
            ]
            found.sort(key=lambda entry: entry.name)
        return found

    def control(self, model: str, asked: Asked) -> ModelRepository:
        """Whoever owns a model, to change whether it is served.

        Raises:
            Forbidden: callers may not.
            ShuttingDown: the server takes no more requests.
            ModelManaged: it is a service's, which says what is served.
            NotFound: see ``RouteTable.resolve``.
            Unsupported: nobody does.
        """
        if not self.settings.model_control:
            raise Forbidden(
                "models are loaded and unloaded by callers only where the server listens on a loopback address or is "
                "started with --model-control"
            )
        if self.leaving:
            raise ShuttingDown
        found = self.table(asked, Verb.CONTROL).service(model, asked)
        if found is not None:
            raise ModelManaged(model, f"service {found[0].name}")
        if not allowed(asked, Verb.CONTROL, model):
            raise ModelNotFound(model)
        return self.models

    async def signature(self, route: Route, deadline: float | None = None, nbytes: int = 0) -> ModelMetadata:
        """What a request to a route is held against. A model that sleeps, and was never awake, is woken to tell it.

        ``deadline`` None is that of a request whose caller sets none; ``nbytes`` is what the caller holds meanwhile.

        Raises:
            ModelNotReady: its first load has not ended yet, so nobody knows.
            TidegateError: see ``Backend.signature``.
        """
        metadata = route.backend.metadata
        if metadata is not None:
            return metadata
        if self.draining:
            raise ShuttingDown
        if deadline is None:
            deadline = self.deadline(asyncio.get_running_loop().time())
        self._enter()
        try:
            return await route.backend.signature(deadline, nbytes)
        finally:
            self._leave()

    async def model_metadata(self, route: Route) -> ModelMetadata:
        """The signature as callers are shown it, with all versions that are served under its name.

        Raises:
            TidegateError: see ``signature``.
        """
        signature = await self.signature(route)
        return msgspec.structs.replace(signature, name=route.name, versions=self.routes.versions_of(route))

    async def configuration(self, route: Route) -> ModelConfiguration:
        """How a route's model is run.

        Raises:
            Unsupported: nobody tells.
            TidegateError: see ``signature``.
        """
        if route.configure is None and route.revision is not None:
            raise Unsupported(f"model '{route.name}' does not tell how it is run")
        configure = route.configure or partial(self.models.configuration, route.model, route.version)
        await self.signature(route)
        return configure()

    def deadline(self, now: float, *wishes: float | None) -> float:
        """When a request is given up, as a time of the loop.

        The earliest of the caller's wishes (seconds from now), cut to the longest allowed; the default without one.
        """
        given = [wish for wish in wishes if wish is not None]
        return now + min((*given, self.settings.max_timeout) if given else (self.settings.default_timeout,))

    def caller(self, request: InferRequest, tenant: str, asked: Asked = PLAIN) -> Caller:
        """Who asks, for the queue; ``tenant`` is the one that the request names, "" where it names none.

        Raises:
            InvalidRequest: the parameter ``priority`` is none of the levels.
        """
        if asked.identity is not None:
            tenant = tenant_of(asked.identity, tenant)
        priority = request.parameters.get(PRIORITY)
        if priority is None and not tenant:
            return self._anybody  # as good as always
        return caller_of(priority, tenant, self.settings.caller)

    def traffic(self, route: Route) -> Traffic:
        """The counts of a route, bound on first use."""
        key = (route.model, route.version)
        found = self._traffic.get(key)
        if found is None:
            found = self._traffic[key] = self.metrics.bind(*key).traffic
        return found

    def forget(self, model: str, version: str) -> None:
        """Drop the metrics of a version that is gone for good: they would grow with every version there ever was."""
        self._traffic.pop((model, version), None)
        self.metrics.forget(model, version)

    def statistics(self, model: str = "", version: str = "", asked: Asked = PLAIN) -> list[ModelStatistics]:
        """The statistics of one version, of all versions of a model (``version`` ""), or of all models (``model`` "").

        By name, and a model's versions by number. They are those of the metrics, so that no two are the same.

        Raises:
            TidegateError: see ``RouteTable.resolve``.
        """
        one = bool(version) or (bool(model) and asked.revision is not None)
        table = self.table(asked, Verb.METADATA)
        routes = [table.resolve(model, version, asked)] if one else table.several(model, asked)
        return [
            model_statistics(route.model, route.version, route.backend.statistics(), route.outcomes) for route in routes
        ]

    async def infer(self, route: Route, request: InferRequest, deadline: float, caller: Caller = ANYBODY) -> Answer:
        """Execute one decoded request on a route. ``deadline`` is a time of the event loop, in seconds.

        It is the backend that keeps the deadline: a timer here, for each request, would cost more than all the rest.
        The caller must release the answer after encoding it, and reports the outcome with ``answered``.

        Raises:
            TidegateError: of any kind but NotFound. Foreign exceptions are logged and become InternalError.
            asyncio.CancelledError: the listener cancelled, because its caller went away.
        """
        signature = route.backend.metadata
        if signature is None:
            signature = await self.signature(route, deadline, content_bytes(request))
        elif self.draining:  # who waited for the signature had been accepted before
            raise ShuttingDown
        check_request(request, signature)
        traffic = self.traffic(route)
        begun = self._begin(traffic)
        try:
            if signature.decoupled:
                answer = await self._only(route, request, deadline, caller)
            else:
                answer = await route.backend.infer(request, deadline, caller)
        except BaseException as error:
            self._failed(route, traffic, begun, error)
            raise
        self._end(route, traffic, begun, True)
        traffic.rows += rows_of(request, signature)
        if route.shadow is not None and not (signature.decoupled or signature.stateful):
            route.shadow.copy(request, answer.response)
        return answer

    async def stream(
        self, route: Route, request: InferRequest, deadline: float, caller: Caller = ANYBODY
    ) -> AsyncGenerator[Answer, None]:
        """Execute one decoded request: any number of answers of a decoupled model, one of any other.

        Each is to be released before the next is asked for. Whoever stops in between must close the generator.

        Raises:
            TidegateError: as ``infer``, also after some answers.
        """
        signature = await self.signature(route, deadline, content_bytes(request))
        if not signature.decoupled:
            yield await self.infer(route, request, deadline, caller)
            return
        if self.draining:
            raise ShuttingDown
        check_request(request, signature)
        traffic = self.traffic(route)
        begun = self._begin(traffic)
        try:
            async with aclosing(route.backend.stream(request, deadline, caller)) as answers:
                async for answer in answers:
                    yield answer
        except BaseException as error:
            self._failed(route, traffic, begun, error)
            raise
        self._end(route, traffic, begun, True)
        traffic.rows += rows_of(request, signature)

    async def _only(self, route: Route, request: InferRequest, deadline: float, caller: Caller) -> Answer:
        """The one answer of a decoupled model, where there is room for one."""
        async with aclosing(route.backend.stream(request, deadline, caller)) as answers:
            first: InferResponse | None = None
            async for answer in answers:
                if first is not None:
                    answer.release()
                    raise Unsupported(f"model '{route.name}' answered with several responses; {_AS_STREAM}")
                first = owned(answer)  # the model may wait for this, and tells only then whether there is another
        if first is None:
            raise Unsupported(f"model '{route.name}' answered with no response; {_AS_STREAM}")
        return OwnedAnswer(request, first)

    # Not a context manager: one costs more than all that is done here, for every request.

    def _begin(self, traffic: Traffic) -> float:
        """A request is executed from here on; when that is, for its end."""
        traffic.inflight += 1
        self._enter()
        return perf_counter()

    def _failed(self, route: Route, traffic: Traffic, begun: float, error: BaseException) -> None:
        """Count a request that ends with an error or is withdrawn.

        Raises:
            InternalError: the error is a foreign one.
        """
        self._end(route, traffic, begun, False)
        if isinstance(error, Exception) and not isinstance(error, TidegateError):
            log.error("unexpected error while model %s answered", route.model, exc_info=error)
            raise InternalError from error

    def _end(self, route: Route, traffic: Traffic, begun: float, succeeded: bool) -> None:
        route.outcomes.ended(succeeded=succeeded, seconds=perf_counter() - begun)
        traffic.inflight -= 1
        self._leave()

    def answered(self, route: Route | None, protocol: Protocol, error: TidegateError | None, seconds: float) -> None:
        """Count one answer; ``error`` None is a success, ``route`` None a request that reached no model."""
        code = 200 if error is None else error.http_status
        if route is None:
            self.metrics.refused(protocol, code)
            return
        self.traffic(route).answered(protocol, code, seconds)
        if route.observed is not None:
            route.observed.answered(error, seconds)

    def leave(self) -> None:
        """Report not ready from now on, while requests are still taken: load balancers need time to notice."""
        self.leaving = True

    async def drain(self) -> None:
        """Take no more requests, and return once those in flight are answered. Copies for shadows are given up."""
        self.leaving = self.draining = True
        await self.shadows.close()
        while self._inflight:  # one that waited for a signature goes on to be executed
            await self._idle.wait()

    def _enter(self) -> None:
        self._inflight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._inflight -= 1
        if not self._inflight:
            self._idle.set()


def allowed(asked: Asked, verb: Verb, model: str) -> bool:
    """Whether whoever asks may do this with a model of the repository, which is in the default namespace."""
    return asked.identity is None or may(asked.identity, verb, DEFAULT_NAMESPACE, model)


def rows_of(request: InferRequest, signature: ModelMetadata) -> int:
    """Rows of a request that fits the signature; one where the model knows no batch."""
    return request.inputs[0].shape[0] if signature.batch_dimension and request.inputs else 1


def translated(error: BaseException) -> TidegateError:
    """What a listener answers for whatever it caught: the error itself if it is one of ours, else InternalError."""
    if isinstance(error, TidegateError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return RequestCancelled("the caller went away")
    log.error("unexpected error in a listener", exc_info=error)
    return InternalError()


def wished_timeout(request: InferRequest) -> float | None:
    """The parameter ``timeout`` (microseconds, as Triton's schedule policy has it) in seconds; 0 is no wish.

    Raises:
        InvalidRequest: it is not a whole number, or negative.
    """
    value = request.parameters.get(TIMEOUT)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidRequest(f"parameters: '{TIMEOUT}' is {as_sent(value)}, expected a whole number of microseconds")
    return value / 1e6 or None
