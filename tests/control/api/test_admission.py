"""What may be stored of what is sent."""

from __future__ import annotations

import copy

import pytest

from tidegate.control.api.admission import FieldValidation, admit
from tidegate.control.api.served import served_of
from tidegate.resources.document import Document
from tidegate.resources.faults import InvalidManifest
from tidegate.resources.kinds import SERVICES
from tidegate.testing.api import INFERENCE_SERVICES, MERGE, Api, inference_service, model_service
from tidegate.testing.stores import in_loop

OURS, THEIRS = map(served_of, SERVICES)
MODE = "serving.kserve.io/deploymentMode"


def test_kserves_old_form_is_stored_in_the_new_one() -> None:
    """With a warning that says so."""
    admitted = admit(THEIRS, inference_service())
    assert admitted.document["spec"] == {
        "predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/iris"}}
    }
    assert admitted.warnings == (
        "spec.predictor.sklearn becomes model, with the key as modelFormat.name, as KServe's own admission does",
    )


@pytest.mark.parametrize("validation", FieldValidation)
def test_a_field_that_is_not_honoured_is_a_warning(validation: FieldValidation) -> None:
    """Also under Strict, which kubectl asks for by itself: it is a field of the kind. Also one that is not yet."""
    document = inference_service(model={"modelFormat": {"name": "onnx"}, "storageUri": "x"}, timeout=60)
    document["metadata"]["annotations"] = {MODE: "Standard"}
    warnings = admit(THEIRS, document, None, validation).warnings
    assert [warning.partition(" ")[0] for warning in warnings if "is not honoured" in warning] == [
        f'metadata.annotations["{MODE}"]',
        "spec.predictor.timeout",
    ]


@pytest.mark.parametrize(
    ("validation", "told"),
    [(FieldValidation.IGNORE, 0), (FieldValidation.WARN, 1), (FieldValidation.STRICT, None)],
)
def test_an_unknown_field_of_kserve_is_told_as_is_asked_for(validation: FieldValidation, told: int | None) -> None:
    """Left out in silence, left out with a warning, or refused."""
    document = inference_service(model={"modelFormat": {"name": "onnx"}, "storageUri": "x", "fooBar": 1})
    if told is None:
        with pytest.raises(InvalidManifest, match=r"spec\.predictor\.model\.fooBar is no field"):
            admit(THEIRS, document, None, validation)
        return
    admitted = admit(THEIRS, document, None, validation)
    assert "fooBar" not in admitted.document["spec"]["predictor"]["model"]
    assert len([warning for warning in admitted.warnings if "fooBar" in warning]) == told


@pytest.mark.parametrize("validation", FieldValidation)
def test_an_unknown_field_of_our_own_is_refused(validation: FieldValidation) -> None:
    """Whatever is asked for: a field without effect is a fault."""
    with pytest.raises(InvalidManifest, match=r"spec\.predictor\.fooBar is no field"):
        admit(OURS, model_service(fooBar=1), None, validation)


def test_admission_leaves_what_it_is_given() -> None:
    """Old and new."""
    old, new = admit(THEIRS, inference_service()).document, inference_service()
    copies = copy.deepcopy((old, new))
    admit(THEIRS, new, old)
    assert (old, new) == copies


def test_admission_of_what_was_admitted_changes_nothing() -> None:
    """So that writing what was read is no write."""
    once = admit(THEIRS, inference_service()).document
    assert admit(THEIRS, once, once).document == once


def test_an_old_key_that_is_sent_again_replaces_what_it_had_become() -> None:
    """kubectl's patches hold it beside the stored model; two that differ in both are two implementations."""
    old = admit(THEIRS, inference_service()).document
    both = copy.deepcopy(old)
    both["spec"]["predictor"]["sklearn"] = {"storageUri": "s3://bucket/new"}
    assert admit(THEIRS, both, old).document["spec"]["predictor"]["model"]["storageUri"] == "s3://bucket/new"
    both["spec"]["predictor"]["model"]["storageUri"] = "s3://bucket/other"
    with pytest.raises(InvalidManifest, match=r"spec\.predictor"):
        admit(THEIRS, both, old)


def moded(mode: str | None) -> Document:
    document = inference_service()
    document["metadata"]["annotations"] = {MODE: mode} if mode else {}
    return document


FIXED = f"metadata.annotations[\"{MODE}\"] is 'Knative', and cannot be changed: it is 'Standard'"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "Standard",
            "Knative",
            f"metadata.annotations[\"{MODE}\"] is 'Knative', and cannot be changed: it is 'Standard'",
        ),
        ("RawDeployment", "Standard", None),
        (None, "Standard", None),
        ("Standard", None, None),
    ],
)
def test_the_deployment_mode_cannot_be_changed(before: str | None, after: str | None, message: str | None) -> None:
    """Its old names are the same modes."""
    old = admit(THEIRS, moded(before)).document
    if message is None:
        admit(THEIRS, moded(after), old)
        return
    with pytest.raises(InvalidManifest) as caught:
        admit(THEIRS, moded(after), old)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "uri", "good"), [("v2", "s3://b/1", False), ("v2", "s3://b/2", True), ("v1", "s3://b/2", True)]
)
def test_a_new_name_of_the_predictor_comes_with_a_new_model(name: str, uri: str, good: bool) -> None:
    """As KServe has it: the name is how a canary is promoted."""
    old, new = inference_service(sklearn={"storageUri": "s3://b/1"}), inference_service(sklearn={"storageUri": uri})
    old["spec"]["predictor"]["name"], new["spec"]["predictor"]["name"] = "v1", name
    old = admit(THEIRS, old).document
    if good:
        admit(THEIRS, new, old)
        return
    with pytest.raises(InvalidManifest, match=r"spec\.predictor\.name is 'v2' and was 'v1', expected a new storageUri"):
        admit(THEIRS, new, old)


@in_loop
async def test_warnings_are_headers() -> None:
    """Which kubectl prints; on patches, too."""
    async with Api.open() as api:
        reply = await api.ask("POST", INFERENCE_SERVICES, inference_service())
        assert reply.headers["warning"] == (
            '299 - "spec.predictor.sklearn becomes model, with the key as modelFormat.name, '
            "as KServe's own admission does\""
        )
        patch = {"spec": {"predictor": {"unheardOf": '"x"\r\n'}}}
        path = f"{INFERENCE_SERVICES}/iris"
        warned = await api.ask("PATCH", path, patch, kind=MERGE)
        assert warned.headers["warning"].startswith('299 - "spec.predictor.unheardOf is no field')
        strict = await api.ask("PATCH", f"{path}?fieldValidation=Strict", patch, kind=MERGE)
        assert (strict.status_code, strict.json()["reason"]) == (422, "Invalid")
