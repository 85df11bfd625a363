"""Server-side apply over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.resources.document import Document
from tidegate.testing.api import APPLY, INFERENCE_SERVICES, MERGE, SERVICES, Api, inference_service, model_service
from tidegate.testing.stores import in_loop

IRIS = f"{SERVICES}/iris"


async def apply(
    api: Api, document: Document, manager: str = "me", more: str = "", path: str = IRIS
) -> tuple[int, Document]:
    reply = await api.ask("PATCH", f"{path}?fieldManager={manager}{more}", document, kind=APPLY)
    return reply.status_code, reply.json()


@in_loop
async def test_applying_makes_what_is_not_there() -> None:
    """201, then 200 without a write."""
    async with Api.open() as api:
        code, made = await apply(api, model_service())
        assert code == 201
        assert [(entry["manager"], entry["operation"]) for entry in made["metadata"]["managedFields"]] == [
            ("me", "Apply")
        ]
        api.clock.now += 60
        assert await apply(api, model_service()) == (200, made)


@in_loop
async def test_a_conflict_names_the_managers() -> None:
    """As causes, each with its field; force takes the fields, and the other one loses them."""
    async with Api.open() as api:
        await apply(api, model_service(minReplicas=1))
        code, status = await apply(api, model_service(minReplicas=2), "other")
        assert (code, status["reason"]) == (409, "Conflict")
        assert status["details"]["causes"] == [
            {
                "reason": "FieldManagerConflict",
                "message": "conflict with 'me'",
                "field": "spec.predictor.minReplicas",
            }
        ]
        code, forced = await apply(api, model_service(minReplicas=2), "other", "&force=true")
        assert (code, forced["spec"]["predictor"]["minReplicas"]) == (200, 2)
        code, status = await apply(api, model_service(minReplicas=1))
        assert "is owned by 'other'" in status["message"]


@in_loop
async def test_a_patch_by_hand_takes_the_field() -> None:
    """Who applied it before has a conflict then, named by the User-Agent of who patched."""
    async with Api.open() as api:
        await apply(api, model_service(minReplicas=1))
        patch = {"spec": {"predictor": {"minReplicas": 2}}}
        await api.ask("PATCH", IRIS, patch, kind=MERGE, user_agent="curl/8.5")
        code, status = await apply(api, model_service(minReplicas=1))
        assert (code, status["message"]) == (
            409,
            "apply failed with 1 conflict: spec.predictor.minReplicas is owned by 'curl'",
        )


@in_loop
async def test_what_is_applied_no_more_goes() -> None:
    """A field of KServe's old form is owned in the form in which it is stored."""
    async with Api.open() as api:
        path = f"{INFERENCE_SERVICES}/iris"
        first = inference_service(sklearn={"storageUri": "s3://b/1"}, minReplicas=2)
        _, made = await apply(api, first, path=path)
        assert made["spec"]["predictor"]["model"] == {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://b/1"}
        code, again = await apply(api, inference_service(sklearn={"storageUri": "s3://b/2"}), path=path)
        assert (code, again["spec"]["predictor"]) == (
            200,
            {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://b/2"}},
        )
        code, status = await apply(
            api, inference_service(model={"modelFormat": {"name": "sklearn"}, "storageUri": "x"}), "other", path=path
        )
        assert status["details"]["causes"][0]["field"] == "spec.predictor.model.storageUri"


@pytest.mark.parametrize(
    ("query", "document", "message"),
    [
        ("", model_service(), "fieldManager is missing, expected the name of who applies"),
        (
            "?fieldManager=me",
            model_service(metadata={"managedFields": [{}]}),
            "metadata.managedFields is set, expected none in what is applied",
        ),
        ("?fieldManager=me", model_service("rose"), "metadata.name is 'rose', but the path has 'iris'"),
        (f"?fieldManager={'x' * 129}", model_service(), "fieldManager has 129 characters, expected at most 128"),
        ("?fieldManager=me&force=maybe", model_service(), "force is 'maybe', expected true or false"),
    ],
)
@in_loop
async def test_what_cannot_be_applied(query: str, document: Document, message: str) -> None:
    """400, and nothing is made."""
    async with Api.open() as api:
        reply = await api.ask("PATCH", f"{IRIS}{query}", document, kind=APPLY)
        assert reply.status_code == 400
        assert reply.json()["message"].startswith(message)
        assert (await api.ask("GET", IRIS)).status_code == 404


@in_loop
async def test_an_applied_version_is_a_precondition() -> None:
    """Of something that is not there it is 404."""
    async with Api.open() as api:
        versioned = model_service(metadata={"resourceVersion": "1"})
        assert (await apply(api, versioned))[0] == 404
        assert (await apply(api, model_service(metadata={"uid": "another"})))[0] == 404
        await apply(api, model_service())
        assert (await apply(api, versioned))[0] == 409


@in_loop
async def test_writers_at_once_all_get_through() -> None:
    """Each is made anew on what the others wrote, whether it applies, patches or scales."""
    async with Api.open() as api:
        labels = [{"labels": {f"l{number}": "x"}} for number in range(4)]
        applying = [
            apply(api, {"metadata": {"name": "iris", **label}, "spec": model_service()["spec"]}, f"m{number}")
            for number, label in enumerate(labels)
        ]
        patching = [api.ask("PATCH", IRIS, {"metadata": {"annotations": {f"a{n}": "x"}}}, kind=MERGE) for n in range(3)]
        codes = [code for code, _ in await asyncio.gather(*applying)]
        assert sorted(codes) == [200, 200, 200, 201]
        assert [reply.status_code for reply in await asyncio.gather(*patching)] == [200] * 3
        found = (await api.got(IRIS))["metadata"]
        assert set(found["labels"]) == {f"l{number}" for number in range(4)}
        assert set(found["annotations"]) == {f"a{number}" for number in range(3)}


@in_loop
async def test_nobody_owns_what_is_not_stored() -> None:
    """A field of KServe's that is unknown is left out, and its owner has nothing of it."""
    async with Api.open() as api:
        document = inference_service(sklearn={"storageUri": "x", "unheardOf": 1})
        _, made = await apply(api, document, path=f"{INFERENCE_SERVICES}/iris")
        [entry] = made["metadata"]["managedFields"]
        model: Document = {"f:storageUri": {}, "f:modelFormat": {"f:name": {}}}
        assert entry["fieldsV1"] == {"f:spec": {"f:predictor": {"f:model": model}}}


@in_loop
async def test_a_dry_run_applies_nothing() -> None:
    """It answers what would be."""
    async with Api.open() as api:
        code, made = await apply(api, model_service(), more="&dryRun=All")
        assert (code, made["metadata"]["generation"]) == (201, 1)
        assert (await api.ask("GET", IRIS)).status_code == 404
