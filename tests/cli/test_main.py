"""The command line as a whole: help, errors, exit codes, environment."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib import import_module

import pytest

from tidegate.cli.main import COMMANDS as COMMAND_HELP
from tidegate.cli.main import run

COMMANDS = (
    "serve", "infer", "init", "models inspect", "validate", "explain", "apply", "diff", "get", "describe", "delete",
    "wait", "scale", "rollout history", "rollout status", "rollout undo", "rollout restart", "events", "logs",
    "kubeconfig", "config view", "config get-contexts", "config current-context", "config use-context",
    "config set-context", "config delete-context", "doctor", "completion", "version",
)  # fmt: skip


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """No arguments mean help."""
    assert run([]) == 0
    text = capsys.readouterr().out
    assert all(command.split()[0] in text for command in COMMANDS)


@pytest.mark.parametrize("command", [pytest.param(command, id=command) for command in COMMANDS])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows its usage and the option for tracebacks."""
    assert run([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: tidegate {command}")
    assert "--debug" in text
    assert " ".join(COMMAND_HELP[command].split("\n\n")[-1].split()[:6]) in " ".join(text.split())


@pytest.mark.parametrize("command", [pytest.param(command, id=command) for command in COMMANDS])
def test_a_command_begins_its_help_as_its_function_does(command: str) -> None:
    """The text stands where it costs no import, and a reader of the function finds the same sentence."""
    module, _, name = command.partition(" ")
    function = getattr(import_module(f"tidegate.cli.{module}"), (name or module).replace("-", "_"))
    assert inspect.cleandoc(function.__doc__).splitlines()[0] == COMMAND_HELP[command].splitlines()[0]


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete "), ("zsh", "#compdef tidegate"), ("fish", "complete ")]
)
def test_the_shell_can_complete(shell: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands and options are in the script."""
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert sign in script
    assert "http-port" in script


@pytest.mark.parametrize(
    ("argv", "cause", "hint"),
    [
        pytest.param(["serv"], 'Unknown command "serv". Did you mean "serve"?', "tidegate --help", id="command"),
        pytest.param(
            ["serve", "--http-prt", "1", "a"], "Did you mean --http-port?", "tidegate serve --help", id="option"
        ),
        pytest.param(["validate"], "requires an argument", "tidegate validate --help", id="no-path"),
        pytest.param(
            ["serve", "a", "--http-port", "x"], 'unable to convert "x" into int', "tidegate serve", id="value"
        ),
        pytest.param(
            ["serve", "a", "--max-body-bytes", "12 parsecs"],
            '"12 parsecs" is no size; expected bytes, or a number with KiB, MiB or GiB',
            "tidegate serve --help",
            id="size",
        ),
        pytest.param(["serve", "a", "b", "--name", "n"], "--name renames a single model", "one FILE", id="name"),
        pytest.param(["infer", "m"], "exactly one of --input, --data and --rows", "tidegate infer", id="no-values"),
        pytest.param(
            ["infer", "m", "--data", "{}", "--rows", "-"], "exactly one of --input", "tidegate infer", id="two-values"
        ),
        pytest.param(["version", "-o", "yaml"], 'Choose from: "text", "json"', "tidegate version", id="choice"),
    ],
)
def test_wrong_usage_ends_with_2(argv: list[str], cause: str, hint: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong, one where to look; stdout stays empty."""
    assert run(argv) == 2
    out, err = capfd.readouterr()
    assert out == ""
    error, advice = err.splitlines()
    assert error.startswith("error: ")
    assert cause in error
    assert advice.startswith("hint: ")
    assert hint in advice


def test_a_flag_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the environment before the default."""
    monkeypatch.setenv("TIDEGATE_VERSION_OUTPUT", "json")
    assert run(["version"]) == 0
    assert "tidegate" in json.loads(capsys.readouterr().out)
    assert run(["version", "-o", "text"]) == 0
    assert capsys.readouterr().out.startswith("tidegate 0")


def test_a_wrong_value_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the variable, not with an option that nobody typed."""
    monkeypatch.setenv("TIDEGATE_SERVE_HTTP_PORT", "many")
    assert run(["serve", "a"]) == 2
    assert "TIDEGATE_SERVE_HTTP_PORT" in capsys.readouterr().err


def test_a_failure_shows_a_traceback_only_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    """--debug stands anywhere on the line."""
    refused = ["infer", "m", "--input", "x=1", "--url", "http://127.0.0.1:1"]
    assert run(refused) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert run([*refused, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With how to start one."""
    assert run(["infer", "m", "--input", "x=1", "--url", "http://127.0.0.1:1"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: http://127.0.0.1:1 is not reachable")
    assert hint == "hint: start one with `tidegate serve FILE`, or name another with --url or --grpc"


@pytest.mark.e2e
def test_the_installed_command_is_this_one() -> None:
    """``python -m tidegate`` and the entry point are the same program, without colours where nobody looks."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tidegate", "versio"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith('error: Unknown command "versio". Did you mean "version"?')
    assert done.stdout == ""


@pytest.mark.e2e
def test_help_imports_nothing_heavy() -> None:
    """What a command needs is imported when it runs: --help answers at once."""
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "tidegate", "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"numpy", "httpx", "uvicorn", "starlette", "grpclib", "google.protobuf", "msgspec", "uvloop", "asyncio"}
    assert imported & heavy == set()


@pytest.mark.e2e
def test_a_reader_that_leaves_is_no_fault() -> None:
    """As in ``tidegate doctor | head -0``: the shell's code for SIGPIPE, and no complaint."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tidegate", "doctor", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), complaint) == (141, b"")


def test_a_variable_that_is_no_option_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo there would otherwise do nothing, silently; other programs' variables are let be."""
    monkeypatch.setenv("TIDEGATE_VERSION_OUTPT", "json")
    monkeypatch.setenv("TIDEGATE_ELSEWHERE", "1")
    assert run(["version"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("tidegate 0")
    assert err == (
        "note: TIDEGATE_VERSION_OUTPT is no option of `tidegate version`; did you mean TIDEGATE_VERSION_OUTPUT?\n"
    )


def test_a_variable_of_a_group_s_command_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name holds both words."""
    monkeypatch.setenv("TIDEGATE_MODELS_INSPECT_OUTPT", "json")
    assert run(["models", "inspect", "none", "--url", "http://127.0.0.1:1"]) == 1
    note = capsys.readouterr().err.splitlines()[0]
    assert note.endswith("is no option of `tidegate models inspect`; did you mean TIDEGATE_MODELS_INSPECT_OUTPUT?")
