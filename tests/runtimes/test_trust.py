"""The gate in front of every file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.protocol.errors import GrpcStatus, ModelLoadFailed, UntrustedModel
from tidegate.runtimes.runtime import Artifact, Format
from tidegate.runtimes.trust import admit, require_trust

CODE = Format("pickle", (".pkl",), executes_code=True)
DATA = Format("table", (".table", ".big.pkl"), executes_code=False)


def test_code_from_a_stranger_is_refused() -> None:
    """The message names the model, its format, the risk, and what would let it through."""
    with pytest.raises(UntrustedModel) as caught:
        require_trust(Artifact("iris", "1", Path("iris.pkl")), CODE)
    assert caught.value.message == (
        "model 'iris' is a pickle file, and reading one can run any code that its author put there; it is loaded only "
        "from a trusted source: a path typed on the command line, or one below a directory that --trust names"
    )
    assert caught.value.grpc_status is GrpcStatus.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("trusted", "format"),
    [
        pytest.param(True, CODE, id="code, trusted"),
        pytest.param(True, DATA, id="data, trusted"),
        pytest.param(False, DATA, id="data, untrusted"),
    ],
)
def test_what_is_trusted_or_harmless_passes(trusted: bool, format: Format) -> None:
    """Only code without trust is stopped."""
    require_trust(Artifact("iris", "1", Path("iris"), trusted=trusted), format)


def test_the_longest_suffix_decides_about_trust(tmp_path: Path) -> None:
    """A name that ends in two suffixes is of the longer one's format."""
    path = tmp_path / "x.big.pkl"
    path.touch()
    assert admit(Artifact("x", "1", path), (CODE, DATA)) is DATA
    with pytest.raises(UntrustedModel):
        admit(Artifact("x", "1", tmp_path / "x.pkl"), (CODE, DATA))


def test_a_file_that_cannot_be_opened_is_told_so(tmp_path: Path) -> None:
    """A missing file and a wrong suffix are two messages."""
    with pytest.raises(ModelLoadFailed, match=r"^model 'x': 'x\.table' does not exist; expected a table file$"):
        admit(Artifact("x", "1", tmp_path / "x.table"), (CODE, DATA))
    with pytest.raises(
        ModelLoadFailed, match=r"^model 'x': 'x\.csv' does not end in one of \.big\.pkl, \.pkl, \.table$"
    ):
        admit(Artifact("x", "1", tmp_path / "x.csv"), (CODE, DATA))


def test_a_directory_is_admitted_by_its_marker(tmp_path: Path) -> None:
    """It is one model if the file that says so lies in it, and is read under the same rule of trust."""
    saved = Format("saved model", (), executes_code=True, marker="saved.pb")
    with pytest.raises(ModelLoadFailed, match=rf"^model 'x': '{tmp_path.name}' is no directory with saved\.pb$"):
        admit(Artifact("x", "1", tmp_path, trusted=True), (saved,))
    (tmp_path / "saved.pb").touch()
    assert admit(Artifact("x", "1", tmp_path, trusted=True), (saved,)) is saved
    with pytest.raises(UntrustedModel):
        admit(Artifact("x", "1", tmp_path), (saved,))
