"""What each verb does with a request for a target: options and body in, a document or an outcome out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request

from tidegate.control.api.content import PLAIN, PatchType, decode_body, media_type, read_body
from tidegate.control.api.parameters import DeleteOptions, WriteOptions, delete_options, list_options, write_options
from tidegate.control.api.reading import query_of
from tidegate.control.api.scale import scale_of, scaled
from tidegate.control.api.settings import ApiSettings
from tidegate.control.api.status import success
from tidegate.control.api.target import Target
from tidegate.control.api.writing import Make, Outcome, Writer
from tidegate.control.store.patches import patched
from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import InvalidRequest, InvalidResource, quoted
from tidegate.resources.document import Document
from tidegate.resources.parts import at
from tidegate.resources.store import JsonPatch, MergePatch, Patch

Verb = Callable[[Request, Target], Awaitable[Outcome]]


class WriteVerbs:
    """The verbs that change something."""

    def __init__(self, writer: Writer, settings: ApiSettings, patching: StoreSettings) -> None:
        self._writer = writer
        self._settings = settings
        self._patching = patching
        self.table: Mapping[str, Verb] = {
            "create": self.create,
            "update": self.update,
            "patch": self.patch,
            "delete": self.delete,
            "deletecollection": self.delete_all,
        }

    async def create(self, request: Request, target: Target) -> Outcome:
        body = await self._document(request)
        request.state.name = at(body, "metadata", "name")
        return await self._writer.create(target, body, options_of(request))

    async def update(self, request: Request, target: Target) -> Outcome:
        body = await self._document(request)
        options = options_of(request)
        match _part(target):
            case "status":
                return await self._writer.change_status(target, lambda old: _status_of(old, body), options)
            case "scale":
                return await self._scale(target, lambda old: scaled(old, body), options)
        return await self._writer.replace(target, body, options)

    async def patch(self, request: Request, target: Target) -> Outcome:
        body = await read_body(request, self._settings.max_body_bytes)
        kind = media_type(request.headers.get("content-type", ""))
        part = _part(target)
        value = decode_body(body, kind, [*PatchType] if not part else [PatchType.MERGE, PatchType.JSON])
        options = options_of(request)
        if kind == PatchType.APPLY:
            if not request.query_params.get("fieldManager"):
                raise InvalidRequest("fieldManager is missing, expected the name of who applies")
            return await self._writer.apply(target, value, options)
        patch: Patch = JsonPatch(value) if kind == PatchType.JSON else MergePatch(value)
        match part:
            case "status":
                return await self._writer.change_status(target, lambda old: self._patched(old, patch), options)
            case "scale":
                return await self._scale(target, lambda old: scaled(old, self._patched(scale_of(old), patch)), options)
        return await self._writer.change(target, lambda old: self._patched(old, patch), options)

    async def delete(self, request: Request, target: Target) -> Outcome:
        options = await self._delete_options(request)
        outcome = await self._writer.delete(target, options)
        gone = outcome.document
        if "deletionTimestamp" in gone["metadata"] and gone["metadata"].get("finalizers"):
            return outcome  # it is still there
        details = {**target.details(), "uid": gone["metadata"].get("uid", "")}
        return msgspec.structs.replace(outcome, document=success(details))

    async def delete_all(self, request: Request, target: Target) -> Outcome:
        options = await self._delete_options(request)
        query = query_of(target, list_options(request.query_params))
        gone = await self._writer.delete_all(target, query, options)
        return Outcome(success(target.details()), each=tuple(gone))

    async def _scale(self, target: Target, make: Make, options: WriteOptions) -> Outcome:
        outcome = await self._writer.change(target, make, options)
        return msgspec.structs.replace(outcome, document=scale_of(outcome.document))

    async def _delete_options(self, request: Request) -> DeleteOptions:
        options = delete_options(request.query_params, await self._document(request))
        request.state.dry_run = options.dry_run
        return options

    async def _document(self, request: Request) -> Any:
        body = await read_body(request, self._settings.max_body_bytes)
        return decode_body(body, media_type(request.headers.get("content-type", "")), PLAIN)

    def _patched(self, document: Document, patch: Patch) -> Document:
        made = patched(document, patch, self._patching)
        if not isinstance(made, dict):
            raise InvalidResource("the patch", "leaves no object")
        if not isinstance(made.get("metadata"), dict):
            raise InvalidResource("metadata", f"is {quoted(made.get('metadata'))} after the patch, expected an object")
        return made


def options_of(request: Request) -> WriteOptions:
    return write_options(request.query_params, request.headers.get("user-agent", ""))


def _part(target: Target) -> str:
    return target.subresource.name if target.subresource else ""


def _status_of(old: Document, body: object) -> Document:
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
        raise InvalidRequest(f"the body is {quoted(body)}, expected an object with a status")
    sent = {name: value for name in ("uid", "resourceVersion") if (value := body.get("metadata", {}).get(name))}
    kept = {name: value for name, value in old["metadata"].items() if name != "resourceVersion"}
    return {**old, "metadata": kept | sent, "status": body.get("status")}
