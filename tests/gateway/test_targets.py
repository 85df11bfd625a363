"""Which model an infer path addresses."""

from __future__ import annotations

import pytest

from tidegate.gateway.addressee import ServiceName
from tidegate.gateway.http.targets import InferTarget, RepositoryTarget, infer_target, repository_target, service_path


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param(b"/v2/models/m/infer", InferTarget("m"), id="v2"),
        pytest.param(b"/v2/models/m/infer/", InferTarget("m"), id="v2-trailing-slash"),
        pytest.param(b"/v2/models/m/versions/3/infer", InferTarget("m", "3"), id="v2-version"),
        pytest.param(b"/v2/models/m/versions/3/infer/", InferTarget("m", "3"), id="v2-version-trailing-slash"),
        pytest.param(b"/v2/models/a.b-c_d/infer", InferTarget("a.b-c_d"), id="dots-and-dashes"),
        pytest.param(b"/v2/models/a%20b/infer", InferTarget("a b"), id="encoded-space"),
        pytest.param(b"/v2/models/a%2Fb/infer", InferTarget("a/b"), id="an-encoded-slash-stays-in-the-name"),
        pytest.param(b"/v2/models/a%252Fb/infer", InferTarget("a%2Fb"), id="decoded-once"),
        pytest.param(b"/v2/models/%ff/infer", InferTarget("�"), id="no-utf-8"),
        pytest.param(b"/v2/models/%C3%A9/infer", InferTarget("é"), id="utf-8"),
        pytest.param(b"/v2/models/%zz/infer", InferTarget("%zz"), id="no-hex-stays"),
        pytest.param(b"/v2/models/../infer", InferTarget(".."), id="dots-are-a-name"),
        pytest.param(b"/v2/models/infer/infer", InferTarget("infer"), id="a-model-called-infer"),
        pytest.param(b"/v2/models//infer", InferTarget(""), id="empty-name"),
        pytest.param(b"/v2/models/m:predict/infer", InferTarget("m:predict"), id="colon-in-a-v2-name"),
        pytest.param(b"/v1/models/m:predict", InferTarget("m", v1=True), id="v1"),
        pytest.param(b"/v1/models/m:predict/", InferTarget("m", v1=True), id="v1-trailing-slash"),
        pytest.param(b"/v1/models/m%3Apredict", InferTarget("m", v1=True), id="v1-encoded-colon"),
        pytest.param(b"/v1/models/m%3apredict", InferTarget("m", v1=True), id="v1-encoded-colon-lower-case"),
        pytest.param(b"/v1/models/a:b:predict", InferTarget("a:b", v1=True), id="v1-colon-in-the-name"),
        pytest.param(b"/v1/models/m:explain", InferTarget("m", v1=True, explain=True), id="v1-explain"),
    ],
)
def test_an_infer_path_names_its_model(path: bytes, target: InferTarget) -> None:
    """The model and version are read from the path, each segment decoded once."""
    assert infer_target(path) == target


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"/", id="root"),
        pytest.param(b"", id="empty"),
        pytest.param(b"*", id="asterisk"),
        pytest.param(b"/v2/models/m", id="metadata"),
        pytest.param(b"/v2/models/m/ready", id="ready"),
        pytest.param(b"/v2/models/m/infer//", id="two-trailing-slashes"),
        pytest.param(b"//v2/models/m/infer", id="two-leading-slashes"),
        pytest.param(b"/v2/models/m/Infer", id="upper-case"),
        pytest.param(b"/v2/models/m/version/1/infer", id="singular"),
        pytest.param(b"/v2/models/m/versions//infer", id="empty-version"),
        pytest.param(b"/v2/models/a/b/infer", id="slash-in-the-name"),
        pytest.param(b"/v2/models/m/%69nfer", id="encoded-verb"),
        pytest.param(b"/v1/models/m", id="v1-ready"),
        pytest.param(b"/v1/models/m:Explain", id="v1-upper-case-explain"),
        pytest.param(b"/v1/models/m:Predict", id="v1-upper-case"),
    ],
)
def test_other_paths_name_none(path: bytes) -> None:
    """Whatever is not exactly an infer path is left to the pages."""
    assert infer_target(path) is None


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param(b"/v2/repository/index", RepositoryTarget("index"), id="index"),
        pytest.param(b"/v2/repository/index/", RepositoryTarget("index"), id="trailing-slash"),
        pytest.param(b"/v2/repository/models/a%2Fb/load", RepositoryTarget("load", "a/b"), id="load"),
        pytest.param(b"/v2/repository/models/m/unload", RepositoryTarget("unload", "m"), id="unload"),
        pytest.param(b"/v2/repository/models/m/delete", None, id="another-verb"),
        pytest.param(b"/v2/repository/r/index", None, id="a-repository-with-a-name"),
    ],
)
def test_wishes_of_the_model_repository(path: bytes, target: RepositoryTarget | None) -> None:
    """Each has a path of its own; the name is decoded once."""
    assert repository_target(path) == target


@pytest.mark.parametrize(
    ("path", "service", "rest"),
    [
        pytest.param(b"/serving/ns/m/v2/models/m/infer", ("ns", "m"), b"/v2/models/m/infer", id="v2"),
        pytest.param(b"/serving/ns/m/v1/models/m:predict", ("ns", "m"), b"/v1/models/m:predict", id="v1"),
        pytest.param(b"/serving/ns/m/v2", ("ns", "m"), b"/v2", id="the-server"),
        pytest.param(b"/serving/ns/m/v2/", ("ns", "m"), b"/v2/", id="trailing-slash"),
        pytest.param(b"/serving/n%2Fs/%6d/v2/x%2Fy", ("n/s", "m"), b"/v2/x%2Fy", id="decoded-once,-the-rest-not"),
        pytest.param(b"/serving/../m/v2", ("..", "m"), b"/v2", id="dots-are-a-name"),
        pytest.param(b"/serving///v2", ("", ""), b"/v2", id="empty-names"),
    ],
)
def test_a_path_names_a_service(path: bytes, service: tuple[str, str], rest: bytes) -> None:
    """Its namespace and name, and the protocol's path under it as it was sent."""
    assert service_path(path) == (ServiceName(*service), rest)


@pytest.mark.parametrize(
    "path",
    [b"/serving/ns/m", b"/serving/ns/m/", b"/serving/ns/v2/models", b"/serving/ns/m/v3/x", b"/serving/ns/m/v2x",
     b"/x/serving/ns/m/v2", b"//serving/ns/m/v2", b"/serving/ns/m//v2", b"/Serving/ns/m/v2", b"", b"*"],
)  # fmt: skip
def test_other_paths_name_no_service(path: bytes) -> None:
    """They are what they are without services."""
    assert service_path(path) is None
