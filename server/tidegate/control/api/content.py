"""Bodies in, by their content type, and out, by what is accepted. Pure but for reading what arrives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tidegate.protocol.compression import choose_encoding, deflate, inflate
from tidegate.protocol.errors import (
    InvalidRequest,
    PayloadTooLarge,
    RequestCancelled,
    UnsupportedMediaType,
    shown,
)
from tidegate.resources.document import Document
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.manifest import read_manifests

JSON = "application/json"
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
PLAIN = (JSON, *YAML)
PROTOBUF = "application/vnd.kubernetes.protobuf"


class PatchType(StrEnum):
    """The patches that there are. Kubernetes' strategic one is for its own kinds only, there as here."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


async def read_body(request: Request, most: int) -> bytes:
    """The body, inflated.

    Raises:
        PayloadTooLarge: it has more than ``most`` bytes.
        InvalidRequest: it is not compressed as its head says.
        RequestCancelled: the caller went away.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise PayloadTooLarge(f"the body has {shown(announced)} bytes, the limit is {most}")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise PayloadTooLarge(f"the body has more than {most} bytes, which is the limit")
    except ClientDisconnect:
        raise RequestCancelled("the caller went away") from None
    return inflate(bytes(body), request.headers.get("content-encoding", ""), limit=most)


def media_type(text: str) -> str:
    """A Content-Type without its parameters; JSON where there is none, as ``kubectl scale`` sends it."""
    return text.partition(";")[0].strip().lower() or JSON


def decode_body(body: bytes, kind: str, accepted: Collection[str] = PLAIN) -> Any:
    """The value of a body of a media type; None of an empty one.

    Raises:
        UnsupportedMediaType: it is of another type.
        InvalidRequest: it is none of its type.
    """
    if kind not in accepted:
        hint = "; protobuf is not read here" if kind == PROTOBUF else ""
        raise UnsupportedMediaType(
            f"the body is of type '{shown(kind)}', expected one of {', '.join(sorted(accepted))}{hint}"
        )
    if not body:
        return None
    return _yaml(body) if kind in YAML or kind == PatchType.APPLY else _json(body)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is no JSON: {shown(error, 160)}") from error


def _yaml(body: bytes) -> Any:
    if body.lstrip()[:1] == b"{":
        return _json(body)  # what clients send; a flow mapping that is no JSON is none of theirs
    documents = list(read_manifests(body))
    if len(documents) != 1:
        raise InvalidRequest(f"the body has {len(documents)} documents, expected one")
    if documents[0].fault is not None:
        raise InvalidManifest([documents[0].fault])
    return documents[0].value


def wants_table(accept: str) -> bool:
    """Whether a Table is asked for before anything else that is given."""
    for kind, parameters in _accepted(accept):
        if kind in (JSON, "*/*") or kind == "":
            return parameters.get("as") == "Table" and parameters.get("v") == "v1"
    return False


def wanted_discovery(accept: str) -> str | None:
    """The version of aggregated discovery that is asked for first and is known; None for the older form."""
    for kind, parameters in _accepted(accept):
        if kind == JSON and parameters.get("as") == "APIGroupDiscoveryList":
            if parameters.get("v") in ("v2", "v2beta1"):
                return parameters["v"]
        elif kind == JSON:
            return None
    return None


def _accepted(accept: str) -> list[tuple[str, dict[str, str]]]:
    found = []
    for part in accept.split(",")[:32]:
        kind, *rest = (each.strip() for each in part.split(";"))
        pairs = (each.partition("=") for each in rest)
        found.append((kind.lower(), {name.strip(): value.strip() for name, _, value in pairs}))
    return found


def json_response(
    document: object, accept_encoding: str, least: int, *, status: int = 200, kind: str = JSON
) -> Response:
    """An answer in JSON, compressed where that is asked for and it has at least so many bytes."""
    return sent(msgspec.json.encode(document), accept_encoding, least, status=status, kind=kind)


def sent(body: bytes, accept_encoding: str, least: int, *, status: int = 200, kind: str = JSON) -> Response:
    """Bytes as an answer, compressed likewise."""
    headers = {"content-type": kind, "cache-control": "no-cache, private"}
    encoding = choose_encoding(accept_encoding) if len(body) >= least else None
    if encoding is not None:
        body = deflate(body, encoding)
        headers |= {"content-encoding": encoding, "vary": "accept-encoding"}
    return Response(body, status, headers)


def warning_headers(warnings: Collection[str]) -> list[tuple[bytes, bytes]]:
    """``Warning: 299 - "…"`` (RFC 7234, section 5.5), which kubectl prints."""
    return [(b"warning", _quoted(warning)) for warning in warnings]


def _quoted(text: str) -> bytes:
    text = shown(text, 500).replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{text}"'.encode("latin-1", "replace")


def as_list(items: Sequence[Document], api_version: str, kind: str, metadata: Document) -> Document:
    """A list of a kind."""
    return {"kind": f"{kind}List", "apiVersion": api_version, "metadata": metadata, "items": items}
