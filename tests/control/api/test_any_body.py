"""Whatever is sent, the answer is a Status or a resource, and never a fault of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.testing.api import (
    APPLY,
    INFERENCE_SERVICES,
    JSON_PATCH,
    MERGE,
    SERVICES,
    Api,
    in_virtual_time,
    inference_service,
    model_service,
)

NAMES = st.sampled_from(
    [
        *("metadata", "spec", "status", "name", "namespace", "labels", "annotations", "finalizers"),
        *("ownerReferences", "managedFields", "resourceVersion", "uid", "kind"),
        *("predictor", "model", "sklearn", "replicas", "canary", "x"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
PATHS = st.lists(NAMES, max_size=4).map(lambda names: "/" + "/".join(names))
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": PATHS | st.text()},
        optional={"value": VALUES, "from": PATHS},
    ),
    max_size=3,
)


def changed(document: Any, path: list[str], value: Any) -> Any:
    """A document with another value somewhere."""
    if not path or not isinstance(document, dict):
        return value
    return {**document, path[0]: changed(document.get(path[0], {}), path[1:], value)}


DOCUMENTS = VALUES | st.builds(
    changed, st.sampled_from([model_service(), inference_service()]), st.lists(NAMES, max_size=4), VALUES
)
WHERE = [SERVICES, INFERENCE_SERVICES, "/api/v1/namespaces"]


@pytest.mark.parametrize("collection", WHERE)
@settings(max_examples=60)
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=4), operations=OPERATIONS)
def test_no_body_is_a_fault_of_ours(collection: str, documents: list[Any], operations: Any) -> None:
    """Created, put, patched in each way, applied, scaled: below 500, in JSON, and what is stored can be read."""

    @in_virtual_time
    async def run() -> None:
        async with Api.open() as api:
            one = f"{collection}/iris"
            first = {SERVICES: model_service(), INFERENCE_SERVICES: inference_service()}.get(collection)
            await api.made(first or {"metadata": {"name": "iris"}}, collection)
            for document in documents:
                for method, path, kind in (
                    ("POST", collection, "application/json"),
                    ("PUT", one, "application/json"),
                    ("PATCH", one, MERGE),
                    ("PATCH", one, JSON_PATCH),
                    ("PATCH", f"{one}?fieldManager=kubectl&force=true", APPLY),
                    ("PATCH", f"{one}/scale", MERGE),
                    ("PUT", f"{one}/scale", "application/json"),
                    ("PUT", f"{one}/status", "application/json"),
                    ("PATCH", f"{one}/status", MERGE),
                    ("DELETE", f"{one}?dryRun=All", "application/json"),
                ):
                    reply = await api.ask(method, path, json.dumps(document), kind=kind)
                    assert reply.status_code < 500, (method, path, document, reply.text)
                    assert "kind" in reply.json()
            reply = await api.ask("PATCH", one, operations, kind=JSON_PATCH)
            assert reply.status_code < 500, (operations, reply.text)
            await api.got(collection)

    run()


@pytest.mark.parametrize("depth", [70, 900])
@in_virtual_time
async def test_depth_is_bounded(depth: int) -> None:
    """Before anything looks into it."""
    async with Api.open() as api:
        await api.made(model_service())
        nested = '{"a":' * depth + "1" + "}" * depth
        document = f'{{"metadata":{{"name":"iris","labels":{nested}}},"spec":{nested}}}'
        for method, path, kind in (
            ("POST", SERVICES, "application/json"),
            ("PUT", f"{SERVICES}/iris", "application/json"),
            ("PATCH", f"{SERVICES}/iris", MERGE),
            ("PATCH", f"{SERVICES}/iris?fieldManager=me", APPLY),
            ("POST", "/api/v1/namespaces", "application/json"),
        ):
            reply = await api.ask(method, path, document, kind=kind)
            assert reply.status_code in (400, 422)
