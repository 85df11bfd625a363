"""What the infer route reads from headers."""

from __future__ import annotations

import pytest

from tidegate.gateway.caller import TenantHeader
from tidegate.gateway.http.request_head import RequestHead, body_head, read_head
from tidegate.protocol.errors import InvalidRequest, UnsupportedMediaType

TENANTS = TenantHeader(b"x-tenant-id", 8)


def test_nothing_said_is_none() -> None:
    """Without headers there is no body, no deadline and no encoding."""
    head = read_head([])
    assert head == RequestHead(None, False, None, None, "", "", expects_continue=False)
    assert not head.has_body


def test_everything_said_is_read() -> None:
    """Lengths are in bytes, the timeout becomes seconds."""
    head = read_head(
        [
            (b"content-length", b"12"),
            (b"inference-header-content-length", b"7"),
            (b"x-request-timeout-ms", b"1.5"),
            (b"content-encoding", b"gzip"),
            (b"accept-encoding", b"deflate"),
            (b"expect", b"100-continue"),
        ]
    )
    assert head == RequestHead(12, False, 7, 0.0015, "gzip", "deflate", expects_continue=True)
    assert head.has_body


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([(b"content-length", b"0")], False, id="length-zero"),
        pytest.param([(b"content-length", b"1")], True, id="length"),
        pytest.param([(b"transfer-encoding", b"chunked")], True, id="chunked"),
    ],
)
def test_a_body_is_announced_by_length_or_chunks(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    """Whether bytes follow is known before any is read."""
    assert body_head(headers).has_body is expected


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1_0", b"1.0", b" 1", b"0x1", "١".encode(), b"9" * 21])
def test_a_json_length_is_digits(value: bytes) -> None:
    """Nothing that only Python would read as a number is taken for a length."""
    with pytest.raises(InvalidRequest, match=r"^header 'Inference-Header-Content-Length' is '.*', expected the JSON"):
        read_head([(b"inference-header-content-length", value)])


@pytest.mark.parametrize("value", [b"", b"0", b"0.0", b"-5", b"1e3", b"inf", b"nan", b"1.2.3", b"1 ", b"9" * 21])
def test_a_timeout_is_a_positive_number(value: bytes) -> None:
    """Nothing else is a deadline: a wish that cannot be kept is refused rather than ignored."""
    with pytest.raises(InvalidRequest, match=r"^header 'X-Request-Timeout-Ms' is '.*', expected a positive number of"):
        read_head([(b"x-request-timeout-ms", value)])


@pytest.mark.parametrize("name", ["Inference-Header-Content-Length", "X-Request-Timeout-Ms"])
def test_a_header_that_counts_is_given_once(name: str) -> None:
    """Of two values nobody can tell which one was meant."""
    with pytest.raises(InvalidRequest, match=rf"^header '{name}' is given more than once$"):
        read_head([(name.lower().encode(), b"1"), (name.lower().encode(), b"1")])


def test_the_tenant_is_read() -> None:
    """From the header that is configured, whatever else stands there."""
    assert read_head([(b"x", b"y"), (b"x-tenant-id", b"acme")], TENANTS).tenant == "acme"


@pytest.mark.parametrize("headers", [[], [(b"x-tenant-id", b"")], [(b"x-tenant", b"acme")]])
def test_no_tenant_is_none(headers: list[tuple[bytes, bytes]]) -> None:
    """A request without the header, or with nothing in it, is nobody's in particular."""
    assert read_head(headers, TENANTS).tenant == ""


def test_without_a_tenant_header_nobody_looks() -> None:
    """Switched off, the same header is one that nobody knows, however often it is there."""
    headers = [(b"x-tenant-id", b"acme"), (b"x-tenant-id", b"\xff" * 9), (b"content-length", b"3")]
    assert read_head(headers) == RequestHead(3, False, None, None, "", "", expects_continue=False)


def test_two_tenants_are_refused() -> None:
    """Also where both have the same name, for then something between is set up wrongly."""
    with pytest.raises(InvalidRequest, match=r"^header 'x-tenant-id' is given more than once$"):
        read_head([(b"x-tenant-id", b"a"), (b"x-tenant-id", b"a")], TENANTS)


def test_a_tenant_that_is_no_name_is_refused() -> None:
    """Before the body is read; what a name is stands in ``gateway.caller``."""
    with pytest.raises(InvalidRequest, match=r"^header 'x-tenant-id' has 9 bytes, at most 8 are allowed$"):
        read_head([(b"x-tenant-id", b"a" * 9)], TENANTS)


def test_other_headers_may_repeat() -> None:
    """A header that is none of ours may stand there as often as it likes."""
    assert read_head([(b"x", b"1"), (b"x", b"2"), (b"content-length", b"3")]).content_length == 3


@pytest.mark.parametrize(
    "kind",
    [b"multipart/form-data; boundary=x", b"text/html", b"TEXT/XML", b"application/xml", b"image/png", b"video/mp4"],
)
def test_a_foreign_type_is_refused(kind: bytes) -> None:
    """What is plainly no inference is refused by its type, and told what is expected."""
    expected = rf"^content type '{kind.decode()}' is not supported; expected application/json or application/octet-"
    with pytest.raises(UnsupportedMediaType, match=expected):
        read_head([(b"content-type", kind)])


@pytest.mark.parametrize(
    "kind", [b"application/json", b"application/octet-stream", b"application/x-www-form-urlencoded", b"text/plain", b""]
)
def test_an_ordinary_type_decides_nothing(kind: bytes) -> None:
    """The types that real clients send with an inference are all taken for what the body is."""
    assert read_head([(b"content-type", kind)]).json_length is None
