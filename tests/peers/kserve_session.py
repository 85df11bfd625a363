"""What KServe's users do with its Python client: ``python kserve_session.py KUBECONFIG FIRST SECOND``.

Run by tests/e2e/test_kserve_client.py in the client's own environment, against a running server. FIRST and SECOND are
scikit-learn models on iris, of which the first says 0 of ``ROW`` and the second 2. A step that fails ends it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from kserve import (  # type: ignore[import-not-found]
    InferenceRESTClient,
    InferInput,
    InferRequest,
    KServeClient,
    RESTConfig,
    V1beta1InferenceService,
    V1beta1InferenceServiceSpec,
    V1beta1PredictorSpec,
    V1beta1SKLearnSpec,
    constants,
)
from kubernetes import client as kubernetes  # type: ignore[import-not-found, import-untyped, unused-ignore]

NAME = "flower"
ROW = [5.1, 3.5, 1.4, 0.2]
PATIENCE = 60
"""Seconds after which a step that waits is hanging."""


def service(uri: str, **predictor: Any) -> Any:
    """As the client's own examples make it."""
    return V1beta1InferenceService(
        api_version=constants.KSERVE_V1BETA1,
        kind=constants.KSERVE_KIND_INFERENCESERVICE,
        metadata=kubernetes.V1ObjectMeta(name=NAME, namespace="default"),
        spec=V1beta1InferenceServiceSpec(
            predictor=V1beta1PredictorSpec(sklearn=V1beta1SKLearnSpec(storage_uri=uri), **predictor)
        ),
    )


def refused(status: int, call: Any, *arguments: Any, **named: Any) -> None:
    """The client wraps what the server says into a text."""
    try:
        call(*arguments, **named)
    except RuntimeError as error:
        said = str(error)
    else:
        said = "it was taken"
    assert f"({status})" in said, said


def traffic(document: Any) -> dict[str, int]:
    told = document["status"]["components"]["predictor"]["traffic"]
    return {share["revisionName"]: share["percent"] for share in told}


async def label(url: str, protocol: str) -> int:
    """What the service says of ``ROW``, by KServe's client for inference."""
    async with InferenceRESTClient(RESTConfig(protocol=protocol)) as inference:
        assert await inference.is_model_ready(url, NAME)
        if protocol == "v1":
            answer = await inference.infer(url, {"instances": [ROW]}, model_name=NAME)
            return int(answer["predictions"][0]["predict"])
        tensor = InferInput("X", [1, 4], "FP64", data=[ROW])
        answer = await inference.infer(url, InferRequest(NAME, [tensor]), model_name=NAME)
        return int(answer.outputs[0].data[0])


def asked(url: str) -> int:
    """By v1 and by v2, which agree."""
    first, second = (asyncio.run(label(url, protocol)) for protocol in ("v1", "v2"))
    assert first == second
    return first


def run(config: str, first: str, second: str) -> None:
    client = KServeClient(config_file=config)

    made = client.create(service(first))
    assert made["metadata"]["generation"] == 1
    refused(409, client.create, service(first))
    client.wait_isvc_ready(NAME, namespace="default", timeout_seconds=PATIENCE, polling_interval=1)
    assert client.is_isvc_ready(NAME)
    assert asked(client.get(NAME)["status"]["url"]) == 0

    # What it has now is not what is asked for: with the generation the client does not take the old state for the new.
    patched = client.patch(NAME, service(second, canary_traffic_percent=0))
    assert patched["metadata"]["generation"] == 2
    client.wait_isvc_ready(
        NAME, timeout_seconds=PATIENCE, polling_interval=1, expected_generation=patched["metadata"]["generation"]
    )
    assert asked(client.get(NAME)["status"]["url"]) == 0
    refused(409, client.replace, NAME, stale(service(second), made))

    replaced = client.replace(NAME, service(second))
    assert "canaryTrafficPercent" not in replaced["spec"]["predictor"]
    client.wait_isvc_ready(
        NAME, watch=True, timeout_seconds=PATIENCE, expected_generation=replaced["metadata"]["generation"]
    )
    while traffic(current := client.get(NAME)) != {f"{NAME}-00002": 100}:
        client.wait_isvc_ready(NAME, timeout_seconds=PATIENCE, polling_interval=1)
    assert asked(current["status"]["url"]) == 2
    client.get(NAME, watch=True, timeout_seconds=PATIENCE)

    assert [item["metadata"]["name"] for item in client.get(namespace="default")["items"]] == [NAME]
    client.delete(NAME)
    refused(404, client.get, NAME)
    assert client.get(namespace="default")["items"] == []

    client.create(service(first), watch=True, timeout_seconds=PATIENCE)
    assert client.is_isvc_ready(NAME, expected_generation=1)
    client.delete(NAME)


def stale(document: Any, old: Any) -> Any:
    document.metadata.resource_version = old["metadata"]["resourceVersion"]
    return document


if __name__ == "__main__":
    run(*sys.argv[1:])
