"""tidegate keys: made, shown, taken back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tidegate.cli.keys import seconds_of
from tidegate.cli.main import run
from tidegate.identity.key import identity_of, verified
from tidegate.identity.key_file import read_keys


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state" / "keys.json"
    monkeypatch.setenv("TIDEGATE_SERVE_API_KEYS", str(path))
    return path


def test_a_key_is_made_and_shown_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone on stdout, so that a shell can keep it; the file has its hash only."""
    words = (
        "keys create ann --scope infer:* --scope metadata:*/* --role view --tenant red --expires 2h --rate 5 --burst 9"
    )
    assert run(words.split()) == 0
    secret = capsys.readouterr().out.strip()
    keys = read_keys(file)
    (key,) = keys.by_id.values()
    assert verified(keys, secret, key.created) is key
    assert key.expires - key.created == 7200
    assert secret.rpartition("_")[2] not in file.read_text()
    found = identity_of(key)
    assert (found.name, found.tenant, found.role, found.quota.rate, found.quota.burst) == ("ann", "red", "view", 5, 9)
    assert [str(scope) for scope in found.scopes] == ["infer:*", "metadata:*/*"]


def test_keys_are_listed_without_secrets(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table for people, as JSON for programs."""
    run(["keys", "create", "ann", "--scope", "infer:*"])
    run(["keys", "create", "carol", "--role", "edit", "--certificate", "URI:spiffe://example/carol"])
    capsys.readouterr()
    assert run(["keys", "list"]) == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["ID", "NAME", "MAY", "EXPIRES"]
    assert [line[1:] for line in lines[1:]] == [
        ["ann", "infer:*", "never"],
        ["carol", "role:edit (URI:spiffe://example/carol)", "never"],
    ]
    assert run(["keys", "list", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [key["name"] for key in told] == ["ann", "carol"]
    assert not any("hash" in key for key in told)


def test_a_key_is_taken_back_by_id_or_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of a name at once, others stay."""
    for name in ("ann", "ann", "bob", "eve"):
        run(["keys", "create", name, "--scope", "infer:*"])
    ids = {key.id: key.name for key in read_keys(file).by_id.values()}
    eve = next(key for key, name in ids.items() if name == "eve")
    capsys.readouterr()
    assert run(["keys", "revoke", "ann"]) == 0
    assert run(["keys", "revoke", eve]) == 0
    assert capsys.readouterr().out.count("revoked") == 3
    assert [key.name for key in read_keys(file).by_id.values()] == ["bob"]
    assert run(["keys", "revoke", "nobody"]) == 1
    assert "there is no key 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem", "code"),
    [
        (["keys", "create", "ann"], "the key would be good for nothing", 2),
        (["keys", "create", "ann", "--scope", "infer"], "scope 'infer' is none, expected infer:", 2),
        (["keys", "create", "ann", "--scope", "infer:*", "--expires", "soon"], "--expires is 'soon'", 2),
        (["keys", "create", "ann", "--scope", "infer:*", "--certificate", "ann"], "certificate is 'ann'", 2),
        (["keys", "create", "", "--scope", "infer:*"], "name is ''", 2),
        (["keys", "list"], "cannot be read: No such file", 1),
    ],
)
def test_what_cannot_be_is_said(
    file: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str, code: int
) -> None:
    """And nothing is written."""
    assert run(words) == code
    assert problem in capsys.readouterr().err
    assert not file.exists()


def test_a_damaged_file_is_not_written_over(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody may still want what is in it."""
    file.parent.mkdir()
    file.write_text("{")
    file.chmod(0o600)
    assert run(["keys", "create", "ann", "--scope", "infer:*"]) == 1
    assert "cannot be used" in capsys.readouterr().err
    assert file.read_text() == "{"


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("2m", 120), ("3h", 10800), ("90d", 7776000), ("1w", 604800)])
def test_times_are_read(text: str, seconds: int) -> None:
    """A whole number and one unit."""
    assert seconds_of(text) == seconds
