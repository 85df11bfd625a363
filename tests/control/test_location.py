"""From a reference to a path, or the one sentence that says why it is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.control.location import path_of
from tidegate.protocol.errors import ModelLoadFailed

BASE = Path("/srv")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        pytest.param("/models/iris", "/models/iris", id="absolute"),
        pytest.param("iris/3", "/srv/iris/3", id="relative"),
        pytest.param("./iris", "/srv/iris", id="here"),
        pytest.param("file:///models/iris", "/models/iris", id="file"),
        pytest.param("FILE://localhost/models/iris", "/models/iris", id="this host"),
        pytest.param("file:/models/iris", "/models/iris", id="file without a host"),
        pytest.param("file:///a%20b/%C3%BC", "/a b/ü", id="escaped"),
        pytest.param("/a%20b", "/a%20b", id="a path is not escaped"),
        pytest.param("~/iris", "/srv/~/iris", id="nobody's home"),
    ],
)
def test_a_path_of_this_machine(uri: str, path: str) -> None:
    """As it is written, relative ones from the base."""
    assert path_of(uri, BASE) == Path(path)


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        *(
            pytest.param(
                f"{scheme}://bucket/iris",
                f"is in a remote storage ({scheme}:), and those are not there yet; expected a path of this machine, as "
                f"/models/iris or file:///models/iris",
                id=scheme,
            )
            for scheme in ("pvc", "s3", "gs", "hf", "https", "oci", "azure+blob")
        ),
        pytest.param(
            "models:/iris@champion",
            "is in a remote storage (models:), and those are not there yet; expected a path of this machine, as "
            "/models/iris or file:///models/iris",
            id="registry",
        ),
        pytest.param("/models/../etc", "has '..' in it, expected a path that says where it leads", id="up"),
        pytest.param(
            "file:///models/%2e%2e/etc", "has '..' in it, expected a path that says where it leads", id="up, escaped"
        ),
        pytest.param("../iris", "has '..' in it, expected a path that says where it leads", id="out of the base"),
        pytest.param("file://other/iris", "is no file of this machine, expected file:///PATH", id="another host"),
        pytest.param("file:iris", "is no file of this machine, expected file:///PATH", id="a relative file"),
        pytest.param("file:///iris?x=1", "is no file of this machine, expected file:///PATH", id="a query"),
        pytest.param("file://[/iris", "is no URI, expected file:///PATH", id="no URI"),
        pytest.param("file:///a%00b", "is no path, expected one, as /models/iris", id="a zero"),
        pytest.param("", "is no path, expected one, as /models/iris", id="nothing"),
    ],
)
def test_what_is_refused(uri: str, problem: str) -> None:
    """With the field, the value, and what was expected."""
    with pytest.raises(ModelLoadFailed) as caught:
        path_of(uri, BASE)
    assert caught.value.message == f"spec.predictor.model.storageUri '{uri}' {problem}"


def test_a_relative_path_without_a_base() -> None:
    """The directory that the server happens to run in is none."""
    with pytest.raises(ModelLoadFailed, match="is a relative path, and nothing says from where"):
        path_of("iris", None)


def test_a_reference_of_another_field_is_told_by_that() -> None:
    """What belongs to a model is found as it is."""
    with pytest.raises(ModelLoadFailed, match=r"^spec\.x '\.\./a' has"):
        path_of("../a", BASE, "spec.x")
    with pytest.raises(ModelLoadFailed, match=r"^spec\.x 'file:a' is"):
        path_of("file:a", BASE, "spec.x")
