"""Whose request it is: everybody's on this machine, or whoever shows a token.

Without tokens only programs of this machine are let in. A browser is one of them, and does what any page says: so what
comes from a page of another origin is refused, and what was led here by a foreign name (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from typing import Protocol

from starlette.requests import Request

from tidegate.identity.authenticator import Authenticator
from tidegate.identity.credentials import read_credentials
from tidegate.identity.identity import LOCAL, Identity
from tidegate.protocol.errors import Forbidden, shown


class Door(Protocol):
    """Who is let in, and as whom."""

    async def identify(self, request: Request) -> Identity:
        """Raises:
        Unauthenticated, Forbidden: nobody that may come in.
        """
        ...


class LocalDoor:
    """Everybody who reaches the port, which is on loopback, may do everything."""

    async def identify(self, request: Request) -> Identity:
        host = request.headers.get("host", "")
        if not _is_local(host):
            raise Forbidden(f"the Host header is '{shown(host)}', expected this machine: localhost, 127.0.0.1 or [::1]")
        check_origin(request)
        return LOCAL


class TokenDoor:
    """Who shows a token that is known."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def identify(self, request: Request) -> Identity:
        check_origin(request)
        return await self._authenticator.identify(read_credentials(request.headers.raw))


def check_origin(request: Request) -> None:
    """Refuse what a page of another origin makes a browser send.

    Raises:
        Forbidden: it comes from one.
    """
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and origin.partition("://")[2] != host:
        raise Forbidden(f"the request comes from a page of '{shown(origin)}', which may not ask here")


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
