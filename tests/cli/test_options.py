"""From the options of `tidegate serve` to settings."""

from __future__ import annotations

from dataclasses import fields

import pytest
from cyclopts import App

from tidegate.cli.failure import Failure
from tidegate.cli.options import DEFAULTS, Options, parse_size, show_size
from tidegate.cli.serve import named_values, settings_of
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.replicas.settings import ReplicaSettings


def parsed(*argv: str) -> Options:
    """What an application makes of these words."""
    app = App(result_action="return_value")

    @app.default
    def keep(options: Options = DEFAULTS) -> Options:
        return options

    options = app(argv, exit_on_error=False, print_error=False)
    assert isinstance(options, Options)
    return options


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("1024", 1024, id="bytes"),
        pytest.param("64MiB", 64 << 20, id="mebibytes"),
        pytest.param("2 GiB", 2 << 30, id="space"),
        pytest.param("1kib", 1 << 10, id="lower-case"),
        pytest.param("0", 0, id="zero"),
    ],
)
def test_sizes_are_read(text: str, count: int) -> None:
    """With a unit or in bytes."""
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "1MB", "-1", "1.5MiB", "1 Mi B x", "1e6"])
def test_other_texts_are_no_sizes(text: str) -> None:
    """MB would be ambiguous: it is a million here and a mebibyte there."""
    with pytest.raises(ValueError, match="is no size; expected bytes, or a number with KiB, MiB or GiB"):
        parse_size(text)


@pytest.mark.parametrize("count", [0, 1, 1000, 1 << 10, 3 << 20, 5 << 30])
def test_sizes_are_shown_as_they_are_read(count: int) -> None:
    """What the help shows as the default can be typed."""
    assert parse_size(show_size(count)) == count


def test_without_options_the_settings_are_their_own_defaults() -> None:
    """The command line repeats no default, so it cannot disagree with one."""
    settings = settings_of(parsed())
    assert settings.http == HttpSettings()
    assert settings.grpc == GrpcSettings()
    assert settings.replica == ReplicaSettings()
    assert settings.gateway.limits == DEFAULT_LIMITS
    assert (settings.status.host, settings.status.port) == ("127.0.0.1", 8083)


def test_every_limit_of_a_request_can_be_set() -> None:
    """Each under its own name."""
    names = list(Limits.__struct_fields__)
    words = [word for at, name in enumerate(names) for word in (f"--{name.replace('_', '-')}", str(at + 1))]
    assert settings_of(parsed(*words)).gateway.limits == Limits(*range(1, len(names) + 1))


def test_every_option_reaches_a_setting() -> None:
    """Changing any one of them changes the settings; none is read and dropped."""
    default = settings_of(DEFAULTS)
    for group in DEFAULTS.groups:
        for field in fields(group):  # type: ignore[arg-type]
            if field.name in ("log_level", "log_format"):
                continue  # the process' log is no part of the server
            value = getattr(group, field.name)
            words = [] if isinstance(value, bool) else [f"{value}x" if isinstance(value, str) else str(int(value) + 1)]
            words = ["string"] if field.name == "nan" else words
            options = parsed(f"--{field.name.replace('_', '-')}", *words)
            assert settings_of(options) != default, field.name


def test_the_host_is_one_for_all_ports() -> None:
    """And each port is its own."""
    words = ("--host", "0.0.0.0", "--http-port", "1", "--grpc-port", "2", "--status-port", "3")
    settings = settings_of(parsed(*words))
    assert [(s.host, s.port) for s in (settings.http, settings.grpc, settings.status)] == [
        ("0.0.0.0", 1),
        ("0.0.0.0", 2),
        ("0.0.0.0", 3),
    ]


def test_options_of_a_runtime_are_named_values() -> None:
    """A value may be empty and may hold what separates it from its name."""
    assert named_values(["a=1", "b=", "c=x=y"]) == {"a": "1", "b": "", "c": "x=y"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["a"], "--option 'a' is not NAME=VALUE", id="no-value"),
        pytest.param(["=1"], "--option '=1' is not NAME=VALUE", id="no-name"),
        pytest.param(["a=1", "a=2"], "--option 'a' is given twice", id="twice"),
    ],
)
def test_other_words_are_no_options_of_a_runtime(words: list[str], problem: str) -> None:
    """The wrong word is named; it is an error of the command line."""
    with pytest.raises(Failure, match=f"^{problem}$") as raised:
        named_values(words)
    assert raised.value.code == 2
