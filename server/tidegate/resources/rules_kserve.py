"""Rules that KServe's own admission has for its kinds; ``rules`` has the table of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tidegate.protocol.errors import quoted
from tidegate.resources.faults import Fault, Path, wrong
from tidegate.resources.parts import (
    FRAMEWORKS,
    Part,
    annotations_of,
    at,
    components,
    models,
    part,
    parts,
    predictors,
    variables,
)

PREFIX = "serving.kserve.io/"
MODES = {"Standard": "Standard", "RawDeployment": "Standard", "Knative": "Knative", "Serverless": "Knative"}
MODES |= {"ModelMesh": "ModelMesh"}
"""Values of the annotation deploymentMode, with KServe's old ones, and what each means."""
CLASSES = ("hpa", "keda", "external", "none")
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_KEY = re.compile(r"kbs:///[^/\s]+/[^/\s]+/[^/\s]+")
_PARALLEL = ("PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE")


def mode_of(document: Part) -> str:
    """Standard, Knative, ModelMesh; "" where the cluster's default decides."""
    return MODES.get(annotations_of(document).get(f"{PREFIX}deploymentMode", ""), "")


def class_of(document: Part) -> str:
    """The autoscaler that is asked for; "" where the mode decides."""
    return annotations_of(document).get(f"{PREFIX}autoscalerClass", "")


def name_form(document: Part) -> Iterator[Fault]:
    name = at(document, "metadata", "name")
    if name is not None and not _NAME.fullmatch(name):
        yield wrong(
            ("metadata", "name"), name, "a name that begins with a letter and has small letters, digits and '-'"
        )
    for path, predictor in predictors(document):
        name = predictor.get("name")
        if name is not None and not _NAME.fullmatch(name):
            yield wrong((*path, "name"), name, "a name that begins with a letter and has small letters, digits and '-'")


def model_name(document: Part) -> Iterator[Fault]:
    for path, model in models(document):
        if model.get("name"):
            yield wrong((*path, "name"), model["name"], "none: the container of a model has a name of its own")


def annotation_values(document: Part) -> Iterator[Fault]:
    told = annotations_of(document)
    for name, known in (("deploymentMode", tuple(MODES)), ("autoscalerClass", CLASSES), ("stop", ("true", "false"))):
        value = told.get(PREFIX + name)
        if value is not None and value not in known:
            yield wrong(("metadata", "annotations", PREFIX + name), value, f"one of {', '.join(known)}")


def places(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        told = list(parts(component, "storageUris"))
        if told and any("storageUri" in model for model in _models_of(component)):
            yield Fault((*path, "storageUris"), "stands beside storageUri", "one of them")
        for index, place in told:
            mount = place.get("mountPath", "/mnt/models")
            if not mount.startswith("/") or mount == "/" or ".." in PurePosixPath(mount).parts:
                yield wrong((*path, "storageUris", index, "mountPath"), mount, "an absolute path below /, without ..")


def collocated(document: Part) -> Iterator[Fault]:
    for path, predictor in predictors(document):
        for index, container in parts(predictor, "containers"):
            if container.get("name") != "transformer-container":
                continue
            for place, name, value in variables((*path, "containers", index), container):
                if name == "STORAGE_URI":
                    yield Fault((*place, "name"), "is 'STORAGE_URI'", "none: a transformer has no model", value)


def protocol(document: Part) -> Iterator[Fault]:
    for path, predictor in predictors(document):
        if _models_of(predictor):
            continue
        for index, container in parts(predictor, "containers"):
            for place, name, value in variables((*path, "containers", index), container):
                if name == "PROTOCOL" and value not in (None, "v1", "v2"):
                    yield wrong((*place, "value"), value, "v1 or v2")


def scale_metric(document: Part) -> Iterator[Fault]:
    mode, scaler = mode_of(document), class_of(document)
    for path, component in components(document):
        metric, target = component.get("scaleMetric"), component.get("scaleTarget")
        if metric is None:
            continue
        path = (*path, "scaleMetric")
        if mode == "Standard" and scaler == "keda":
            yield wrong(path, metric, "none with KEDA, which reads autoScaling")
        elif scaler == "hpa" and metric not in ("cpu", "memory"):
            yield wrong(path, metric, "cpu or memory for the autoscaler hpa")
        elif mode == "Knative" and scaler != "hpa" and metric not in ("concurrency", "rps"):
            yield wrong(path, metric, "concurrency or rps in Knative mode")
        if metric in ("cpu", "rps", "memory") and target == 0:
            yield wrong((*path[:-1], "scaleTarget"), target, f"at least 1 for {metric}")


def metrics(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        for index, metric in parts(component, "autoScaling", "metrics"):
            here: Path = (*path, "autoScaling", "metrics", index)
            kind = metric.get("type")
            field = {"Resource": "resource", "External": "external", "PodMetric": "podmetric"}.get(str(kind), "")
            if field and field not in metric:
                yield Fault((*here, field), "is missing", f"a mapping, for the type is {kind}")
            if field in ("external", "podmetric") and isinstance(metric.get(field), dict):
                if not at(metric, field, "metric", "query"):
                    yield Fault((*here, field, "metric", "query"), "is missing", "what is asked of the server")
                if at(metric, field, "target", "value") is None:
                    yield Fault((*here, field, "target", "value"), "is missing", "the value that it is held at")


def deployment_strategy(document: Part) -> Iterator[Fault]:
    if mode_of(document) != "Knative":
        return
    for path, component in components(document):
        if "deploymentStrategy" in component:
            yield Fault((*path, "deploymentStrategy"), "is for Standard mode, and the mode is Knative")


def logger_storage(document: Part) -> Iterator[Fault]:
    for path, component in components(document):
        storage = at(component, "logger", "storage")
        if isinstance(storage, dict):
            for name in ("path", "parameters", "key"):
                if not storage.get(name):
                    yield Fault(
                        (*path, "logger", "storage", name), "is missing, and without it the bucket is not found"
                    )


def confidential(document: Part) -> Iterator[Fault]:
    for path, model in models(document):
        told = part(model, "confidential")
        if told.get("enabled"):
            if "storageUri" not in model:
                yield Fault((*path, "storageUri"), "is missing", "the place of the encrypted model")
            key = told.get("resourceId")
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                yield wrong((*path, "confidential", "resourceId"), key, "a key like kbs:///default/keys/model")


def workers(document: Part) -> Iterator[Fault]:
    for path, predictor in predictors(document):
        spec = predictor.get("workerSpec")
        if not isinstance(spec, dict):
            continue
        here: Path = (*path, "workerSpec")
        for name in ("pipelineParallelSize", "tensorParallelSize"):
            if spec.get(name, 1) < 1:
                yield wrong((*here, name), spec[name], "a whole number of at least 1")
        if len(spec.get("containers") or ()) > 1:
            yield Fault((*here, "containers"), f"has {len(spec['containers'])} containers", "one, the worker's")
        for index, container in parts(spec, "containers"):
            for place, name, value in variables((*here, "containers", index), container):
                if name in _PARALLEL:
                    yield Fault((*place, "name"), f"is '{name}'", "the field of workerSpec instead", value)
        if class_of(document) not in ("", "none"):
            yield wrong(
                ("metadata", "annotations", f"{PREFIX}autoscalerClass"), class_of(document), "none with workerSpec"
            )
        for key in ("model", *FRAMEWORKS):
            uri = at(predictor, key, "storageUri")
            if uri is not None and not uri.startswith(("pvc://", "oci://")):
                yield wrong((*path, key, "storageUri"), uri, "pvc:// or oci:// with workerSpec, for all nodes read it")


def canaries(document: Part) -> Iterator[Fault]:
    told = list(parts(document, "spec", "canary"))
    stable = part(document, "spec", "predictor")
    names = {stable["name"]} if "name" in stable else set()
    if told and mode_of(document) not in ("Standard", ""):
        yield Fault(("spec", "canary"), f"is for Standard mode, and the mode is {mode_of(document)}")
    if told and stable and not _models_of(stable):
        yield Fault(("spec", "canary"), "stands beside a predictor without a model", "a model that canaries differ in")
    for index, canary in told:
        predictor = canary.get("predictor")
        if not isinstance(predictor, dict):
            continue
        path: Path = ("spec", "canary", index, "predictor")
        name = predictor.get("name")
        if not name:
            yield Fault((*path, "name"), "is missing", "a name, which tells the canaries apart")
        elif name in names:
            yield Fault((*path, "name"), f"is {quoted(name)} once more", "a name of its own", name)
        names.add(name)
        for field in ("workerSpec", "maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
            if field in predictor:
                yield Fault((*path, field), "is for spec.predictor, not for a canary")
        if predictor.get("minReplicas", 0) > stable.get("minReplicas", 1):
            most = stable.get("minReplicas", 1)
            yield wrong((*path, "minReplicas"), predictor["minReplicas"], f"at most spec.predictor.minReplicas, {most}")


def runtime_containers(document: Part) -> Iterator[Fault]:
    if at(document, "spec", "containers") == []:
        yield Fault(("spec", "containers"), "is empty", "the container that serves the model")


def runtime_priorities(document: Part) -> Iterator[Fault]:
    first: dict[object, int] = {}
    for index, told in parts(document, "spec", "supportedModelFormats"):
        priority = told.get("priority")
        if priority is None or not told.get("autoSelect"):
            continue
        before = first.setdefault(told.get("name"), priority)
        if before != priority:
            path = ("spec", "supportedModelFormats", index, "priority")
            yield wrong(path, priority, f"{before}, as for the same format before")


def _models_of(component: Part) -> list[Part]:
    return [found for key in ("model", *FRAMEWORKS) if isinstance(found := component.get(key), dict)]
