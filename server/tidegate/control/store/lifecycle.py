"""The life of a resource: what a write makes of the document that is stored. Pure: values in, values out.

Who writes owns the spec and his part of the metadata; the uid, the times, the generation and the version are set here.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tidegate.protocol.errors import InvalidResource, ResourceConflict, shown
from tidegate.resources.document import Document, Key, finalizers_of, key_of, owners_of, same, version_of

_OURS = ("uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds")
"""Fields of the metadata that the store sets."""
_UNCHANGING = ("creationTimestamp", "deletionTimestamp")


def created(document: Document, uid: str, now: float) -> Document:
    """A new resource of what was sent.

    Raises:
        InvalidResource: it says which version it is of, as only what exists can.
    """
    if version := version_of(document):
        raise InvalidResource(
            "metadata.resourceVersion", f"is '{shown(version)}', expected none: it does not exist yet"
        )
    ours = {"uid": uid, "creationTimestamp": _time(now), "generation": 1}
    return _without_status({**document, "metadata": _written(document) | ours})


def replaced(old: Document, new: Document) -> Document:
    """The stored resource with everything but the status from ``new``.

    Raises:
        ResourceConflict: ``new`` is of another version, or of another resource that had the name.
        InvalidResource: it changes what cannot change.
    """
    _agree(old, new)
    for field in _UNCHANGING:
        sent, held = new["metadata"].get(field), old["metadata"].get(field)
        if sent is not None and sent != held:
            raise InvalidResource(
                f"metadata.{field}", f"is '{shown(sent)}', and cannot be changed: it is '{shown(held)}'"
            )
    if leaving(old) and (more := set(finalizers_of(new)) - set(finalizers_of(old))):
        raise InvalidResource(
            "metadata.finalizers",
            f"has the new '{shown(min(more))}', which a resource that is being deleted cannot get",
        )
    ours = {field: value for field, value in old["metadata"].items() if field in _OURS}
    if not same(old.get("spec"), new.get("spec")):
        ours["generation"] = ours["generation"] + 1
    result = _without_status({**new, "metadata": _written(new) | ours})
    return result | {"status": old["status"]} if "status" in old else result


def with_status(old: Document, new: Document) -> Document:
    """The stored resource with nothing but the status from ``new``. Raises as ``replaced``."""
    _agree(old, new)
    result = _without_status(old)
    return result | {"status": new["status"]} if new.get("status") is not None else result


def marked(old: Document, now: float) -> Document:
    """The stored resource as one that is being deleted and waits for its finalizers."""
    return {**old, "metadata": {**old["metadata"], "deletionTimestamp": _time(now)}}


def disowned(old: Document, owner: str) -> Document:
    """The stored resource without its references to an owner."""
    metadata = dict(old["metadata"])
    metadata["ownerReferences"] = [reference for reference in owners_of(old) if reference["uid"] != owner]
    if not metadata["ownerReferences"]:
        del metadata["ownerReferences"]
    return {**old, "metadata": metadata}


def stamped(document: Document, version: int) -> Document:
    return {**document, "metadata": {**document["metadata"], "resourceVersion": str(version)}}


def leaving(document: Document) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in document["metadata"]


def check_metadata(document: Document) -> None:
    """Hold the parts of the metadata that a store acts on against their shapes. What a spec may hold is not known here.

    Raises:
        InvalidResource: one has another shape.
    """
    metadata = document["metadata"]
    for field in ("labels", "annotations"):
        values = metadata.get(field) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise InvalidResource(f"metadata.{field}", f"is {shown(values)}, expected an object of texts")
    finalizers = metadata.get("finalizers") or []
    if not isinstance(finalizers, list) or not all(isinstance(name, str) and name for name in finalizers):
        raise InvalidResource("metadata.finalizers", f"is {shown(finalizers)}, expected an array of names")
    owners = metadata.get("ownerReferences") or []
    if not isinstance(owners, list) or not all(isinstance(one, dict) and _is_text(one.get("uid")) for one in owners):
        raise InvalidResource(
            "metadata.ownerReferences", f"is {shown(owners)}, expected an array of objects with a uid"
        )
    if not isinstance(metadata.get("resourceVersion") or "", str):
        raise InvalidResource("metadata.resourceVersion", f"is {shown(metadata['resourceVersion'])}, expected text")


def check_address(key: Key, document: object) -> Document:
    """A document that a patch made, if it is still the resource that was patched.

    Raises:
        InvalidResource: it is another one, or none.
    """
    if not isinstance(document, dict):
        raise InvalidResource("the patch", "leaves no object")
    made = key_of(document)
    fields = ("apiVersion", "kind", "metadata.namespace", "metadata.name")
    pairs = zip((*key.kind, *key[1:]), (*made.kind, *made[1:]), fields, strict=True)
    for held, sent, field in pairs:
        if held != sent:
            raise InvalidResource(
                field, f"would be of '{shown(sent)}', and cannot be changed: it is of '{shown(held)}'"
            )
    return document


def _agree(old: Document, new: Document) -> None:
    """That ``new`` was made for what is stored, as far as it says what it was made for."""
    metadata = old["metadata"]
    wanted = version_of(new)
    if wanted and wanted != metadata["resourceVersion"]:
        raise ResourceConflict(str(key_of(old)), "resourceVersion", metadata["resourceVersion"], wanted)
    uid = new["metadata"].get("uid")
    if uid and uid != metadata["uid"]:
        raise ResourceConflict(str(key_of(old)), "uid", metadata["uid"], uid)


def _written(document: Document) -> Document:
    """The metadata that belongs to who writes. The namespace is told as '' and as nothing; it is kept as nothing."""
    kept = {field: value for field, value in document["metadata"].items() if field not in _OURS}
    if not kept.get("namespace"):
        kept.pop("namespace", None)
    return kept


def _without_status(document: Document) -> Document:
    return {field: value for field, value in document.items() if field != "status"}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _time(now: float) -> str:
    """RFC 3339 in whole seconds, as Kubernetes has it."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
