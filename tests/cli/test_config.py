"""``tidegate config`` and ``tidegate kubeconfig``: files, and who can read them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tidegate.cli.main import run

Told = Callable[..., tuple[str, str]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the contexts are, in a folder that is not there yet."""
    path = tmp_path / "config" / "tidegate.yaml"
    for name in ("SERVER", "TOKEN", "NAMESPACE", "CONTEXT"):
        monkeypatch.delenv(f"TIDEGATE_{name}", raising=False)
    monkeypatch.setenv("TIDEGATE_CONFIG", str(path))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Run a command that ends well (or with ``code``), and return what it says."""

    def run_it(*words: str, code: int = 0) -> tuple[str, str]:
        assert run(words) == code
        return capsys.readouterr()

    return run_it


def test_contexts_are_kept_and_chosen(file: Path, told: Told) -> None:
    """In a file that only its owner can read."""
    assert told("config", "set-context", "a", "--server", "http://127.0.0.1:1", "--use")[0] == 'context "a" created\n'
    told("config", "set-context", "b", "--server", "https://b", "-n", "team", "--token", "secret")
    assert told("config", "set-context", "b", "--namespace", "other")[0] == 'context "b" modified\n'
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert told("config", "get-contexts")[0].splitlines() == [
        "CURRENT   NAME   SERVER               NAMESPACE   LOGIN",
        "*         a      http://127.0.0.1:1   default     none",
        "          b      https://b            other       token",
    ]
    assert told("config", "use-context", "b")[0] == 'switched to context "b"\n'
    assert told("config", "current-context")[0] == "b\n"
    assert told("config", "get-contexts", "-o", "name", "a")[0] == "a\n"
    assert told("config", "delete-context", "b")[0] == 'context "b" deleted\n'
    assert told("config", "current-context", code=1)[1].startswith("error: there is no current context\n")


def test_where_values_are_from_is_told_and_tokens_are_not(
    file: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its flag, variable, context or default."""
    told("config", "set-context", "a", "--server", "https://a", "--token", "secret", "--use")
    monkeypatch.setenv("TIDEGATE_NAMESPACE", "team")
    out, _ = told("config", "view", "--origin")
    assert [line.split(maxsplit=2) for line in out.splitlines()] == [
        ["NAME", "VALUE", "ORIGIN"],
        ["server", "https://a", f"context a of {file}"],
        ["namespace", "team", "TIDEGATE_NAMESPACE"],
        ["token", "REDACTED", f"context a of {file}"],
    ]
    document = json.loads(told("config", "view", "-o", "json", "--server", "https://b")[0])
    assert document["settings"]["server"] == {"value": "https://b", "origin": "--server"}
    assert "token" not in document["settings"]


def test_the_defaults_need_no_file(file: Path, told: Told) -> None:
    """And none is made by looking."""
    assert told("config", "view")[0].splitlines()[1] == "server      http://127.0.0.1:8082"
    assert told("config", "get-contexts") == ("", f"no contexts in {file}\n")
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param("contexts: [", "is no valid YAML", id="yaml"),
        pytest.param("contexts: {a: {servre: x}}", "unknown field `servre`", id="unknown-field"),
        pytest.param("contexts: {a: {token: x, token-file: y}}", "token and token-file are both given", id="both"),
        pytest.param("contexts: {a: 1}", "Expected `object`", id="type"),
    ],
)
def test_a_file_that_is_wrong_is_told(file: Path, told: Told, content: str, problem: str) -> None:
    """With its name, and is not written over."""
    file.parent.mkdir()
    file.write_text(content)
    for command in (["view"], ["set-context", "b", "--server", "http://b"]):
        error = told("config", *command, code=1)[1].splitlines()[0]
        assert error.startswith(f"error: '{file}'")
        assert problem in error
    assert file.read_text() == content


def test_paths_are_kept_whole(file: Path, told: Told, tmp_path: Path) -> None:
    """They are typed in one folder and used in another."""
    told("config", "set-context", "a", "--server", "https://a", "--token-file", "token", "--use")
    held = yaml.safe_load(file.read_text())
    assert held["contexts"]["a"]["token-file"] == str(tmp_path / "token")
    assert "No such file" in told("get", "msvc", code=1)[1]


def test_what_is_no_context_is_refused(file: Path, told: Told) -> None:
    """A name of two words, a server that is no address, one that is not there."""
    assert told("config", "set-context", "a b", code=2)[1].startswith("error: 'a b' is no name of a context")
    assert "is not an address" in told("config", "set-context", "a", "--server", "here", code=1)[1]
    assert told("config", "use-context", "a", code=1)[1].startswith("error: there is no context 'a'; there are none")
    assert told("get", "msvc", "--context", "a", code=1)[1].startswith("error: there is no context 'a'")


def test_a_token_is_not_sent_in_the_clear(file: Path, told: Told) -> None:
    """But to this machine itself."""
    error, hint = told("get", "msvc", "--server", "http://example.com", "--token", "t", code=1)[1].splitlines()
    assert error == "error: a token would be readable by everybody on the way to http://example.com"
    assert hint == "hint: use https:// where there is a token"
    assert "not reachable" in told("get", "msvc", "--server", "http://127.0.0.1:1", "--token", "t", code=1)[1]


def test_a_kubeconfig_holds_all_that_it_needs(file: Path, told: Told, tmp_path: Path) -> None:
    """In a file of its owner's alone, and not over another one."""
    for name in ("ca", "certificate", "key"):
        (tmp_path / f"{name}.pem").write_text(name)
    told(
        "config", "set-context", "a", "--server", "https://a", "-n", "team", "--token", "t", "--use",
        "--certificate-authority", "ca.pem", "--client-certificate", "certificate.pem", "--client-key", "key.pem",
    )  # fmt: skip
    text, _ = told("kubeconfig")
    document = yaml.safe_load(text)
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    assert (cluster["server"], base64.b64decode(cluster["certificate-authority-data"])) == ("https://a", b"ca")
    assert user["token"] == "t"
    assert base64.b64decode(user["client-key-data"]) == b"key"
    assert document["contexts"][0]["context"]["namespace"] == "team"
    assert document["current-context"] == "a"
    assert told("kubeconfig", "--output", "kube")[0].startswith("wrote kube; try: kubectl --kubeconfig kube ")
    assert ((tmp_path / "kube").read_text(), (tmp_path / "kube").stat().st_mode & 0o777) == (text, 0o600)
    assert told("kubeconfig", "--output", "kube", code=1)[1].startswith("error: 'kube' exists already")
    told("kubeconfig", "--output", "kube", "--force", "--server", "http://127.0.0.1:8082")
    assert "users:\n- name: tidegate\n  user: {}\n" in (tmp_path / "kube").read_text()
