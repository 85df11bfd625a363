"""Which addresses are open to a request that somebody else has named."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.outgoing.address import is_open, parse_host

CLOSED = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.192", "192.0.2.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::",
    "2001:0:808:808::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1",
]  # fmt: skip
PRIVATE = [ip_network(n) for n in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")]


@pytest.mark.parametrize("address", CLOSED)
def test_what_only_this_machine_or_its_network_reaches_is_closed(address: str) -> None:
    """However it is written."""
    assert not is_open(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"])
def test_what_the_internet_reaches_is_open(address: str) -> None:
    """A mapped address, and one that NAT64 leads to, counts as the one inside."""
    assert is_open(ip_address(address))


@given(st.sampled_from(PRIVATE), st.integers(0, 2**32 - 1), st.sampled_from(["::ffff:0:0", "64:ff9b::", None]))
def test_no_form_of_a_private_address_is_open(network: object, offset: int, prefix: str | None) -> None:
    """Whatever it is wrapped in, unless its own network is allowed."""
    assert hasattr(network, "num_addresses")
    inner = IPv4Address(int(network.network_address) + offset % network.num_addresses)  # type: ignore[attr-defined]
    address = inner if prefix is None else IPv6Address(int(IPv6Address(prefix)) + int(inner))
    assert not is_open(address)
    assert is_open(address, [ip_network(f"{inner}/32")])
    assert not is_open(address, [ip_network("11.0.0.0/8")])


@given(st.ip_addresses(v=4))
def test_an_address_and_its_mapped_form_agree(address: IPv4Address) -> None:
    """So that nobody gets in by the other door."""
    assert is_open(address) == is_open(IPv6Address(f"::ffff:{address}"))


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.0.0.1", "127.1", "0177.0.0.1", "127.0.0.1.", "1.2.3.4.5", "host.0x7f", "1e3.7"],
)
def test_an_address_in_another_form_is_none(host: str) -> None:
    """Resolvers take these for addresses, so that a check of names would let them pass."""
    with pytest.raises(ValueError, match="neither a name nor an address"):
        parse_host(host)


@pytest.mark.parametrize("host", ["example.com", "a1", "0x.example", "x0x7f"])
def test_a_name_is_no_address(host: str) -> None:
    """It is for the resolver."""
    assert parse_host(host) is None
