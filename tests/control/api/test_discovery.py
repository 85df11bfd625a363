"""What clients ask first: groups, versions, resources, OpenAPI; each under the media type that it is read by."""

from __future__ import annotations

import gc
import weakref

import pytest

from tidegate.control.api import discovery, openapi
from tidegate.control.api.served import RESOURCES
from tidegate.testing.api import Api
from tidegate.testing.stores import in_loop

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
OLDER = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"


@pytest.mark.parametrize(("accept", "version"), [(AGGREGATED, "v2"), (OLDER, "v2beta1")])
@in_loop
async def test_aggregated_discovery_comes_under_its_own_media_type(accept: str, version: str) -> None:
    """Under plain JSON clients read it as empty, without a word."""
    async with Api.open() as api:
        reply = await api.ask("GET", "/apis", accept=accept)
        expected = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        assert reply.headers["content-type"] == expected
        found = {item["metadata"]["name"]: item["versions"] for item in reply.json()["items"]}
        assert list(found) == ["tidegate.dev", "serving.kserve.io"]
        [services, *ours] = found["tidegate.dev"][0]["resources"]
        assert (services["resource"], services["scope"], services["shortNames"]) == (
            "modelservices",
            "Namespaced",
            ["msvc"],
        )
        assert [(part["subresource"], part["responseKind"]["kind"]) for part in services["subresources"]] == [
            ("status", "ModelService"),
            ("scale", "Scale"),
        ]
        assert [each["verbs"] for each in ours] == [["get", "list", "watch"]] * 3
        assert [each["shortNames"] for each in ours[1:]] == [["srol", "rollout", "rollouts"], ["sjob", "job", "jobs"]]
        core = (await api.ask("GET", "/api", accept=accept)).json()
        assert [item["metadata"]["name"] for item in core["items"]] == [""]


@in_loop
async def test_the_older_form_says_the_same() -> None:
    """For clients that do not ask for the aggregated one: each resource and subresource, by group version."""
    async with Api.open() as api:
        groups = (await api.got("/apis"))["groups"]
        assert [group["name"] for group in groups] == ["tidegate.dev", "serving.kserve.io"]
        assert [version["version"] for version in groups[1]["versions"]] == ["v1beta1", "v1alpha1"]
        assert (await api.got("/apis/serving.kserve.io"))["kind"] == "APIGroup"
        assert (await api.got("/api"))["versions"] == ["v1"]
        rows = (await api.got("/apis/tidegate.dev/v1"))["resources"]
        assert [row["name"] for row in rows] == [
            "modelservices",
            "modelservices/status",
            "modelservices/scale",
            "servingrevisions",
            "servingrollouts",
            "servingjobs",
        ]
        assert rows[2]["group"] == "autoscaling"
        assert [row["name"] for row in (await api.got("/api/v1"))["resources"]] == ["namespaces", "events"]


@pytest.mark.parametrize("path", ["/apis/nope", "/apis/tidegate.dev/v2", "/api/v2", "/openapi/v3/apis/nope/v1", "/x"])
@in_loop
async def test_what_is_not_there_is_a_status(path: str) -> None:
    """404 with the reason that clients look for."""
    async with Api.open() as api:
        reply = await api.ask("GET", path)
        assert (reply.status_code, reply.json()["kind"], reply.json()["reason"]) == (404, "Status", "NotFound")


def test_plurals_and_short_names_are_unique() -> None:
    """kubectl finds a resource by them whatever its group is."""
    names = [name for served in RESOURCES for name in (served.plural, served.kind.lower(), *served.short)]
    assert len(names) == len(set(names))


@in_loop
async def test_the_version_is_one_that_kubectl_can_parse() -> None:
    """Its minor version decides whether kubectl warns."""
    async with Api.open() as api:
        found = await api.got("/version")
        assert found["gitVersion"] == f"v1.{found['minor']}.0+tidegate.1.2.3"
        assert discovery.version("1")["major"] == "1"


@in_loop
async def test_openapi_v2_is_empty_under_its_type() -> None:
    """Which is what kubectl 1.27 and 1.28 ask for before they apply."""
    async with Api.open() as api:
        reply = await api.ask("GET", "/openapi/v2")
        kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, b"", kind)


@in_loop
async def test_openapi_v3_can_be_kept_under_its_digest() -> None:
    """A document whose address has its digest is immutable, any other one is asked for again, by its tag."""
    async with Api.open() as api:
        paths = (await api.got("/openapi/v3"))["paths"]
        assert list(paths) == [
            "apis/tidegate.dev/v1",
            "apis/serving.kserve.io/v1beta1",
            "apis/serving.kserve.io/v1alpha1",
            "api/v1",
        ]
        url = paths["apis/tidegate.dev/v1"]["serverRelativeURL"]
        kept = await api.ask("GET", url)
        assert "immutable" in kept.headers["cache-control"]
        plain = await api.ask("GET", url.partition("?")[0])
        assert plain.headers["cache-control"] == "no-cache, private"
        again = await api.ask("GET", url, if_none_match=kept.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")


class Path(str):
    """A text of which it can be seen whether somebody keeps it."""


def test_paths_that_there_are_not_are_not_kept() -> None:
    """Or callers could fill the memory with those that they make up."""
    path = Path("apis/made.up/v1")
    kept = weakref.ref(path)
    assert openapi.document(path) is None
    del path
    gc.collect()
    assert kept() is None


@in_loop
async def test_openapi_says_what_kubectl_needs_to_apply_and_explain() -> None:
    """fieldValidation on patches, no strategic patch, and the kind at schemas and operations."""
    async with Api.open() as api:
        document = await api.got("/openapi/v3/apis/serving.kserve.io/v1beta1")
        kind = {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"}
        patch = document["paths"]["/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices/{name}"][
            "patch"
        ]
        assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
        assert patch["x-kubernetes-group-version-kind"] == kind
        assert not any("strategic" in content for content in patch["requestBody"]["content"])
        schema = document["components"]["schemas"]["io.kserve.serving.v1beta1.InferenceService"]
        assert schema["x-kubernetes-group-version-kind"] == [kind]
        assert "minReplicas" in schema["properties"]["spec"]["properties"]["predictor"]["properties"]
        revisions = (await api.got("/openapi/v3/apis/tidegate.dev/v1"))["paths"]
        assert "patch" not in revisions["/apis/tidegate.dev/v1/namespaces/{namespace}/servingrevisions/{name}"]


@in_loop
async def test_pages_are_read_only() -> None:
    """What is asked with another method is 405."""
    async with Api.open() as api:
        reply = await api.ask("POST", "/version", {})
        assert (reply.status_code, reply.json()["reason"]) == (405, "MethodNotAllowed")
        assert (await api.ask("GET", "/healthz")).text == "ok"
