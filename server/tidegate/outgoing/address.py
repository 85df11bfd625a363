"""Which addresses a request may go to that somebody else has named: those that the whole Internet reaches. Pure.

An IPv4 address inside an IPv6 one counts as itself where networks use that today (mapped, NAT64); the older ways to
hide one (compatible, 6to4, Teredo) lead nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_CLOSED = (
    IPv4Network("0.0.0.0/8"), IPv4Network("100.64.0.0/10"), IPv4Network("169.254.0.0/16"), IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"), IPv4Network("198.18.0.0/15"), IPv4Network("224.0.0.0/3"),
    IPv6Network("::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("2001::/32"), IPv6Network("2002::/16"),
    IPv6Network("fc00::/7"), IPv6Network("fe80::/10"), IPv6Network("fec0::/10"), IPv6Network("ff00::/8"),
)  # fmt: skip
"""Named here, too, because what Python takes for global has changed from version to version. The metadata services of
the clouds are among them (169.254.169.254, 100.100.100.200, fd00:ec2::254)."""


def is_open(address: Address, networks: Iterable[Network] = ()) -> bool:
    """Whether a request may go there; ``networks`` are allowed although they are private."""
    plain = _unwrapped(address)
    return any(plain in network for network in networks) or _is_public(plain)


def parse_network(text: str) -> Network:
    """A network such as ``10.0.0.0/8``, or a single address.

    Raises:
        ValueError: it is none.
    """
    return ip_network(text)


def parse_host(host: str) -> Address | None:
    """The address that a URL's host is, None for a name.

    Raises:
        ValueError: it is a number in a form that some take for an address: ``2130706433``, ``0x7f.1``, ``127.1``.
    """
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2].lower()
        # By the URL standard what ends with a number is an IPv4 address, in whatever form.
        if last.isdigit() or (last.startswith("0x") and all(c in "0123456789abcdef" for c in last[2:])):
            raise ValueError(f"'{host}' is neither a name nor an address in its usual form") from None
        return None


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not (address.is_private or address.is_loopback or address.is_link_local or address.is_multicast)
        and not (address.is_reserved or address.is_unspecified)
        and not any(address in network for network in _CLOSED)
    )
