"""Who reaches an address."""

from __future__ import annotations

import pytest

from tidegate.gateway.address import is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only this machine, as far as the name tells; a name that could be anything is not."""
    assert is_loopback(host) is loopback
    assert not is_loopback("example")
