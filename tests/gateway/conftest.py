"""One server for all the faulty requests: none of them may do it any harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidegate.gateway.dataplane import GatewaySettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.limits import Limits
from tidegate.testing.backends import identity_route
from tidegate.testing.served import Served, served


@pytest.fixture(scope="module")
def sturdy() -> Iterator[Served]:
    """A server of models ``m`` (FP32), ``two`` (FP32 and INT8) and one per datatype, with bodies up to 1 MiB."""
    kinds = (Datatype.INT8, Datatype.UINT64, Datatype.BOOL, Datatype.BYTES)
    with served(
        identity_route("m"),
        identity_route("two", Datatype.FP32, Datatype.INT8),
        *(identity_route(kind.value.lower(), kind) for kind in kinds),
        gateway=GatewaySettings("0", limits=Limits(max_body_bytes=1 << 20, max_inflated_bytes=1 << 20)),
        http=HttpSettings(linger=0.05),
    ) as server:
        yield server
