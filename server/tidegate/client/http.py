"""The client over HTTP: v2's JSON, or its binary tensor extension."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from tidegate.client.answers import GRACE, ServerUnreachable, from_http
from tidegate.protocol import documents, rest
from tidegate.protocol.errors import DeadlineExceeded, InvalidRequest, TidegateError
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.protocol.messages import InferRequest, InferResponse, ModelMetadata

JSON_LENGTH = "inference-header-content-length"


class HttpClient:
    """One server at ``url`` ("http://127.0.0.1:8080"). ``binary`` sends and asks for tensors as bytes.

    Use it as a context manager: it keeps a connection open. ``limits`` bound what an answer may hold; ``grace`` is how
    many seconds after a deadline the server's own word on it is waited for.
    """

    def __init__(self, url: str, binary: bool = False, limits: Limits = DEFAULT_LIMITS, grace: float = GRACE) -> None:
        self._url = url.rstrip("/")
        self._binary = binary
        self._limits = limits
        self._grace = grace
        # A proxy of the environment cannot reach this machine's own loopback.
        self._http = httpx.Client(trust_env=not _is_loopback(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def infer(self, request: InferRequest, timeout: float = 60.0) -> InferResponse:
        """Ask a model. ``timeout`` in seconds is told to the server as the deadline of the call.

        A server that says nothing at all is given up when the grace is over, too.

        Raises:
            TidegateError: what the server answered, by its status; ServerUnreachable if it did not.
        """
        if self._binary:
            wishes = {"binary_data_output": True, **request.parameters}
            request = msgspec.structs.replace(request, parameters=wishes)
        body = rest.encode_request(request, binary_inputs=self._binary)
        headers = {"content-type": body.content_type, "x-request-timeout-ms": str(max(1, math.ceil(timeout * 1000)))}
        if body.json_length is not None:
            headers[JSON_LENGTH] = str(body.json_length)
        path = f"{_model_path(request.model_name, request.model_version)}/infer"
        answer = self._call("POST", path, timeout, body.join(), headers, self._grace)
        length = answer.headers.get(JSON_LENGTH)
        return rest.decode_response(answer.content, None if length is None else int(length), limits=self._limits)

    def model_metadata(self, name: str, version: str = "", timeout: float = 60.0) -> ModelMetadata:
        """A model's signature; version "" takes the server's default.

        Raises:
            TidegateError: as ``infer``.
        """
        return documents.decode_model_metadata(self._call("GET", _model_path(name, version), timeout).content)

    def models(self, timeout: float = 60.0) -> list[str]:
        """The names of the models that the server has, where it lists them (tidegate and KServe do).

        Raises:
            TidegateError: as ``infer``; NotFound from a server without the list.
        """
        content = self._call("GET", "/v2/models", timeout).content
        return msgspec.json.decode(content, type=dict[str, list[str]])["models"]

    def _call(
        self,
        method: str,
        path: str,
        timeout: float,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        grace: float = 0.0,
    ) -> httpx.Response:
        patience = httpx.Timeout(timeout + grace, connect=timeout)
        try:
            answer = self._http.request(method, self._url + path, content=content, headers=headers, timeout=patience)
        except httpx.ConnectTimeout as error:
            raise ServerUnreachable(f"{self._url} did not take the connection within {timeout:g} s") from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"{self._url} did not answer within {timeout:g} s") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise InvalidRequest(f"'{self._url}' is not an address: {error}") from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"{self._url} is not reachable: {error}") from error
        if answer.is_success:
            return answer
        raise _failed(answer)


def _failed(answer: httpx.Response) -> TidegateError:
    """The error that an answer stands for; a body that is not v2's (a proxy's page) is shown by its status alone."""
    try:
        message = documents.decode_error(answer.content)
    except TidegateError:
        message = f"the server answered {answer.status_code} {answer.reason_phrase}"
    wait = answer.headers.get("retry-after", "")
    return from_http(answer.status_code, message, float(wait) if wait.isdecimal() else None)


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:  # no address at all: the first call says so
        return False


def _model_path(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
