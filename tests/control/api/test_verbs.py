"""Creating, reading, changing and deleting over HTTP, as clients do it."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator

import pytest

from tidegate.control.api.events import MOST
from tidegate.resources.document import key_of
from tidegate.resources.store import Severity
from tidegate.testing.api import (
    APPLY,
    INFERENCE_SERVICES,
    JSON_PATCH,
    MERGE,
    SERVICES,
    TABLE,
    Api,
    inference_service,
    model_service,
)
from tidegate.testing.stores import in_loop

IRIS = f"{SERVICES}/iris"
ALL = "/apis/tidegate.dev/v1/modelservices"


@in_loop
async def test_what_is_created_can_be_got() -> None:
    """With the path's namespace, and what the server writes."""
    async with Api.open() as api:
        made = await api.made(model_service())
        assert made["metadata"]["namespace"] == "default"
        assert made["metadata"]["generation"] == 1
        assert made["metadata"]["resourceVersion"] == "3"
        assert await api.got(IRIS) == made


@in_loop
async def test_what_the_server_writes_is_taken_from_nobody() -> None:
    """A status, a uid or a generation that is sent is not kept."""
    async with Api.open() as api:
        ours = {"generation": 9, "creationTimestamp": None, "selfLink": "/x"}
        made = await api.made({**model_service(metadata=ours), "status": {"url": "http://evil"}})
        assert "status" not in made
        assert made["metadata"]["generation"] == 1
        assert "selfLink" not in made["metadata"]


@in_loop
async def test_a_name_can_be_generated() -> None:
    """From generateName, five letters longer."""
    async with Api.open() as api:
        document = model_service()
        document["metadata"] = {"generateName": "iris-"}
        name = (await api.made(document))["metadata"]["name"]
        assert name.startswith("iris-")
        assert len(name) == len("iris-") + 5


@pytest.mark.parametrize(
    ("document", "path", "code", "reason", "message"),
    [
        (model_service(), SERVICES, 409, "AlreadyExists", "ModelService 'default/iris' exists already"),
        (inference_service(), INFERENCE_SERVICES, 409, "AlreadyExists", "ModelService 'default/iris' exists already"),
        (
            model_service(),
            SERVICES.replace("default", "team"),
            404,
            "NotFound",
            "Namespace 'team' is not found",
        ),
        (
            model_service(metadata={"namespace": "team"}),
            SERVICES,
            400,
            "BadRequest",
            "metadata.namespace is 'team', but the path has 'default'",
        ),
        (
            inference_service(),
            SERVICES,
            400,
            "BadRequest",
            "apiVersion is 'serving.kserve.io/v1beta1', but the path is of 'tidegate.dev/v1'",
        ),
        ([], SERVICES, 400, "BadRequest", "the body is a list, expected an object of kind ModelService"),
        (
            {"metadata": []},
            SERVICES,
            400,
            "BadRequest",
            "metadata is a list, expected an object with a name",
        ),
        (
            model_service("Iris"),
            SERVICES,
            422,
            "Invalid",
            "metadata.name is 'Iris', expected a name of at most 253 small letters, digits, '-' and '.', as in DNS "
            "(RFC 1123)",
        ),
        (
            model_service("new", metadata={"resourceVersion": "3"}),
            SERVICES,
            422,
            "Invalid",
            "metadata.resourceVersion is '3', expected none: it does not exist yet",
        ),
    ],
)
@in_loop
async def test_what_cannot_be_created(document: object, path: str, code: int, reason: str, message: str) -> None:
    """Each with its reason and a sentence."""
    async with Api.open() as api:
        await api.made(model_service())
        reply = await api.ask("POST", path, document)
        assert (reply.status_code, reply.json()["reason"], reply.json()["message"]) == (code, reason, message)


@in_loop
async def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Each fault is a cause with its field, and the Status says of which resource."""
    async with Api.open() as api:
        document = model_service(minReplicas=-1, foo=1)
        document["spec"]["predictor"]["model"] = {"storageUrl": "/x", "modelFormat": {"name": "onnx"}}
        reply = await api.ask("POST", SERVICES, document)
        details = reply.json()["details"]
        assert reply.status_code == 422
        assert (details["name"], details["kind"], details["group"]) == ("iris", "ModelService", "tidegate.dev")
        assert [(cause["field"], cause["message"]) for cause in details["causes"]][-1] == (
            "spec.predictor.minReplicas",
            "is -1, expected a whole number of at least 0",
        )
        assert len(details["causes"]) == 3


@in_loop
async def test_a_dry_run_says_what_would_be_and_does_nothing() -> None:
    """For every verb."""
    async with Api.open() as api:
        dry = "?dryRun=All"
        assert (await api.ask("POST", SERVICES + dry, model_service())).status_code == 201
        assert (await api.got(SERVICES))["items"] == []
        made = await api.made(model_service())
        changed = {"spec": {"predictor": {"minReplicas": 4}}}
        reply = await api.ask("PATCH", IRIS + dry, changed, kind=MERGE)
        assert reply.json()["spec"]["predictor"]["minReplicas"] == 4
        assert reply.json()["metadata"]["generation"] == 2
        assert (await api.ask("PUT", IRIS + dry, model_service(minReplicas=5))).status_code == 200
        assert (await api.ask("DELETE", IRIS + dry)).status_code == 200
        assert (await api.ask("DELETE", IRIS, {"dryRun": ["All"]})).status_code == 200
        assert (await api.ask("PATCH", f"{IRIS}/scale{dry}", {"spec": {"replicas": 2}}, kind=MERGE)).status_code == 200
        assert await api.got(IRIS) == made
        assert [record.verb for record in api.audit.written] == ["create"]


@in_loop
async def test_an_update_is_for_the_version_that_it_names() -> None:
    """An older one is a conflict; none is whatever there is."""
    async with Api.open() as api:
        made = await api.made(model_service())
        first = await api.ask("PUT", IRIS, {**made, "spec": model_service(minReplicas=2)["spec"]})
        assert (first.status_code, first.json()["metadata"]["generation"]) == (200, 2)
        stale = await api.ask("PUT", IRIS, made)
        assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
        assert (await api.ask("PUT", IRIS, model_service())).json()["metadata"]["generation"] == 3
        assert (await api.ask("PUT", f"{SERVICES}/none", model_service("none"))).status_code == 404
        other = await api.ask("PUT", IRIS, model_service("rose"))
        assert other.json()["message"] == "metadata.name is 'rose', but the path has 'iris'"


@in_loop
async def test_a_patch_is_for_the_version_that_it_names() -> None:
    """kubectl diff puts one into its patch."""
    async with Api.open() as api:
        await api.made(model_service())
        patch = {"metadata": {"resourceVersion": "1"}, "spec": {"predictor": {"minReplicas": 2}}}
        reply = await api.ask("PATCH", IRIS, patch, kind=MERGE)
        assert (reply.status_code, reply.json()["reason"]) == (409, "Conflict")


@in_loop
async def test_patches_of_both_kinds_are_taken() -> None:
    """Merge (RFC 7396) and JSON (RFC 6902)."""
    async with Api.open() as api:
        await api.made(model_service(minReplicas=1))
        await api.ask("PATCH", IRIS, {"spec": {"predictor": {"minReplicas": 2}}}, kind=MERGE)
        replace = [{"op": "replace", "path": "/spec/predictor/minReplicas", "value": 3}]
        reply = await api.ask("PATCH", IRIS, replace, kind=JSON_PATCH)
        assert reply.json()["spec"]["predictor"]["minReplicas"] == 3
        gone = await api.ask("PATCH", IRIS, {"spec": {"predictor": {"minReplicas": None}}}, kind=MERGE)
        assert "minReplicas" not in gone.json()["spec"]["predictor"]


@in_loop
async def test_a_json_patch_has_as_many_operations_as_the_store_s_bound_lets_it() -> None:
    """The API applies it, within the bounds that the store was given."""
    operation = {"op": "replace", "path": "/spec/predictor/minReplicas", "value": 3}
    async with Api.open(max_patch_operations=2) as api:
        await api.made(model_service(minReplicas=1))
        assert (await api.ask("PATCH", IRIS, [operation] * 2, kind=JSON_PATCH)).status_code == 200
        reply = await api.ask("PATCH", IRIS, [operation] * 3, kind=JSON_PATCH)
        assert (reply.status_code, "has 3 operations, expected at most 2" in reply.text) == (422, True)


@pytest.mark.parametrize(
    ("body", "kind", "code", "reason"),
    [
        ({"spec": {}}, "application/strategic-merge-patch+json", 415, "UnsupportedMediaType"),
        (b"k8s\x00", "application/vnd.kubernetes.protobuf", 415, "UnsupportedMediaType"),
        (b"\xd9\xd9\xf7", "application/apply-patch+cbor", 415, "UnsupportedMediaType"),
        (b"{", MERGE, 400, "BadRequest"),
        (b"[" * 5000, MERGE, 400, "BadRequest"),
        ([], MERGE, 422, "Invalid"),
        ({"metadata": 1}, MERGE, 422, "Invalid"),
        ({"metadata": {"name": "rose"}}, MERGE, 422, "Invalid"),
        ({"kind": "InferenceService"}, MERGE, 422, "Invalid"),
        ({"metadata": {"labels": {"a": 1}}}, MERGE, 422, "Invalid"),
        ([{"op": "replace", "path": "/spec/no/way", "value": 1}], JSON_PATCH, 422, "Invalid"),
        ([{"op": "remove", "path": "no-pointer"}], JSON_PATCH, 422, "Invalid"),
        ([{"op": "replace", "path": "", "value": 1}], JSON_PATCH, 422, "Invalid"),
        ([{"op": "remove", "path": "/metadata"}], JSON_PATCH, 422, "Invalid"),
        ({"op": "remove"}, JSON_PATCH, 422, "Invalid"),
        ("a: [", APPLY, 422, "Invalid"),
    ],
)
@in_loop
async def test_what_is_no_patch_is_a_status(body: object, kind: str, code: int, reason: str) -> None:
    """And the resource stays as it was."""
    async with Api.open() as api:
        made = await api.made(model_service())
        reply = await api.ask("PATCH", f"{IRIS}?fieldManager=me", body, kind=kind)
        assert (reply.status_code, reply.json()["reason"]) == (code, reason)
        assert await api.got(IRIS) == made


@in_loop
async def test_a_body_may_be_yaml_or_compressed() -> None:
    """Or both."""
    async with Api.open() as api:
        text = b"metadata: {name: iris}\nspec:\n  predictor:\n    model: {storageUri: /x, modelFormat: {name: onnx}}\n"
        reply = await api.ask("POST", SERVICES, gzip.compress(text), kind="application/yaml", content_encoding="gzip")
        assert reply.status_code == 201
        two = await api.ask("POST", SERVICES, text + b"---\n" + text, kind="application/yaml")
        assert two.json()["message"] == "the body has 2 documents, expected one"


@in_loop
async def test_a_body_is_bounded() -> None:
    """As it arrives, and inflated."""
    async with Api.open() as api:
        huge = b" " * (3 * 1024 * 1024 + 1)
        for body, headers in ((huge, {}), (gzip.compress(huge), {"content_encoding": "gzip"})):
            reply = await api.ask("POST", SERVICES, body, **headers)
            assert (reply.status_code, reply.json()["reason"]) == (413, "RequestEntityTooLarge")

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b" " * 1024 * 1024

        assert (await api.ask("POST", SERVICES, parts())).status_code == 413


@in_loop
async def test_a_large_answer_is_compressed_where_that_is_asked_for() -> None:
    """A small one is not."""
    async with Api.open() as api:
        for number in range(200):
            await api.made(model_service(f"s{number}"))
        assert (await api.ask("GET", SERVICES, accept_encoding="gzip")).headers["content-encoding"] == "gzip"
        assert "content-encoding" not in (await api.ask("GET", SERVICES, accept_encoding="identity")).headers
        assert "content-encoding" not in (await api.ask("GET", f"{SERVICES}/s1", accept_encoding="gzip")).headers


@in_loop
async def test_deleting_answers_a_status_and_leaves_nothing() -> None:
    """With the uid of what is gone; after that it is 404."""
    async with Api.open() as api:
        made = await api.made(model_service())
        reply = await api.ask("DELETE", IRIS, {"propagationPolicy": "Background"})
        assert reply.json()["status"] == "Success"
        assert reply.json()["details"]["uid"] == made["metadata"]["uid"]
        assert (await api.ask("GET", IRIS)).status_code == 404
        assert (await api.ask("DELETE", IRIS)).json()["reason"] == "NotFound"


@pytest.mark.parametrize(
    ("query", "body", "code", "message"),
    [
        ("", {"preconditions": {"uid": "another"}}, 409, "has uid"),
        ("", {"preconditions": {"resourceVersion": "1"}}, 409, "has resourceVersion"),
        ("", {"preconditions": {"uid": 1}}, 400, "preconditions.uid is 1, expected text"),
        ("", {"preconditions": ["uid"]}, 400, "preconditions is a list, expected an object"),
        ("", {"preconditions": ""}, 400, "preconditions is '', expected an object"),
        ("", {"propagationPolicy": "Sometimes"}, 400, "propagationPolicy is 'Sometimes', expected one of Background,"),
        ("", {"propagationPolicy": ["Orphan"]}, 400, "propagationPolicy is a list, expected one of Background,"),
        ("propagationPolicy=Never", {}, 400, "propagationPolicy is 'Never', expected one of Background,"),
        ("", {"orphanDependents": "true"}, 400, "orphanDependents is 'true', expected true or false"),
        ("orphanDependents=maybe", {}, 400, "orphanDependents is 'maybe', expected true or false"),
        ("propagationPolicy=Orphan", {"propagationPolicy": "Background"}, 400, "in the query disagree, expected"),
        ("", {"propagationPolicy": "Foreground", "orphanDependents": True}, 400, "in the body disagree, expected"),
        ("", {"dryRun": ["Some"]}, 400, "dryRun holds 'Some', expected All"),
        ("dryRun=All", {"dryRun": [""]}, 400, "dryRun holds '', expected All"),
        ("dryRun=Some", {"dryRun": ["All"]}, 400, "dryRun is 'Some', expected All"),
        ("", {"dryRun": "All"}, 400, "dryRun is 'All', expected a list that holds All"),
        ("", {"gracePeriodSeconds": "1"}, 400, "gracePeriodSeconds is '1', expected a whole number of 0 or more"),
        ("gracePeriodSeconds=soon", None, 400, "gracePeriodSeconds is 'soon', expected a whole number"),
        ("", {"kind": "ModelService"}, 400, "kind is 'ModelService', expected DeleteOptions"),
        ("", ["Background"], 400, "the body is a list, expected an object of kind DeleteOptions"),
        ("", "Background", 400, "the body is no JSON"),
        ("", {"propagationPolicy": "Foreground", "gracePeriodSeconds": 0, "kind": "DeleteOptions"}, 200, ""),
        ("propagationPolicy=Background", {"preconditions": None, "dryRun": []}, 200, ""),
    ],
)
@in_loop
async def test_options_of_a_deletion_are_obeyed(query: str, body: object, code: int, message: str) -> None:
    """Preconditions hold, or nothing is deleted; what is no option is refused, and so are two that disagree."""
    async with Api.open() as api:
        await api.made(model_service())
        reply = await api.ask("DELETE", f"{IRIS}?{query}", body)
        assert (reply.status_code, message in reply.json().get("message", "")) == (code, True), reply.text
        assert (await api.ask("GET", IRIS)).status_code == (404 if code == 200 else 200)
        assert [record.code for record in api.audit.written] == [201] + [code] * (query != "dryRun=All")


@pytest.mark.parametrize(
    ("query", "body"), [("dryRun=All", {"dryRun": []}), ("dryRun=All", None), ("", {"dryRun": ["All"]})]
)
@in_loop
async def test_a_deletion_is_dry_where_the_query_or_the_body_says_so(query: str, body: object) -> None:
    """And only then it is no change that is written down."""
    async with Api.open() as api:
        await api.made(model_service())
        assert (await api.ask("DELETE", f"{IRIS}?{query}", body)).status_code == 200
        assert (await api.ask("GET", IRIS)).status_code == 200
        assert len(api.audit.written) == 1


@in_loop
async def test_what_has_finalizers_waits_for_them() -> None:
    """The answer is the resource that is on its way, and goes when the last finalizer does."""
    async with Api.open() as api:
        await api.made(model_service(metadata={"finalizers": ["example.org/wait"]}))
        reply = await api.ask("DELETE", IRIS)
        assert "deletionTimestamp" in reply.json()["metadata"]
        await api.ask("PATCH", IRIS, {"metadata": {"finalizers": None}}, kind=MERGE)
        assert (await api.ask("GET", IRIS)).status_code == 404


@in_loop
async def test_a_collection_can_be_deleted() -> None:
    """As far as it is selected, in one namespace."""
    async with Api.open() as api:
        for name, team in (("a", "x"), ("b", "x"), ("c", "y")):
            await api.made(model_service(name, metadata={"labels": {"team": team}}))
        reply = await api.ask("DELETE", f"{SERVICES}?labelSelector=team%3Dx")
        assert reply.json()["status"] == "Success"
        assert [item["metadata"]["name"] for item in (await api.got(SERVICES))["items"]] == ["c"]
        assert (await api.ask("DELETE", ALL)).status_code == 405


@in_loop
async def test_a_list_is_selected_and_paged() -> None:
    """All pages show one instant, and say where they go on."""
    async with Api.open() as api:
        for name in "abcde":
            await api.made(model_service(name, metadata={"labels": {"odd": str("bd".find(name) < 0)}}))
        page = await api.got(f"{SERVICES}?limit=2")
        await api.ask("DELETE", f"{SERVICES}/c")
        names = [item["metadata"]["name"] for item in page["items"]]
        while "continue" in page["metadata"]:
            page = await api.got(f"{SERVICES}?limit=2&continue={page['metadata']['continue']}")
            names += [item["metadata"]["name"] for item in page["items"]]
        assert names == list("abcde")
        odd = await api.got(f"{ALL}?labelSelector=odd%3DTrue")
        assert [item["metadata"]["name"] for item in odd["items"]] == ["a", "e"]
        assert odd["kind"] == "ModelServiceList"
        one = await api.got(f"{SERVICES}?fieldSelector=metadata.name%3Db")
        assert len(one["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        *("limit=x", "limit=-1", "watch=maybe", "resourceVersionMatch=Exact", "labelSelector=%3D", "continue=x"),
        *("includeObject=x", "fieldSelector=spec.x%3D1"),
    ],
)
@in_loop
async def test_what_is_no_option_is_refused(query: str) -> None:
    """400, whatever it is."""
    async with Api.open() as api:
        reply = await api.ask("GET", f"{SERVICES}?{query}")
        assert (reply.status_code, reply.json()["reason"]) == (400, "BadRequest")


@in_loop
async def test_a_table_is_what_kubectl_prints() -> None:
    """Cells, their columns, and the metadata of each row's resource."""
    async with Api.open() as api:
        await api.made(inference_service(), INFERENCE_SERVICES)
        traffic = [{"tag": "prev", "percent": 90}, {"latestRevision": True, "percent": 10}]
        status = {
            "url": "http://iris",
            "conditions": [{"type": "Ready", "status": "True"}],
            "components": {
                "predictor": {
                    "traffic": traffic,
                    "latestReadyRevision": "iris-00003",
                    "previousRolledoutRevision": "iris-00001",
                }
            },
        }
        await api.ask("PATCH", f"{INFERENCE_SERVICES}/iris/status", {"status": status}, kind=MERGE)
        api.clock.now += 90
        table = await api.got(INFERENCE_SERVICES, accept=TABLE)
        assert [column["name"].upper() for column in table["columnDefinitions"]] == [
            *("NAME", "URL", "READY", "PREV", "LATEST", "PREVROLLEDOUTREVISION", "LATESTREADYREVISION", "AGE")
        ]
        [row] = table["rows"]
        assert row["cells"] == ["iris", "http://iris", "True", 90, 10, "iris-00001", "iris-00003", "90s"]
        assert row["object"]["metadata"]["name"] == "iris"
        one = await api.got(f"{INFERENCE_SERVICES}/iris?includeObject=None", accept=TABLE)
        assert "object" not in one["rows"][0]
        assert table["metadata"]["resourceVersion"] == row["object"]["metadata"]["resourceVersion"]


@in_loop
async def test_the_status_is_written_by_itself() -> None:
    """And nothing else with it; the resource's own path writes no status."""
    async with Api.open() as api:
        made = await api.made(model_service())
        both = {**made, "spec": {"x": 1}, "status": {"url": "u"}}
        written = (await api.ask("PUT", f"{IRIS}/status", both)).json()
        assert (written["spec"], written["status"]) == (made["spec"], {"url": "u"})
        assert written["metadata"]["generation"] == 1
        await api.ask("PATCH", IRIS, {"status": {"url": "v"}}, kind=MERGE)
        await api.ask("PUT", IRIS, model_service())
        assert (await api.got(f"{IRIS}/status"))["status"] == {"url": "u"}
        assert (await api.ask("PUT", f"{IRIS}/status", {"status": 1})).status_code == 422
        assert (await api.ask("PUT", f"{IRIS}/status", both)).status_code == 409
        assert (await api.ask("PATCH", f"{IRIS}/status", {}, kind=APPLY)).status_code == 415


@in_loop
async def test_scale_is_the_number_of_replicas() -> None:
    """Read, put without a content type as kubectl does it, and patched."""
    async with Api.open() as api:
        await api.made(model_service(minReplicas=2))
        scale = await api.got(f"{IRIS}/scale")
        assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 2})
        body = json.dumps({**scale, "spec": {"replicas": 5}}).encode()
        reply = await api.ask("PUT", f"{IRIS}/scale", body, kind="")
        assert reply.json()["spec"] == {"replicas": 5}
        assert (await api.got(IRIS))["spec"]["predictor"]["replicas"] == 5
        assert (await api.ask("PUT", f"{IRIS}/scale", body)).status_code == 409  # it is of the version before
        patched = await api.ask("PATCH", f"{IRIS}/scale", {"spec": {"replicas": 0}}, kind=MERGE)
        assert patched.json()["spec"] == {"replicas": 0}
        for wrong in (-1, "3", True, None):
            reply = await api.ask("PATCH", f"{IRIS}/scale", {"spec": {"replicas": wrong}}, kind=MERGE)
            assert (reply.status_code, reply.json()["details"]["causes"][0]["field"]) == (422, "spec.replicas")
        table = await api.got(f"{IRIS}/scale", accept=TABLE)
        assert table["rows"][0]["cells"][:3] == ["iris", 0, 0]
        assert (await api.ask("GET", f"{INFERENCE_SERVICES}/iris/scale")).status_code == 404


@pytest.mark.parametrize("what", ["revisions", "rollouts", "jobs"])
@in_loop
async def test_nobody_writes_what_the_server_writes(what: str) -> None:
    """405, with the reason."""
    async with Api.open() as api:
        path = f"/apis/tidegate.dev/v1/namespaces/default/serving{what}"
        for method, where in (("POST", path), ("PUT", f"{path}/x"), ("PATCH", f"{path}/x"), ("DELETE", f"{path}/x")):
            reply = await api.ask(method, where, {})
            assert (reply.status_code, reply.json()["reason"]) == (405, "MethodNotAllowed")
            assert f"the server writes {what}" in reply.json()["message"]


@in_loop
async def test_a_namespace_is_there_before_and_empty_after() -> None:
    """It is deleted only when nothing is in it; default always stays."""
    async with Api.open() as api:
        await api.made({"metadata": {"name": "team"}}, "/api/v1/namespaces")
        services = SERVICES.replace("default", "team")
        await api.made(model_service(), services)
        assert [item["metadata"]["name"] for item in (await api.got("/api/v1/namespaces"))["items"]] == [
            "default",
            "team",
        ]
        full = await api.ask("DELETE", "/api/v1/namespaces/team")
        assert (full.status_code, full.json()["reason"]) == (409, "Conflict")
        assert full.json()["message"] == (
            "Namespace 'team' still holds ModelService 'iris': delete what is in it first"
        )
        await api.ask("DELETE", f"{services}/iris")
        assert (await api.ask("DELETE", "/api/v1/namespaces/team")).status_code == 200
        assert (await api.ask("POST", services, model_service())).status_code == 404
        assert (await api.ask("DELETE", "/api/v1/namespaces/default")).json()["reason"] == "Forbidden"
        for wrong in ({"metadata": {"name": "a.b"}}, {"metadata": {"name": "a"}, "data": {}}):
            assert (await api.ask("POST", "/api/v1/namespaces", wrong)).status_code == 422


@in_loop
async def test_events_are_listed_for_describe() -> None:
    """By the resource that they are about, counted, the latest first."""
    async with Api.open() as api:
        for name in ("iris", "rose"):
            made = await api.made(model_service(name))
            for reason in ("Pulled", "Ready", "Ready"):
                key = key_of(made)
                await api.store.record(key, made["metadata"]["uid"], Severity.NORMAL, reason, f"{name} is {reason}")
                api.clock.now += 10
        events = "/api/v1/namespaces/default/events"
        about = "involvedObject.name%3Diris,involvedObject.namespace%3Ddefault,involvedObject.kind%3DModelService"
        found = (await api.got(f"{events}?fieldSelector={about}&limit=500"))["items"]
        assert [(event["reason"], event["count"], event["message"]) for event in found] == [
            ("Ready", 2, "iris is Ready"),
            ("Pulled", 1, "iris is Pulled"),
        ]
        assert found[0]["involvedObject"]["apiVersion"] == "tidegate.dev/v1"
        assert len((await api.got("/api/v1/events"))["items"]) == 4
        assert len((await api.got(f"{events}?fieldSelector=reason!%3DReady"))["items"]) == 2
        one = await api.got(f"{events}/{found[0]['metadata']['name']}")
        assert one == found[0]
        table = await api.got(events, accept=TABLE)
        row = table["rows"][0]
        expected = ["10s", "Normal", "Ready", "modelservice/rose", "rose is Ready", 2]
        assert row["cells"] == [*expected, row["object"]["metadata"]["name"]]
        for number in range(MOST):
            other = key_of(model_service(f"other{number}", metadata={"namespace": "default"}))
            await api.store.record(other, "uid", Severity.NORMAL, "Ready", "it answers")
        selected = "involvedObject.name%3Diris,involvedObject.namespace%3Ddefault,involvedObject.kind%3DModelService"
        assert len((await api.got(f"{events}?fieldSelector={selected}"))["items"]) == 2
        assert (await api.ask("GET", f"{events}?watch=true")).status_code == 405
        assert (await api.ask("GET", f"{events}/nope")).status_code == 404
        assert (await api.ask("DELETE", f"{events}/nope")).status_code == 405
        assert (await api.ask("GET", f"{events}?fieldSelector=spec.x%3D1")).status_code == 400


@in_loop
async def test_health_and_unknown_paths() -> None:
    """Nothing redirects, and each refusal is a Status."""
    async with Api.open() as api:
        for path in (f"{SERVICES}/a/b", f"{SERVICES}/a/b/c", "/apis/tidegate.dev/v1/namespaces/x/namespaces", "/"):
            reply = await api.ask("GET", path)
            assert (reply.status_code, reply.json()["kind"]) == (404, "Status")
        assert (await api.ask("PATCH", SERVICES, {}, kind=MERGE)).status_code == 405
        assert (await api.ask("POST", ALL, model_service())).json()["message"] == (
            "POST is not allowed for modelservices: name a namespace in the path"
        )
