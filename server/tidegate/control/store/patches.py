"""What a patch makes of a document. Pure; the document and the patch stay as they are."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import InvalidResource, shown
from tidegate.resources.document import Document, check_json, to_bytes
from tidegate.resources.store import JsonPatch, MergePatch, Patch


def patched(document: Document, patch: Patch, settings: StoreSettings) -> object:
    """The document after the patch; a JSON patch may leave any value.

    Raises:
        InvalidResource: the patch is none, or cannot be applied to this document.
        PayloadTooLarge: it makes the document too large.
    """
    match patch:
        case MergePatch(changes):
            check_json(changes)
            if not isinstance(changes, dict):
                raise InvalidResource("the patch", f"is a {type(changes).__name__}, expected an object")
            return _merged(document, changes)
        case JsonPatch(operations):
            return _operated(document, operations, settings)


def _merged(target: object, patch: object) -> object:
    """RFC 7396. As deep as the patch, whose depth is bounded."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _operated(document: Document, operations: list[Any], settings: StoreSettings) -> object:
    check_json(operations)
    if not isinstance(operations, list):
        raise InvalidResource("the patch", f"is a {type(operations).__name__}, expected an array of operations")
    if len(operations) > settings.max_patch_operations:
        most = settings.max_patch_operations
        raise InvalidResource("the patch", f"has {len(operations)} operations, expected at most {most}")
    result: object = copy.deepcopy(document)
    for number, operation in enumerate(operations):
        result = _applied(result, operation, number)
        if isinstance(operation, dict) and operation.get("op") == "copy" and isinstance(result, dict):
            to_bytes(result, settings.max_document)  # thirty copies of a copy would fill the memory
    return result


def _applied(document: object, operation: Any, number: int) -> object:
    """One operation. What jsonpatch raises for a bad one is not only its own exceptions."""
    try:
        return jsonpatch.apply_patch(document, [operation], in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        raise InvalidResource(f"operation {number} of the patch", "is a test that does not hold") from None
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        problem = f"cannot be applied: {shown(error, 160)}"
        raise InvalidResource(f"operation {number} of the patch", problem) from error
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        problem = f"cannot be applied to what stands at its path: {shown(operation)}"
        raise InvalidResource(f"operation {number} of the patch", problem) from error
