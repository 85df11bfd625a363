"""Moves HTTP messages, over httpx's connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx

from tidegate.client.address import Address
from tidegate.client.answers import ConnectionLost, ServerUnreachable
from tidegate.client.framing import EVENTS, Framing
from tidegate.client.http_calls import HttpAnswer, HttpMessage
from tidegate.client.settings import ClientSettings
from tidegate.protocol.errors import InvalidRequest, InvalidResponse, TidegateError


class HttpTransport:
    """One server. Connections are kept and used again, each by one call at a time."""

    def __init__(self, address: Address, settings: ClientSettings, framing: Framing = EVENTS) -> None:
        self._address = address
        self._framing = framing
        self._most = settings.limits.max_inflated_bytes
        connections = settings.max_connections
        self._http = httpx.AsyncClient(
            verify=settings.tls() or True,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=not address.loopback,
        )

    async def exchange(self, message: HttpMessage, remaining: float, grace: float) -> HttpAnswer:
        answer = await self._send(message, remaining)
        try:
            return HttpAnswer(answer.status_code, answer.reason_phrase, answer.headers, await self._body(answer))
        except (httpx.DecodingError, httpx.TransportError) as error:
            raise self._broken(error) from error
        finally:
            await answer.aclose()

    async def stream(self, message: HttpMessage, remaining: float) -> AsyncGenerator[HttpAnswer, None]:
        answer = await self._send(message, remaining)
        status, reason, headers = answer.status_code, answer.reason_phrase, answer.headers
        try:
            if not (answer.is_success and self._framing.applies(headers)):
                yield HttpAnswer(status, reason, headers, await self._body(answer))
                return
            reader = self._framing.reader(self._most)
            async for part in answer.aiter_bytes():
                for data in reader.feed(part):
                    yield HttpAnswer(status, reason, headers, data)
        except (httpx.DecodingError, httpx.TransportError) as error:
            raise self._broken(error) from error
        finally:
            await answer.aclose()

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(self, message: HttpMessage, remaining: float) -> httpx.Response:
        """The head of the answer; its body is still to be read, and to be closed."""
        try:
            return await self._http.send(self._request(message, remaining), stream=True)
        except (httpx.LocalProtocolError, UnicodeEncodeError) as error:
            raise InvalidRequest(f"headers: {error}") from error
        except httpx.ConnectTimeout as error:
            text = f"{self._address} did not take the connection within {remaining:.3g} s"
            raise ServerUnreachable(text) from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise ServerUnreachable(f"{self._address} is not reachable: {error}") from error
        except httpx.TransportError as error:
            raise self._broken(error) from error

    def _request(self, message: HttpMessage, remaining: float) -> httpx.Request:
        # Only connecting has a time of its own, to be told from a server that does not answer.
        return self._http.build_request(
            message.method,
            f"{self._address}{message.path}",
            headers=dict(message.headers),
            content=message.body or None,
            timeout=httpx.Timeout(None, connect=remaining),
        )

    async def _body(self, answer: httpx.Response) -> bytes:
        """The body, decompressed; a server cannot make it larger than the limit."""
        parts: list[bytes] = []
        size = 0
        async for part in answer.aiter_bytes():
            size += len(part)
            if size > self._most:
                raise InvalidResponse(f"it has more than {self._most} bytes, the client's limit max_inflated_bytes")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _broken(self, error: httpx.DecodingError | httpx.TransportError) -> TidegateError:
        if isinstance(error, httpx.DecodingError):
            return InvalidResponse(f"its compression is broken: {error}")
        return ConnectionLost(f"{self._address} is not reachable: {error or type(error).__name__}")
