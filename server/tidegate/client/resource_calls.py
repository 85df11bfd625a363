"""The resource API: what each call sends, and what its answer means. Kubernetes' REST conventions. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from tidegate.client.calls import Exchange
from tidegate.client.http_calls import HttpAnswer, HttpExchange, HttpMessage
from tidegate.client.resource_type import ResourceType, read_discovery
from tidegate.client.status import failure, from_status
from tidegate.protocol.errors import InvalidResponse, shown

T = TypeVar("T")

Document: TypeAlias = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MANAGER = "tidegate"
"""Who the writes are by, in ``metadata.managedFields``."""
SERVE = "tidegate-serve"
"""Who those are by that a server begins with, of the manifests that it was started with."""
PAGE = 500
"""Resources that a list is asked for at a time, as kubectl does."""
_WARNING = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')


class Selection(msgspec.Struct, frozen=True):
    """Which resources of a kind: of all namespaces where that is '', by Kubernetes' selectors."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""


EVERYTHING = Selection()


class Listing(msgspec.Struct, frozen=True):
    """Resources as they were at one instant, ``version``. ``more`` asks for those after them; '' where there are none.

    Where a table was asked for, each item is a Table of one row.
    """

    items: list[Document]
    version: str
    more: str = ""


class ResourceChange(msgspec.Struct, frozen=True):
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK. ``document`` is the resource, or a Table of its row."""

    type: str
    document: Document


class Written(msgspec.Struct, frozen=True):
    """What a write has made of a resource, whether it is new, and what the server warns of."""

    document: Document
    created: bool = False
    warnings: tuple[str, ...] = ()


class LogLine(msgspec.Struct, frozen=True):
    """What a replica has written. ``time`` is seconds since 1970."""

    line: str
    time: float
    revision: int
    replica: int


class Tried(msgspec.Struct, frozen=True):
    """What came of a test message: ``channel`` is the position in ``spec.notify``, ``outcome`` delivered or failed."""

    channel: int
    name: str
    outcome: str
    message: str


class ResourceCalls:
    """The calls to one server; ``headers`` go with each."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def get(self, kind: ResourceType, name: str, namespace: str, table: bool) -> HttpExchange[Document]:
        return self._get(kind.path(namespace, name), _read, accept=TABLE if table else "")

    def list(
        self, kind: ResourceType, selection: Selection, limit: int, more: str, table: bool
    ) -> HttpExchange[Listing]:
        query = {**_selecting(selection), "limit": str(limit) if limit else "", "continue": more}
        return self._get(kind.path(selection.namespace), _read_listing, query, accept=TABLE if table else "")

    def watch(
        self, kind: ResourceType, selection: Selection, since: str, table: bool
    ) -> HttpExchange[ResourceChange | None]:
        query = {**_selecting(selection), "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": since}
        return self._get(kind.path(selection.namespace), _read_change, query, accept=TABLE if table else "")

    def create(self, kind: ResourceType, document: Document, namespace: str, dry_run: bool) -> HttpExchange[Written]:
        query = _writing(dry_run)
        return self._write("POST", kind.path(namespace), document, query, idempotent=False)

    def replace(
        self, kind: ResourceType, document: Document, namespace: str, manager: str, dry_run: bool
    ) -> HttpExchange[Written]:
        name = document.get("metadata", {}).get("name", "")
        return self._write("PUT", kind.path(namespace, name), document, _writing(dry_run, manager), idempotent=False)

    def patch(
        self, kind: ResourceType, name: str, patch: Any, namespace: str, subresource: str, manager: str, dry_run: bool
    ) -> HttpExchange[Written]:
        """A list is a JSON patch, anything else a merge patch."""
        form = JSON_PATCH if isinstance(patch, list) else MERGE
        path = kind.path(namespace, name, subresource)
        return self._write("PATCH", path, patch, _writing(dry_run, manager), form, idempotent=False)

    def apply(
        self, kind: ResourceType, document: Document, namespace: str, force: bool, dry_run: bool
    ) -> HttpExchange[Written]:
        path = kind.path(namespace, document.get("metadata", {}).get("name", ""))
        query = {**_writing(dry_run), "force": "true" if force else "false"}
        return self._write("PATCH", path, document, query, APPLY)

    def delete(
        self, kind: ResourceType, name: str, namespace: str, policy: str, uid: str, version: str, dry_run: bool
    ) -> HttpExchange[Document]:
        held = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
        if held:
            options["preconditions"] = held
        query = {"dryRun": "All" if dry_run else ""}
        message = self._message("DELETE", kind.path(namespace, name), query, options)
        return Exchange(lambda _: message, _read, idempotent=False)

    def scale(self, kind: ResourceType, name: str, namespace: str) -> HttpExchange[Document]:
        return self._get(kind.path(namespace, name, "scale"), _read)

    def logs(
        self, name: str, namespace: str, revision: int | None, tail: int | None, follow: bool
    ) -> HttpExchange[LogLine | None]:
        path = f"/tidegate/v1/namespaces/{quote(namespace, safe='')}/services/{quote(name, safe='')}/logs"
        query = {
            "revision": "" if revision is None else str(revision),
            "tail": "" if tail is None else str(tail),
            "follow": "true" if follow else "",
        }
        return self._get(path, _read_log, query, accept="application/x-ndjson")

    def occurrences(
        self, namespace: str, since: str, tail: int | None, limit: int | None, follow: bool
    ) -> HttpExchange[Document | None]:
        where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        query = {
            "since": since,
            "tail": "" if tail is None or since else str(tail),
            "limit": "" if limit is None else str(limit),
            "follow": "true" if follow else "",
        }
        return self._get(f"/tidegate/v1{where}/cloudevents", _read_occurrence, query, accept="application/x-ndjson")

    def try_channels(self, name: str, namespace: str, channel: int | None) -> HttpExchange[tuple[Tried, ...]]:
        path = f"/tidegate/v1/namespaces/{quote(namespace, safe='')}/services/{quote(name, safe='')}/notify/test"
        query = {"channel": "" if channel is None else str(channel)}
        message = self._message("POST", path, query, {})
        return Exchange(lambda _: message, _read_tried, idempotent=False)

    def version(self) -> HttpExchange[Document]:
        return self._get("/version", _read)

    def discover(self, root: str) -> HttpExchange[tuple[ResourceType, ...]]:
        return self._get(root, lambda answer: tuple(read_discovery(_read(answer))), accept=DISCOVERY)

    def _get(
        self, path: str, read: Callable[[HttpAnswer], T], query: Mapping[str, str] = {}, accept: str = ""
    ) -> HttpExchange[T]:
        headers = {**self._headers, "accept": accept or "application/json"}
        message = HttpMessage("GET", _with(path, query), headers)
        return Exchange(lambda _: message, read)

    def _write(
        self, method: str, path: str, body: Any, query: Mapping[str, str], form: str = "", *, idempotent: bool = True
    ) -> HttpExchange[Written]:
        message = self._message(method, path, query, body, form or "application/json")
        return Exchange(lambda _: message, _read_written, idempotent=idempotent)

    def _message(
        self, method: str, path: str, query: Mapping[str, str], body: Any, form: str = "application/json"
    ) -> HttpMessage:
        headers = {**self._headers, "content-type": form, "accept": "application/json"}
        return HttpMessage(method, _with(path, query), headers, msgspec.json.encode(body))


def version_of(document: Document) -> str:
    """The resourceVersion of a document or of a list; '' where it has none."""
    metadata = document.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


def metadata_of(document: Document) -> Document:
    """A resource's metadata, also where the document is a Table of its row."""
    if document.get("kind") == "Table":
        rows = document.get("rows") or [{}]
        document = rows[0].get("object") or {}
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _with(path: str, query: Mapping[str, str]) -> str:
    given = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _selecting(selection: Selection) -> dict[str, str]:
    return {"labelSelector": selection.labels, "fieldSelector": selection.fields}


def _writing(dry_run: bool, manager: str = MANAGER) -> dict[str, str]:
    return {"fieldManager": manager, "fieldValidation": "Warn", "dryRun": "All" if dry_run else ""}


def _read(answer: HttpAnswer) -> Document:
    if not 200 <= answer.status < 300:
        raise failure(answer)
    return _decode(answer.body)


def _decode(body: bytes) -> Document:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidResponse(f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidResponse("it is no JSON object")
    return document


def _read_written(answer: HttpAnswer) -> Written:
    warnings = tuple(
        shown(re.sub(r"\\(.)", r"\1", text), 1000) for text in _WARNING.findall(answer.headers.get("warning", ""))
    )
    return Written(_read(answer), answer.status == 201, warnings)


def _read_listing(answer: HttpAnswer) -> Listing:
    document = _read(answer)
    more = (document.get("metadata") or {}).get("continue") or ""
    if document.get("kind") == "Table":
        items = [{**document, "rows": [row]} for row in document.get("rows") or ()]
        return Listing(items, version_of(document), more)
    items = document.get("items") or []
    kind = str(document.get("kind", "")).removesuffix("List")
    # As in Kubernetes, what is in a list need not say of which kind it is.
    items = [{"apiVersion": document.get("apiVersion"), "kind": kind, **item} for item in items]
    return Listing(items, version_of(document), more)


def _read_change(answer: HttpAnswer) -> ResourceChange | None:
    event = _read(answer)
    kind, document = event.get("type"), event.get("object")
    if not isinstance(kind, str) or not isinstance(document, dict):
        raise InvalidResponse("it is no event of a watch, expected type and object")
    if kind == "ERROR":
        raise from_status(document)
    return ResourceChange(kind, document)


def _read_log(answer: HttpAnswer) -> LogLine | None:
    document = _read(answer)
    if document.get("kind") == "Status":
        raise from_status(document)
    try:
        return msgspec.convert(document, LogLine)
    except msgspec.ValidationError as error:
        raise InvalidResponse(f"it is no line of a log: {error}") from error


def _read_occurrence(answer: HttpAnswer) -> Document | None:
    document = _read(answer)
    if document.get("kind") == "Status":
        raise from_status(document)
    if document.get("specversion") != "1.0":
        raise InvalidResponse("it is no CloudEvent, expected specversion 1.0")
    return document


def _read_tried(answer: HttpAnswer) -> tuple[Tried, ...]:
    try:
        return msgspec.convert(_read(answer).get("channels"), tuple[Tried, ...])
    except msgspec.ValidationError as error:
        raise InvalidResponse(f"it does not tell what came of channels: {error}") from error
