"""The forms in which answers come: Status, columns, kubeconfig, and how requests are read."""

from __future__ import annotations

import base64

import pytest
import yaml

from tidegate.control.api.columns import COLUMNS
from tidegate.control.api.content import media_type, wanted_discovery, wants_table, warning_headers
from tidegate.control.api.kubeconfig import Access, kubeconfig
from tidegate.control.api.parameters import write_options
from tidegate.control.api.served import RESOURCES, Served
from tidegate.control.api.settings import ApiSettings
from tidegate.control.api.status import INTERNAL, failure, reason_of
from tidegate.protocol.errors import InternalError, Overloaded, TidegateError
from tidegate.resources.document import Document


def every_error() -> list[type[TidegateError]]:
    found: list[type[TidegateError]] = []
    waiting: list[type[TidegateError]] = [TidegateError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_reason_of_kubernetes(kind: type[TidegateError]) -> None:
    """What clients tell apart by it is never InternalError."""
    error = TidegateError.__new__(kind)
    if kind.http_status in (400, 401, 403, 404, 405, 408, 410, 413, 415, 422):
        assert reason_of(error) != INTERNAL


def test_a_status_has_what_clients_read() -> None:
    """Code, reason, message, and when to come back."""
    assert failure(Overloaded("too many", retry_after=1.2), {"name": "x"}) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too many",
        "reason": "ServiceUnavailable",
        "details": {"name": "x", "retryAfterSeconds": 2},
        "code": 503,
    }
    assert failure(InternalError())["reason"] == INTERNAL


@pytest.mark.parametrize("served", RESOURCES, ids=lambda served: served.plural)
def test_columns_bear_any_document(served: Served) -> None:
    """What is missing or of another shape is an empty cell."""
    documents: list[Document] = [
        {"metadata": {"name": "x"}},
        {"metadata": {"name": "x", "creationTimestamp": "x"}, "spec": [], "status": {"conditions": [1, {"type": 1}]}},
        {"metadata": {}, "status": {"components": {"predictor": {"traffic": [{"latestRevision": True}]}}}},
    ]
    for document in documents:
        for column in served.columns:
            assert isinstance(column.read(document, 0.0), str | int | None)


def test_cells_of_revisions_and_runtimes() -> None:
    """A digest is shortened; a runtime tells its formats."""
    cells = {column.name: column.read for column in (*COLUMNS["ServingRevision"], *COLUMNS["ServingRuntime"])}
    revision = {"spec": {"resolved": {"digest": "sha256:0123456789abcdef"}, "number": 3}}
    assert (cells["Model"](revision, 0), cells["Number"](revision, 0)) == ("0123456789ab", 3)
    runtime = {"spec": {"supportedModelFormats": [{"name": "a"}, {"name": "b"}], "disabled": True}}
    assert (cells["ModelType"](runtime, 0), cells["Disabled"](runtime, 0)) == ("a,b", "true")


@pytest.mark.parametrize(
    ("accept", "table", "discovery"),
    [
        ("", False, None),
        ("application/json", False, None),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", True, None),
        ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", False, None),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1,application/json;as=Table;v=v1", True, None),
        ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json", False, None),
        ("application/json; g=apidiscovery.k8s.io; v=v2; as=APIGroupDiscoveryList", False, "v2"),
        ("*/*", False, None),
        (";;;,,=", False, None),
    ],
)
def test_the_first_form_that_is_given_is_taken(accept: str, table: bool, discovery: str | None) -> None:
    """Protobuf and CBOR are passed over: JSON is what there is."""
    assert (wants_table(accept), wanted_discovery(accept)) == (table, discovery)


def test_a_missing_content_type_is_json() -> None:
    """As kubectl scale leaves it out."""
    assert (media_type(""), media_type("Application/JSON; charset=utf-8")) == ("application/json", "application/json")


def test_a_warning_is_one_quoted_line() -> None:
    """Whatever a caller's field is called."""
    assert warning_headers(['a "b" \\ \r\n ü ∞']) == [(b"warning", b'299 - "a \\"b\\" \\\\ \\\\r\\\\n \xfc ?"')]


def test_who_does_not_name_himself_is_his_program() -> None:
    """As in Kubernetes: the product of the User-Agent."""
    assert write_options({}, "kubectl/v1.32.4 (linux/amd64)").manager == "kubectl"
    assert write_options({}, "").manager == "unknown"
    assert write_options({"fieldManager": "me"}, "kubectl/v1").manager == "me"


def test_a_kubeconfig_has_the_authority_and_the_token() -> None:
    """And nothing that is not there."""
    access = Access(name="laptop", server="https://127.0.0.1:8082", authority=b"PEM", token="t", namespace="team")
    document = yaml.safe_load(kubeconfig(access))
    assert document["clusters"] == [
        {
            "name": "laptop",
            "cluster": {
                "server": "https://127.0.0.1:8082",
                "certificate-authority-data": base64.b64encode(b"PEM").decode(),
            },
        }
    ]
    assert document["users"] == [{"name": "laptop", "user": {"token": "t"}}]
    assert document["contexts"][0]["context"] == {"cluster": "laptop", "user": "laptop", "namespace": "team"}
    plain = yaml.safe_load(kubeconfig(Access(name="l", server="http://127.0.0.1:8082")))
    assert (plain["clusters"][0]["cluster"], plain["users"][0]["user"]) == ({"server": "http://127.0.0.1:8082"}, {})


def test_settings_have_bounds() -> None:
    """Each must leave something."""
    with pytest.raises(ValueError, match="max_watches is 0, expected a number above 0"):
        ApiSettings(max_watches=0)
