"""What of a document that was sent may be stored, or everything that is wrong with it. Pure.

The document is held against its kind, brought into the one form that admission gives it (``resources.defaults``), and
compared with what is stored. What the server writes is taken from nobody.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from tidegate.control.api.served import NAMESPACE, Served
from tidegate.control.services.not_yet import not_yet
from tidegate.control.store.lifecycle import check_metadata
from tidegate.protocol.errors import InvalidRequest, quoted, shown
from tidegate.resources.decode import encode, inspect
from tidegate.resources.defaults import apply_defaults, rename_frameworks
from tidegate.resources.document import Document, check_json
from tidegate.resources.faults import Fault, InvalidManifest, Path, wrong
from tidegate.resources.inference_service import InferenceService
from tidegate.resources.model_service import ModelService
from tidegate.resources.parts import FRAMEWORKS, at, components, part
from tidegate.resources.revision import unpinned
from tidegate.resources.rules_kserve import PREFIX, mode_of
from tidegate.resources.scalars import DNS_LABEL
from tidegate.resources.translate import translate

PRECONDITIONS = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
"""What may be sent of what the server writes: a write is refused where it differs from what is stored."""
_OURS = (*PRECONDITIONS, "generation", "managedFields", "selfLink", "generateName", "deletionGracePeriodSeconds")
_NAMESPACE_FIELDS = frozenset(("apiVersion", "kind", "metadata", "spec", "status"))
MOST_WARNINGS = 50
"""Headers of one answer."""


class FieldValidation(StrEnum):
    """What is done about a field that the kind has not, as ``fieldValidation`` names it."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


class Admitted(msgspec.Struct, frozen=True):
    """The document as it is to be stored, and what its writer should know."""

    document: Document
    warnings: tuple[str, ...] = ()


def admit(
    served: Served, document: Document, old: Document | None = None, validation: FieldValidation = FieldValidation.WARN
) -> Admitted:
    """The document in the form in which it is stored; ``old`` is what is stored now, None if it is to be created.

    Fields of KServe's that are not honoured are warnings, whatever the validation: kubectl asks for Strict unless it
    is told otherwise, and manifests that KServe takes are taken here.

    Raises:
        InvalidManifest: it describes no resource, or changes what cannot change; all that is wrong at once.
    """
    sent = document["metadata"]
    own = {name: sent[name] for name in (*PRECONDITIONS, "managedFields") if sent.get(name) is not None}
    bare = {name: value for name, value in document.items() if name != "status"}
    bare["metadata"] = {name: value for name, value in sent.items() if name not in _OURS}
    if served.group_kind == NAMESPACE:
        namespace = _namespace(bare)
        namespace["metadata"] |= own
        return Admitted(namespace)
    clean, warnings = _manifest(bare, old, validation)
    clean["metadata"] |= own
    return Admitted(clean, warnings[:MOST_WARNINGS])


def addressed(served: Served, document: object, namespace: str, name: str | None) -> Document:
    """A document that was sent to a path, with the address that the path gives it.

    Raises:
        InvalidRequest: it is of another kind, or says another address.
        InvalidResource: it is nested too deep, or its metadata has other shapes than a store can keep.
    """
    if not isinstance(document, dict):
        raise InvalidRequest(f"the body is {quoted(document)}, expected an object of kind {served.kind}")
    check_json(document)
    for field, expected in (("apiVersion", served.api_version), ("kind", served.kind)):
        if document.get(field, expected) != expected:
            raise InvalidRequest(f"{field} is {quoted(document[field])}, but the path is of '{expected}'")
    metadata = document.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise InvalidRequest(f"metadata is {quoted(metadata)}, expected an object with a name")
    metadata = dict(metadata)
    for field, given in (("namespace", namespace), ("name", name)):
        if given is None:
            continue
        if metadata.get(field) not in (None, "", given):
            where = f"'{shown(given)}'" if given else "none"
            raise InvalidRequest(f"metadata.{field} is {quoted(metadata[field])}, but the path has {where}")
        metadata[field] = given
    if not namespace:
        metadata.pop("namespace", None)
    found = {**document, "apiVersion": served.api_version, "kind": served.kind, "metadata": metadata}
    check_metadata(found)
    return found


def normalised(document: Document) -> Document:
    """A document that is to be applied, with KServe's old keys as ``model``: ownership is of fields that are stored."""
    document = copy.deepcopy(document)
    for _, component in components(document):
        if not any(_is_old(component, key) and "model" in component for key in FRAMEWORKS):
            rename_frameworks(component)
    return document


def _is_old(component: dict[str, Any], key: str) -> bool:
    return isinstance(component.get(key), dict)


def _manifest(
    document: Document, old: Document | None, validation: FieldValidation
) -> tuple[Document, tuple[str, ...]]:
    if old is not None:
        document = _superseded(document, old)
    found = inspect(document, strict=validation is FieldValidation.STRICT)
    changes = list(_unchangeable(document, old)) if old is not None else []
    if found.resource is None or changes:
        raise InvalidManifest((*found.faults, *changes), found.warnings)
    warnings = [fault.message for fault in found.warnings if validation is FieldValidation.WARN]
    clean = encode(apply_defaults(found.resource))
    if isinstance(found.resource, InferenceService):
        ours, notes = translate(found.resource)
        warnings += [*(note.message for note in notes), *not_yet(encode(ours)["spec"])]
    elif isinstance(found.resource, ModelService):
        warnings += not_yet(clean["spec"])
    return clean if old is None else unpinned(old, clean), tuple(warnings)


def _superseded(document: Document, old: Document) -> Document:
    """Without models that were stored for an old key which is now sent again, as ``kubectl apply`` does each time."""
    document = copy.deepcopy(document)
    for path, component in components(document):
        stored = at(old, *path, "model")
        if stored is not None and component.get("model") == stored and any(_is_old(component, k) for k in FRAMEWORKS):
            del component["model"]
    return document


def _unchangeable(new: Document, old: Document) -> Iterator[Fault]:
    """What KServe's admission lets nobody change, in the order of its own checks."""
    if new["kind"] != "InferenceService":
        return
    was, now = mode_of(old), mode_of(new)
    if was and now and was != now:
        path: Path = ("metadata", "annotations", f"{PREFIX}deploymentMode")
        yield Fault(path, f"is '{now}', and cannot be changed: it is '{was}'", value=now)
    path = ("spec", "predictor", "name")
    before, after = at(old, *path), at(new, *path)
    if (before or "") != (after or "") and _uri(old) == _uri(new):
        yield Fault(path, f"is {quoted(after)} and was {quoted(before)}", "a new storageUri with a new name", after)


def _uri(document: Document) -> object:
    predictor = part(document, "spec", "predictor")
    found = [each.get("storageUri") for key in ("model", *FRAMEWORKS) if (each := part(predictor, key))]
    return [uri for uri in found if uri is not None] or [at(predictor, "storageUris")]


def _namespace(document: Document) -> Document:
    """A Namespace has labels and annotations; its spec is the cluster's affair."""
    unknown = sorted(document.keys() - _NAMESPACE_FIELDS)
    faults = [Fault((name,), "is no field of Namespace") for name in unknown]
    name = document["metadata"].get("name")
    if not isinstance(name, str) or not re.fullmatch(DNS_LABEL, name) or len(name) > 63:
        faults.append(wrong(("metadata", "name"), name, "at most 63 small letters, digits and '-'"))
    if faults:
        raise InvalidManifest(faults)
    metadata = {field: value for field, value in document["metadata"].items() if field != "namespace"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
