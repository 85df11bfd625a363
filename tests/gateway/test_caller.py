"""Who asks: from parameter and header to a caller, and through both listeners."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from tidegate.gateway.backend import Caller
from tidegate.gateway.caller import CallerSettings, TenantHeader, caller_of
from tidegate.gateway.dataplane import GatewaySettings
from tidegate.gateway.routes import Route
from tidegate.protocol.errors import InvalidRequest
from tidegate.protocol.limits import Limits
from tidegate.protocol.tensors import Parameter
from tidegate.testing.backends import IdentityBackend, identity_metadata
from tidegate.testing.requests import BODY
from tidegate.testing.served import Served, served
from tidegate.testing.served_grpc import served_grpc

DEFAULT = CallerSettings()
LEVELS = "expected a whole number from 0 (the default) or 1 (the most urgent) to 9"


@pytest.mark.parametrize(("priority", "level"), [(None, 5), (0, 5), (1, 1), (5, 5), (9, 9)])
def test_a_priority_is_a_level(priority: int | None, level: int) -> None:
    """1 is the most urgent; none, and 0, is the default."""
    assert caller_of(priority, "", DEFAULT) == Caller("", 1.0, level)


@pytest.mark.parametrize(
    ("priority", "sent"),
    [(10, "10"), (-1, "-1"), (1.0, "1.0"), (True, "true"), (False, "false"), ("1", '"1"'), (1 << 63, str(1 << 63))],
)
def test_any_other_priority_is_refused(priority: Parameter, sent: str) -> None:
    """Rather than cut to a level: a caller that is wrong about the levels learns it."""
    with pytest.raises(InvalidRequest) as raised:
        caller_of(priority, "", DEFAULT)
    assert raised.value.message == f"parameters: 'priority' is {sent}, {LEVELS}"


def test_a_tenant_has_its_weight() -> None:
    """1 where none is set, which is what those without a tenant have, too."""
    settings = CallerSettings(tenant_weights={"acme": 3.0})
    assert [caller_of(None, tenant, settings).weight for tenant in ("acme", "other", "")] == [3.0, 1.0, 1.0]


@given(st.integers(1, 20), st.data())
def test_every_level_is_a_class_of_its_own(levels: int, data: st.DataObject) -> None:
    """A lower number never comes after a higher one, whatever the number of levels and the default."""
    settings = CallerSettings(priority_levels=levels, default_priority=data.draw(st.integers(1, levels)))
    classes = [caller_of(level, "", settings).priority for level in range(1, levels + 1)]
    assert classes == sorted(set(classes))
    assert caller_of(None, "", settings).priority in classes


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"priority_levels": 0}, "priority_levels is 0, expected at least 1"),
        ({"default_priority": 0}, "default_priority is 0, expected 1 to 9"),
        ({"priority_levels": 3}, "default_priority is 5, expected 1 to 3"),
        ({"tenant_weights": {"a": 0.0}}, "tenant_weights of 'a' is 0, expected a finite number above 0"),
        ({"tenant_weights": {"a": float("nan")}}, "tenant_weights of 'a' is nan, expected a finite number above 0"),
        ({"tenant_weights": {"a": float("inf")}}, "tenant_weights of 'a' is inf, expected a finite number above 0"),
        ({"tenant_header": "a b"}, "tenant_header is 'a b', expected a name of letters, digits, '-', '_' and '.'"),
        ({"tenant_header": ":path"}, "tenant_header is ':path', expected a name of letters, digits, '-', '_' and '.'"),
        ({"tenant_header": "Host"}, "tenant_header is 'Host', expected a header that has no other meaning"),
        ({"tenant_header": "grpc-x"}, "tenant_header is 'grpc-x', expected a header that has no other meaning"),
        ({"tenant_header": "x-bin"}, "tenant_header is 'x-bin', expected a header that has no other meaning"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields: dict[str, Any], problem: str) -> None:
    """As soon as they are said."""
    with pytest.raises(ValueError, match="expected") as raised:
        CallerSettings(**fields)
    assert str(raised.value) == problem


@given(st.text(min_size=1, max_size=32).filter(str.isprintable))
def test_a_tenant_may_be_any_printable_text(tenant: str) -> None:
    """In UTF-8, which is what HTTP and gRPC clients send where they send more than ASCII."""
    header = TenantHeader.of(DEFAULT, Limits())
    assert header.text(tenant.encode()) == tenant
    assert header.among([(b"a", b"b"), (b"x-tenant-id", tenant.encode())]) == tenant


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"a\tb", r"header 'x-tenant-id' is 'a\tb', expected printable text in UTF-8"),
        (b"\xff", r"header 'x-tenant-id' is '\xff', expected printable text in UTF-8"),
        ("a\u202eb".encode(), r"header 'x-tenant-id' is 'a\u202eb', expected printable text in UTF-8"),
        (b"a" * 1025, "header 'x-tenant-id' has 1025 bytes, at most 1024 are allowed"),
    ],
)
def test_any_other_tenant_is_refused(value: bytes, problem: str) -> None:
    """It would stand in logs, and be compared with names that look the same."""
    with pytest.raises(InvalidRequest) as raised:
        TenantHeader.of(DEFAULT, Limits()).text(value)
    assert raised.value.message == problem


GATEWAY = GatewaySettings("0", caller=CallerSettings(tenant_header="X-Team", tenant_weights={"acme": 2.0}))
CALLERS = [Caller("", 1.0, 5), Caller("", 1.0, 1), Caller("acme", 2.0, 5), Caller("other", 1.0, 9)]


def ask(library: Any, client: Any) -> None:
    """The same four requests by either of Triton's clients."""
    tensor = library.InferInput("fp32", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
    client.infer("m", [tensor])
    client.infer("m", [tensor], priority=1)
    client.infer("m", [tensor], headers={"x-team": "acme"})
    client.infer("m", [tensor], headers={"x-team": "other"}, priority=9)


def test_both_listeners_tell_who_asks() -> None:
    """The same words of a client make the same caller over HTTP and over gRPC."""
    over_http, over_grpc = (IdentityBackend(identity_metadata("m")) for _ in range(2))
    with (
        served(Route("m", "1", over_http), gateway=GATEWAY) as server,
        triton_http.InferenceServerClient(f"127.0.0.1:{server.port}") as http,
    ):
        ask(triton_http, http)
    with (
        served_grpc(Route("m", "1", over_grpc), gateway=GATEWAY) as server,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{server.port}") as grpc,
    ):
        ask(triton_grpc, grpc)
    assert over_http.callers == over_grpc.callers == CALLERS


def post(server: Served, headers: list[tuple[bytes, bytes]]) -> httpx.Response:
    return httpx.post(f"{server.url}/v2/models/m/infer", content=BODY, headers=headers, trust_env=False)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([b"a", b"a"], "header 'x-team' is given more than once"),
        ([b"\xc3"], r"header 'x-team' is '\xc3', expected printable text in UTF-8"),
    ],
)
def test_http_refuses_what_is_no_tenant(values: list[bytes], problem: str) -> None:
    """With 400, and the backend is not asked."""
    asked = IdentityBackend(identity_metadata("m"))
    with served(Route("m", "1", asked), gateway=GATEWAY) as server:
        answer = post(server, [(b"X-Team", value) for value in values])
        assert (answer.status_code, answer.json()) == (400, {"error": problem})
        assert post(server, []).status_code == 200
    assert asked.callers == CALLERS[:1]


def test_grpc_refuses_what_is_no_caller() -> None:
    """With INVALID_ARGUMENT, and the same words as over HTTP."""
    asked = IdentityBackend(identity_metadata("m"))
    tensor = triton_grpc.InferInput("fp32", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
    with (
        served_grpc(Route("m", "1", asked), gateway=GATEWAY) as server,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{server.port}") as client,
    ):
        with pytest.raises(InferenceServerException, match=r"'priority' is 10, expected") as raised:
            client.infer("m", [tensor], priority=10)
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
        with pytest.raises(InferenceServerException, match=r"header 'x-team' has 1025 bytes, at most 1024 are allowed"):
            client.infer("m", [tensor], headers={"x-team": "a" * 1025})
    assert asked.callers == []


def test_metadata_that_names_two_tenants_is_refused() -> None:
    """As with HTTP's headers; without a configured name nobody looks."""
    twice = [(b"x-team", b"a"), (b"x-team", b"b")]
    with pytest.raises(InvalidRequest, match=r"^header 'x-team' is given more than once$"):
        TenantHeader.of(GATEWAY.caller, Limits()).among(twice)
    assert TenantHeader.of(CallerSettings(tenant_header=""), Limits()).among([(b"", b"a")]) == ""
