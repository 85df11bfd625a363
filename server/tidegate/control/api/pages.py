"""What is read without a store: discovery, OpenAPI, the version, health. The same for everybody, and made once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tidegate.control.api import discovery, openapi
from tidegate.control.api.content import json_response, sent, wanted_discovery
from tidegate.protocol.errors import MethodNotAllowed, NotFound, shown
from tidegate.resources.document import Document

HEALTH = ("/healthz", "/livez", "/readyz")
KEPT = "public, max-age=31536000, immutable"
"""For a document whose digest stands in its address."""


class Pages:
    """``version`` is tidegate's own."""

    def __init__(self, version: str, min_compress_bytes: int) -> None:
        self._version = version
        self._least = min_compress_bytes

    def answer(self, request: Request) -> Response | None:
        """The page at a path; None where it is none of them.

        Raises:
            NotFound: there is no such group or version.
            MethodNotAllowed: it is to be changed.
        """
        path = request.scope["path"].rstrip("/") or "/"
        page = self._page(request, path)
        if page is not None and request.method != "GET":
            raise MethodNotAllowed(f"{shown(request.method)} is not allowed for '{shown(path)}', expected GET")
        return page

    def _page(self, request: Request, path: str) -> Response | None:
        if path in HEALTH:
            return sent(b"ok", "", self._least, kind="text/plain; charset=utf-8")
        if path in ("/api", "/apis"):
            return self._discovery(request, core=path == "/api")
        match path.split("/")[1:]:
            case ["version"]:
                return self._json(request, discovery.version(self._version))
            case ["openapi", "v2"]:
                return sent(b"", "", self._least, kind=openapi.OPENAPI_V2_TYPE)
            case ["openapi", "v3", *below]:
                return self._openapi(request, "/".join(below))
            case ["apis", group]:
                return self._known(request, discovery.group(group))
            case ["apis", group, version]:
                return self._known(request, discovery.resources(group, version))
            case ["api", version]:
                return self._known(request, discovery.resources("", version))
        return None

    def _discovery(self, request: Request, *, core: bool) -> Response:
        api = wanted_discovery(request.headers.get("accept", ""))
        if api is None:
            return self._json(request, discovery.core_versions() if core else discovery.groups())
        kind = discovery.aggregated_type(api)
        return self._json(request, discovery.aggregated(api, core=core), kind)

    def _openapi(self, request: Request, path: str) -> Response:
        if not path:
            return self._json(request, openapi.index())
        found = openapi.document(path)
        if found is None:
            raise NotFound(f"there is no '{shown(request.scope['path'], 160)}' here")
        tag = f'"{openapi.digest(path)}"'
        if tag in request.headers.get("if-none-match", ""):
            return Response(b"", 304, {"etag": tag})
        response = sent(found, request.headers.get("accept-encoding", ""), self._least)
        response.headers["etag"] = tag
        if request.query_params.get("hash") == openapi.digest(path):
            response.headers["cache-control"] = KEPT
        return response

    def _known(self, request: Request, document: Document | None) -> Response:
        if document is None:
            raise NotFound(f"there is no '{shown(request.scope['path'], 160)}' here")
        return self._json(request, document)

    def _json(self, request: Request, document: Document, kind: str = "application/json") -> Response:
        return json_response(document, request.headers.get("accept-encoding", ""), self._least, kind=kind)
