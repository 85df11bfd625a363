"""Where a listener listens: a host and a port bound, or one sentence that says why not."""

from __future__ import annotations

import asyncio
import ipaddress
import socket


class CannotListen(OSError):
    """An address that cannot be bound, in one sentence."""


async def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket on the first address that ``host`` resolves to.

    Raises:
        CannotListen: it does not resolve, or cannot be bound.
    """
    sock: socket.socket | None = None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        family, kind, number, _, address = found[0]
        sock = socket.socket(family, kind, number)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address[0], port, *address[2:]))  # getaddrinfo would take port 70000 for 4464
    except (OSError, OverflowError) as error:
        if sock is not None:
            sock.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}") from error
    sock.setblocking(False)
    return sock


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there, as far as the name tells."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
