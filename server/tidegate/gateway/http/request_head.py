"""What the infer route reads from a request's headers. Pure.

The body is binary if ``Inference-Header-Content-Length`` says so, never because of its Content-Type: Triton's client
sends no type, curl sends a form's, and both mean what the body is.
"""

from __future__ import annotations

import msgspec

from tidegate.gateway.caller import NO_TENANTS, TenantHeader
from tidegate.protocol.errors import InvalidRequest, UnsupportedMediaType, shown

HeaderList = list[tuple[bytes, bytes]]

JSON_LENGTH = b"inference-header-content-length"
TIMEOUT = b"x-request-timeout-ms"

_ONCE = {JSON_LENGTH: "Inference-Header-Content-Length", TIMEOUT: "X-Request-Timeout-Ms"}
_FOREIGN_TYPES = (b"multipart/", b"image/", b"audio/", b"video/", b"text/html", b"text/xml", b"application/xml")


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """Lengths in bytes, ``timeout`` in seconds; None, or "" for a text, where the caller says nothing."""

    content_length: int | None
    chunked: bool
    json_length: int | None
    timeout: float | None
    content_encoding: str
    accept_encoding: str
    expects_continue: bool
    tenant: str = ""

    @property
    def has_body(self) -> bool:
        return bool(self.content_length) or self.chunked


def read_head(headers: HeaderList, tenants: TenantHeader = NO_TENANTS) -> RequestHead:
    """The headers that matter to an inference, with lower-case names as ASGI has them.

    Raises:
        InvalidRequest: a number is none, the tenant is no name, or a header that says one thing stands there twice.
        UnsupportedMediaType: the type is clearly not an inference's.
    """
    found = dict(headers)
    if len(found) != len(headers):
        _check_once(headers, tenants)
    kind = found.get(b"content-type")
    if kind is not None and kind.lower().startswith(_FOREIGN_TYPES):
        raise UnsupportedMediaType(
            f"content type '{_text(kind)}' is not supported; expected application/json or application/octet-stream"
        )
    json_length = found.get(JSON_LENGTH)
    timeout = found.get(TIMEOUT)
    tenant = found.get(tenants.name)
    return RequestHead(
        content_length=_content_length(found),
        chunked=b"transfer-encoding" in found,
        json_length=None if json_length is None else _whole(json_length),
        timeout=None if timeout is None else _milliseconds(timeout) / 1000,
        content_encoding=found.get(b"content-encoding", b"").decode("latin-1"),
        accept_encoding=found.get(b"accept-encoding", b"").decode("latin-1"),
        expects_continue=b"expect" in found,
        tenant="" if tenant is None else tenants.text(tenant),
    )


def body_head(headers: HeaderList) -> RequestHead:
    """The part that tells how a body arrives; for requests whose other headers do not matter or are at fault."""
    found = dict(headers)
    return RequestHead(
        _content_length(found), b"transfer-encoding" in found, None, None, "", "", expects_continue=b"expect" in found
    )


def _content_length(found: dict[bytes, bytes]) -> int | None:
    value = found.get(b"content-length")
    return None if value is None else int(value)  # the parser has let only one through, and only digits


def _whole(value: bytes) -> int:
    # Twenty digits are more than any length has, and int() takes longer than linear time.
    if value.isdigit() and len(value) <= 20:
        return int(value)
    name = _ONCE[JSON_LENGTH]
    raise InvalidRequest(f"header '{name}' is '{_text(value)}', expected the JSON part's length in bytes")


def _milliseconds(value: bytes) -> float:
    if len(value) <= 20 and value.replace(b".", b"", 1).isdigit() and float(value) > 0:
        return float(value)
    name = _ONCE[TIMEOUT]
    raise InvalidRequest(f"header '{name}' is '{_text(value)}', expected a positive number of milliseconds")


def _check_once(headers: HeaderList, tenants: TenantHeader) -> None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in _ONCE and name in seen:
            raise InvalidRequest(f"header '{_ONCE[name]}' is given more than once")
        if name == tenants.name and name in seen:
            raise tenants.twice()
        seen.add(name)


def _text(value: bytes) -> str:
    return shown(value.decode("latin-1"))
