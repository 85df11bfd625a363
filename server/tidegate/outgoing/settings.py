"""Where requests may go that somebody else names, and what their answers may take."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from tidegate.outgoing.address import Network, parse_network
from tidegate.protocol.errors import shown

_ORIGIN = re.compile(r"(https?)://(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_PORTS = {"http": 80, "https": 443}


class OutgoingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed; nothing by default.

    Raises:
        ValueError: an origin or a network is none.
    """

    origins: tuple[str, ...] = ()
    """Where to: ``https://HOST``, ``https://HOST:PORT``, or ``https://*.DOMAIN`` for all hosts below a domain."""
    networks: tuple[str, ...] = ()
    """Networks that a host may lie in although they are not public: ``10.0.0.0/8``."""
    timeout: float = 10.0
    """Seconds for one answer, from the name's resolution to its last byte."""
    max_bytes: int = 1 << 20
    """Largest answer."""

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"origins has '{shown(origin)}', expected https://HOST, with :PORT or *. if need be")
        for network in self.networks:
            try:
                parse_network(network)
            except ValueError as error:
                raise ValueError(f"networks has '{shown(network)}', expected one such as 10.0.0.0/8") from error

    @property
    def allowed_networks(self) -> tuple[Network, ...]:
        return tuple(parse_network(network) for network in self.networks)


def allows(settings: OutgoingSettings, scheme: str, host: str, port: int) -> bool:
    """Whether an origin is one of those that are allowed."""
    return any(_matches(origin, scheme, host.lower().strip("[]"), port) for origin in settings.origins)


def origin_of(url: str) -> str:
    """The origin that a URL is at, as the settings have it.

    Raises:
        ValueError: it is no URL over HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"'{shown(url)}' is no URL, expected https://HOST/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if parts.port is None else f":{parts.port}")


def _matches(origin: str, scheme: str, host: str, port: int) -> bool:
    form = _ORIGIN.fullmatch(origin)
    assert form is not None  # the settings' own check
    allowed, below, name, at = form.groups()
    name = name.lower().strip("[]")
    same_port = port == (int(at[1:]) if at else _PORTS[allowed])
    return scheme == allowed and same_port and (host.endswith(f".{name}") if below else host == name)
