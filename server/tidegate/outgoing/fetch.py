"""The one way for a request whose target somebody else has named: a manifest, a token, a registry's event.

The host must be one that is allowed, and so must every address that its name has. The name is resolved once, and the
connection goes to the address that was looked at, so that a second answer of the name's server changes nothing. There
are no redirects, no proxies of the environment and no decompression, and the answer is bounded in bytes and in time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import httpx

from tidegate.outgoing.address import Address, is_open, parse_host
from tidegate.outgoing.settings import OutgoingSettings, allows
from tidegate.protocol.errors import Unavailable, shown

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host's name."""

_PORTS = {"http": 80, "https": 443}


class DestinationRefused(Exception):
    """A request that may not go where it was meant to; the message is one sentence."""


class FetchFailed(Unavailable):
    """A request that may go there, and brought no answer that could be used."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's transport behind the guard. A client over it must be made with ``trust_env=False``.

    Connections are not kept: two hosts at one address would share them, and the second never be looked at.
    """

    def __init__(
        self, settings: OutgoingSettings, *, ssl_context: ssl.SSLContext | None = None, resolve: Resolve = resolve
    ) -> None:
        self._settings = settings
        self._networks = settings.allowed_networks
        self._resolve = resolve
        self._http = httpx.AsyncHTTPTransport(
            verify=ssl_context or True, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to an address that was looked at.

        Raises:
            DestinationRefused: it may not go there.
            httpx.HTTPError: as any transport.
        """
        url = request.url
        address = await self._address(url.scheme, url.host, url.port or _PORTS.get(url.scheme, 0))
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.headers.setdefault("host", url.netloc.decode("ascii"))
        request.url = url.copy_with(host=str(address))
        return await self._http.handle_async_request(request)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _address(self, scheme: str, host: str, port: int) -> Address:
        if not allows(self._settings, scheme, host, port):
            raise DestinationRefused(f"{shown(scheme)}://{shown(host)}:{port} is not among the allowed origins")
        try:
            named = parse_host(host)
        except ValueError as error:
            raise DestinationRefused(str(error)) from error
        try:
            addresses = [named] if named else [ip_address(each) for each in await self._resolve(host, port)]
        except OSError as error:
            raise httpx.ConnectError(f"{shown(host)} has no address: {error.strerror or error}") from error
        if not addresses:
            raise httpx.ConnectError(f"{shown(host)} has no address")
        for address in addresses:  # all of them: one that is private among others is how the others' check is passed
            if not is_open(address, self._networks):
                raise DestinationRefused(f"{shown(host)} is at {address}, which is neither public nor allowed")
        return addresses[0]


async def fetch(url: str, settings: OutgoingSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> bytes:
    """The body of what a GET finds at a URL; ``transport`` is for those who have one with other trust.

    Raises:
        DestinationRefused: it may not go there.
        FetchFailed: there is no answer in time, it is not 200, or it is too large.
    """
    try:
        async with (
            asyncio.timeout(settings.timeout),
            httpx.AsyncClient(
                transport=transport or GuardedTransport(settings), trust_env=False, follow_redirects=False, timeout=None
            ) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            if answer.status_code != 200:
                raise FetchFailed(f"{shown(url, 200)} answered {answer.status_code}, expected 200 without redirects")
            return await _body(answer, url, settings.max_bytes)
    except TimeoutError as error:
        raise FetchFailed(f"{shown(url, 200)} did not answer within {settings.timeout:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise FetchFailed(f"{shown(url, 200)} cannot be fetched: {error}") from error


async def _body(answer: httpx.Response, url: str, most: int) -> bytes:
    data = bytearray()
    async for part in answer.aiter_raw():
        data += part
        if len(data) > most:
            raise FetchFailed(f"{shown(url, 200)} answered more than {most} bytes")
    return bytes(data)
