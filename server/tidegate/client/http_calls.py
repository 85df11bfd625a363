"""v2 over HTTP: what each call sends, and what its answer means. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import msgspec

from tidegate.client.answers import from_http
from tidegate.client.calls import Exchange, LoadParameters
from tidegate.client.settings import ClientSettings
from tidegate.protocol import documents, generate, rest
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, TidegateError, shown
from tidegate.protocol.limits import Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from tidegate.protocol.parameters import WISH_FOR_ALL
from tidegate.protocol.repository import IndexEntry
from tidegate.protocol.statistics import ModelStatistics

T = TypeVar("T")

JSON_LENGTH = "inference-header-content-length"
TIMEOUT = "x-request-timeout-ms"
EVENTS = "text/event-stream"

_NOT_NOW = (400, 503)
"""What a server says that is not live or not ready: 400 is Triton's and MLServer's."""


class _Failure(msgspec.Struct):
    """An event that is an error, if it is one: a model's output of that name is no text beside a status."""

    error: str | None = None
    status: int = 500


_FAILURE = msgspec.json.Decoder(_Failure)


class HttpMessage(msgspec.Struct, frozen=True):
    """A request; ``path`` begins at the root of the server."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class HttpAnswer(msgspec.Struct, frozen=True):
    """A whole answer, or the data of one event of it; the names of ``headers`` are in any case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


HttpExchange = Exchange[HttpMessage, HttpAnswer, T]


class HttpCalls:
    """The calls to one server, with what ``settings`` say of headers and forms."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings

    def infer(self, request: InferRequest, tenant: str) -> HttpExchange[InferResponse]:
        settings = self._settings
        if settings.binary:
            wishes = {WISH_FOR_ALL: True, **request.parameters}
            request = msgspec.structs.replace(request, parameters=wishes)
        encoded = rest.encode_request(request, binary_inputs=settings.binary)
        headers = {**settings.all_headers, "content-type": encoded.content_type}
        if encoded.json_length is not None:
            headers[JSON_LENGTH] = str(encoded.json_length)
        if tenant:
            headers[settings.tenant_header] = tenant
        path, body = f"{_model(request.model_name, request.model_version)}/infer", encoded.join()

        def message(remaining: float) -> HttpMessage:
            return HttpMessage("POST", path, {**headers, TIMEOUT: _milliseconds(remaining)}, body)

        return Exchange(message, self._read_response, told=True)

    reads_by_signature = True

    def stream(
        self, request: InferRequest, tenant: str, signature: ModelMetadata | None
    ) -> HttpExchange[InferResponse | None]:
        """By Triton's generate extension: its events are flat JSON, which only the signature makes tensors of."""
        if signature is None:
            raise InvalidRequest("generate_stream is read by the model's signature, and none is given")
        settings = self._settings
        headers = {**settings.all_headers, "content-type": "application/json", "accept": EVENTS}
        if tenant:
            headers[settings.tenant_header] = tenant
        path = f"{_model(request.model_name, request.model_version)}/generate_stream"
        body = generate.encode_request(request, signature)

        def message(remaining: float) -> HttpMessage:
            return HttpMessage("POST", path, {**headers, TIMEOUT: _milliseconds(remaining)}, body)

        return Exchange(message, partial(_read_event, signature, settings.limits), told=True)

    def server_live(self) -> HttpExchange[bool]:
        return self._get("/v2/health/live", _read_flag)

    def server_ready(self) -> HttpExchange[bool]:
        return self._get("/v2/health/ready", _read_flag)

    def server_metadata(self) -> HttpExchange[ServerMetadata]:
        return self._get("/v2", _document(documents.decode_server_metadata))

    def model_ready(self, name: str, version: str) -> HttpExchange[bool]:
        return self._get(f"{_model(name, version)}/ready", _read_flag)

    def model_metadata(self, name: str, version: str) -> HttpExchange[ModelMetadata]:
        return self._get(_model(name, version), _document(documents.decode_model_metadata))

    def statistics(self, name: str, version: str) -> HttpExchange[tuple[ModelStatistics, ...]]:
        path = f"{_model(name, version)}/stats" if name else "/v2/models/stats"
        return self._get(path, _document(documents.decode_statistics))

    def models(self) -> HttpExchange[list[str]]:
        return self._get("/v2/models", _document(documents.decode_models))

    def repository_index(self, ready: bool) -> HttpExchange[tuple[IndexEntry, ...]]:
        body = documents.encode_index_request(ready)
        return self._post("/v2/repository/index", body, _document(documents.decode_index))

    def load_model(self, name: str, parameters: LoadParameters) -> HttpExchange[None]:
        body = documents.encode_load_request(parameters)
        return self._post(f"{_repository(name)}/load", body, _done, idempotent=False)

    def unload_model(self, name: str) -> HttpExchange[None]:
        return self._post(f"{_repository(name)}/unload", b"{}", _done, idempotent=False)

    def _get(self, path: str, read: Callable[[HttpAnswer], T]) -> HttpExchange[T]:
        return self._same(HttpMessage("GET", path, self._settings.all_headers), read)

    def _post(
        self, path: str, body: bytes, read: Callable[[HttpAnswer], T], *, idempotent: bool = True
    ) -> HttpExchange[T]:
        headers = {**self._settings.all_headers, "content-type": "application/json"}
        return self._same(HttpMessage("POST", path, headers, body), read, idempotent)

    def _same(self, message: HttpMessage, read: Callable[[HttpAnswer], T], idempotent: bool = True) -> HttpExchange[T]:
        return Exchange(lambda _: message, read, idempotent=idempotent)

    def _read_response(self, answer: HttpAnswer) -> InferResponse:
        _check(answer)
        told = answer.headers.get(JSON_LENGTH)
        if told is not None and not told.isdecimal():
            raise InvalidResponse(f"{JSON_LENGTH} is '{shown(told)}', expected a number of bytes")
        return rest.decode_response(answer.body, None if told is None else int(told), limits=self._settings.limits)


def failure(answer: HttpAnswer) -> TidegateError:
    """The error that an answer stands for; a body that is not v2's (a proxy's page) is shown by its status alone."""
    try:
        message = documents.decode_error(answer.body)
    except TidegateError:
        message = f"the server answered {answer.status} {answer.reason}"
    wait = answer.headers.get("retry-after", "")
    # The other form, a date, is for the clocks of browsers: no server of v2 sends it.
    return from_http(answer.status, message, float(wait) if wait.isdecimal() else None)


def _check(answer: HttpAnswer) -> None:
    if not 200 <= answer.status < 300:
        raise failure(answer)


def _document(decode: Callable[[bytes], T]) -> Callable[[HttpAnswer], T]:
    return partial(_read_document, decode)


def _read_document(decode: Callable[[bytes], T], answer: HttpAnswer) -> T:
    _check(answer)
    return decode(answer.body)


def _read_flag(answer: HttpAnswer) -> bool:
    """Yes or no is in the status; some servers say it in the body, too, or even there alone."""
    if answer.status in _NOT_NOW:
        return False
    _check(answer)
    try:
        told = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return True
    return not (isinstance(told, dict) and (told.get("ready") is False or told.get("live") is False))


def _read_event(signature: ModelMetadata, limits: Limits, answer: HttpAnswer) -> InferResponse:
    """One event; an error among them has its status beside it from our servers, and is a failure of others'."""
    _check(answer)
    if not is_events(answer.headers):
        raise InvalidResponse(f"it is of type '{shown(answer.headers.get('content-type', ''))}', expected {EVENTS}")
    try:
        failure = _FAILURE.decode(answer.body)
    except msgspec.DecodeError:
        failure = _Failure()
    if failure.error is not None:
        raise from_http(failure.status, failure.error)
    try:
        return generate.decode_response(answer.body, signature, limits)
    except InvalidRequest as error:  # the decoders speak as servers do
        raise InvalidResponse(error.message.replace("input", "output", 1)) from error


def is_events(headers: Mapping[str, str]) -> bool:
    """Whether an answer consists of events."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == EVENTS


def _milliseconds(remaining: float) -> str:
    return str(max(1, math.ceil(remaining * 1000)))


def _done(answer: HttpAnswer) -> None:
    _check(answer)


def _model(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _repository(name: str) -> str:
    return f"/v2/repository/models/{quote(name, safe='')}"
