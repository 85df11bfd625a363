"""From the options of `tidegate serve` to settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from cyclopts import App, CycloptsError
from msgspec import structs

from tidegate.app.golden import GoldenSettings
from tidegate.batching.padding import PaddedDimension
from tidegate.batching.settings import BatchSettings
from tidegate.cli.failure import Failure
from tidegate.cli.kept import DEFAULT_GOLDEN, DEFAULT_STATE, DEFAULT_TOLD
from tidegate.cli.options import DEFAULTS, Options
from tidegate.cli.serve import named_values, settings_of
from tidegate.cli.values import parse_padding, parse_size, parse_weight, show_size
from tidegate.control.notifications.settings import NotificationSettings
from tidegate.control.store.settings import StoreSettings
from tidegate.gateway.caller import CallerSettings
from tidegate.gateway.grpc.settings import GrpcSettings
from tidegate.gateway.http.settings import HttpSettings
from tidegate.gateway.shadow_settings import ShadowSettings
from tidegate.protocol.limits import DEFAULT_LIMITS, Limits
from tidegate.replicas.settings import ReplicaSettings
from tidegate.storage.cache import CacheSettings


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
    assert settings.batching == BatchSettings()
    assert settings.gateway.caller == CallerSettings()
    assert settings.gateway.shadow == ShadowSettings()
    assert settings.golden == GoldenSettings()
    assert settings.notifications == NotificationSettings()
    assert settings.store == StoreSettings()
    assert settings.gateway.limits == DEFAULT_LIMITS
    assert (settings.admin.http.host, settings.admin.http.port) == ("127.0.0.1", 8082)
    assert (settings.status.host, settings.status.port) == ("127.0.0.1", 8083)


def test_every_bound_of_the_state_is_an_option() -> None:
    """And of notifications and golden requests; each option says its own field and no other."""
    told: dict[str, float] = {}
    words = []
    for group in (DEFAULT_GOLDEN, DEFAULT_TOLD, DEFAULT_STATE):
        for number, field in enumerate(fields(group), 1):
            told[field.name] = getattr(group, field.name) + number
            words += [f"--{field.name.replace('_', '-')}", str(told[field.name])]
    settings = settings_of(parsed(*words))
    values = [
        getattr(each, name)
        for each in (settings.golden, settings.notifications, settings.store)
        for name in each.__struct_fields__
        if name not in ("secrets", "outgoing")
    ]
    assert sorted(values) == sorted(told.values())
    assert settings.golden.timeout == told["golden_timeout"]
    assert settings.notifications.longest_wish == told["notification_longest_wish"]
    assert settings.store.max_document == told["max_resource_bytes"]
    assert settings.store.max_delivery_age == told["max_delivery_age"]


@pytest.mark.parametrize(
    "option",
    ["golden-bytes", "notification-first-pause", "max-resource-bytes", "max-event-age", "shadow-copy-bytes"],
)
def test_a_bound_that_leaves_nothing_names_its_option(option: str) -> None:
    """Not the field that it becomes."""
    with pytest.raises(Failure, match=f"^--{option} is 0"):
        settings_of(parsed(f"--{option}", "0"))


def test_what_was_given_is_known() -> None:
    """Also where it is the default: it holds over a model's own settings. Under the names of the settings."""
    assert settings_of(parsed()).given == frozenset()
    words = ("--replicas", "1", "--pad", "x:1=8", "--non-idempotent", "--refuse-early", "--timeout", "60")
    assert settings_of(parsed(*words)).given == {
        "replicas",
        "padded_dimensions",
        "idempotent",
        "refuse_early",
        "timeout",
    }


@pytest.mark.parametrize(
    ("named", "home"), [("/var/cache", "/var/cache"), ("relative", "/home/me/.cache"), ("", "/home/me/.cache")]
)
def test_copies_lie_in_the_users_cache_directory(named: str, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG Base Directory Specification has it; a relative one does not count."""
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setenv("HOME", "/home/me")
    copies = settings_of(parsed()).artifact_cache
    assert copies == CacheSettings(directory=Path(home, "tidegate/models"))
    assert settings_of(parsed("--no-model-cache")).artifact_cache is None


def test_every_limit_of_a_request_can_be_set() -> None:
    """Each under its own name."""
    names = list(Limits.__struct_fields__)
    words = [word for at, name in enumerate(names) for word in (f"--{name.replace('_', '-')}", str(at + 1))]
    assert settings_of(parsed(*words)).gateway.limits == Limits(*range(1, len(names) + 1))


JWT = ["--auth=jwt", "--jwt-issuer=i", "--jwt-audience=a", "--jwt-keys=k.json"]

WORDS: dict[str, list[str]] = {
    "trust": ["--trust", "models"],
    "admin_name": ["--admin-name", "tidegate.example"],
    "nan": ["--nan", "string"],
    "refuse_early": ["--no-refuse-early"],
    "model_cache": ["--no-model-cache"],
    "batch_sizes": ["--batch-sizes", "1,2"],
    "pad": ["--pad", "x:1=8"],
    "tenant_weight": ["--tenant-weight", "a=2"],
    "host": ["--host", "127.0.0.2"],
    "auth": ["--auth", "keys"],
    "api_keys": ["--auth", "keys", "--api-keys", "other.json"],
    "jwt_issuer": ["--auth=jwt", "--jwt-issuer=other", "--jwt-audience=a", "--jwt-keys=k.json"],
    "jwt_audience": ["--auth=jwt", "--jwt-issuer=i", "--jwt-audience=other", "--jwt-keys=k.json"],
    "jwt_keys": ["--auth=jwt", "--jwt-issuer=i", "--jwt-audience=a", "--jwt-keys=other.json"],
    "jwt_algorithms": [*JWT, "--jwt-algorithms", "ES256"],
    "jwt_leeway": [*JWT, "--jwt-leeway", "5"],
    "jwt_name_claim": [*JWT, "--jwt-name-claim", "email"],
    "jwt_tenant_claim": [*JWT, "--jwt-tenant-claim", "org"],
    "jwt_scope_claim": [*JWT, "--jwt-scope-claim", "scp"],
    "jwt_role_claim": [*JWT, "--jwt-role-claim", "groups"],
    "jwt_one_time": [*JWT, "--jwt-one-time"],
    "start_method": ["--start-method", "spawn"],
    "outgoing": ["--outgoing", "https://a.example"],
    "outgoing_network": ["--outgoing-network", "10.0.0.0/8"],
    "tls_cert": ["--tls-cert", "a.pem", "--tls-key", "b.pem"],
    "tls_key": ["--tls-cert", "a.pem", "--tls-key", "c.pem"],
    "tls_client_ca": ["--tls-cert", "a.pem", "--tls-key", "b.pem", "--tls-client-ca", "c.pem"],
}
"""Of the options for which adding one to the default is no other value."""


TIMES = [
    f"--{field.name.replace('_', '-')}"
    for group in DEFAULTS.groups
    for field in fields(group)  # type: ignore[arg-type]
    if field.name == "keep_alive_timeout"
    or (isinstance(getattr(group, field.name), float) and field.name != "caller_rate")
]
"""The options that are times, in seconds: all numbers that need not be whole, and one that is."""


def another(value: object) -> list[str]:
    """How an option says that it is not its default; a flag by being there."""
    match value:
        case bool():
            return []
        case str():
            return [f"{value}x"]
        case int() | float():
            return [str(int(value) + 1)]
    raise AssertionError(f"{value!r} has a form of its own, which stands in WORDS")


def test_every_option_reaches_a_setting() -> None:
    """Changing any one of them changes the settings; none is read and dropped."""
    default = settings_of(DEFAULTS)
    for group in DEFAULTS.groups:
        for field in fields(group):  # type: ignore[arg-type]
            if field.name in ("log_level", "log_format"):
                continue  # the process' log is no part of the server
            value = getattr(group, field.name)
            words = WORDS.get(field.name) or [f"--{field.name.replace('_', '-')}", *another(value)]
            before = settings_of(parsed(*JWT)) if words[0] == JWT[0] else default
            assert structs.replace(settings_of(parsed(*words)), given=before.given) != before, field.name


def test_batches_and_callers_are_what_the_options_say() -> None:
    """Those that are said in a form of their own arrive as what they mean."""
    words = "--batch-sizes 1,4,16 --pad ids:1=16,32 --pad mask:1=16,32:-1 --non-idempotent --no-refuse-early"
    settings = settings_of(parsed(*words.split()))
    assert settings.batching == BatchSettings(
        batch_sizes=(1, 4, 16),
        padded_dimensions=(PaddedDimension("ids", 1, (16, 32)), PaddedDimension("mask", 1, (16, 32), -1)),
        idempotent=False,
        refuse_early=False,
    )
    words = "--priority-levels 3 --default-priority 2 --tenant-header X-Team --tenant-weight a=2 --tenant-weight b=0.5"
    assert settings_of(parsed(*words.split())).gateway.caller == CallerSettings(
        priority_levels=3, default_priority=2, tenant_header="X-Team", tenant_weights={"a": 2.0, "b": 0.5}
    )


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        pytest.param("ids:1=16", PaddedDimension("ids", 1, (16,)), id="one-size"),
        pytest.param("ids:2=16,32,64", PaddedDimension("ids", 2, (16, 32, 64)), id="sizes"),
        pytest.param("ids:1=16:-1", PaddedDimension("ids", 1, (16,), -1), id="fill"),
        pytest.param("ids:1=16:0.5", PaddedDimension("ids", 1, (16,), 0.5), id="fraction"),
        pytest.param("a=b:x:0:1=16", PaddedDimension("a=b:x:0", 1, (16,)), id="a-name-of-any-signs"),
    ],
)
def test_a_padded_dimension_is_read(text: str, dimension: PaddedDimension) -> None:
    """INPUT:AXIS=SIZES, with :FILL where the new elements are not 0."""
    assert parse_padding(text) == dimension


@pytest.mark.parametrize("text", ["", "x", "x=1", "x:1", "x:1=", ":1=8", "x:a=8", "x:=8", "x:-1=8"])
def test_other_texts_are_no_padded_dimensions(text: str) -> None:
    """The form is told."""
    with pytest.raises(ValueError, match=r"is not INPUT:AXIS=SIZE,SIZE or INPUT:AXIS=SIZE,SIZE:FILL$"):
        parse_padding(text)


@pytest.mark.parametrize(
    ("text", "weight"),
    [("a=2", ("a", 2.0)), ("a=0.25", ("a", 0.25)), ("a=b=1", ("a=b", 1.0)), ("[a] b=1", ("[a] b", 1.0))],
)
def test_the_weight_of_a_tenant_is_read(text: str, weight: tuple[str, float]) -> None:
    """A tenant may have any name."""
    assert parse_weight(text) == weight


@pytest.mark.parametrize("text", ["", "a", "=1", "a=", "a=0", "a=-1", "a=inf", "a=nan"])
def test_other_texts_are_no_weights(text: str) -> None:
    """A tenant that is to have nothing is not to be let in, which is the work of others."""
    with pytest.raises(ValueError, match=r"is not NAME=WEIGHT with a number above 0$"):
        parse_weight(text)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param("--max-batch 0", 'Invalid value "0" for --max-batch. Must be >= 1.', id="no-rows"),
        pytest.param("--replicas 0", 'Invalid value "0" for --replicas. Must be >= 1.', id="no-replicas"),
        pytest.param("--max-batch=-1", 'Invalid value "-1" for --max-batch. Must be >= 1.', id="negative"),
        pytest.param("--batch-sizes 1;2", 'Invalid value for --batch-sizes: "1;2" is no list of', id="no-list"),
        pytest.param("--pad x:0=8", "Invalid value for --pad: axis is 0, expected at least 1", id="rows-axis"),
        pytest.param("--pad x:1=8 --pad y", 'Invalid value for --pad: "y" is not INPUT:AXIS=SIZE', id="second-pad"),
        pytest.param("--pad [1]", 'Invalid value for --pad: "[1]" is not INPUT:AXIS=SIZE', id="no-json"),
        pytest.param("--tenant-weight a=x", 'Invalid value for --tenant-weight: "x" is no number', id="no-number"),
        pytest.param("--tenant-weight a=1 --tenant-weight a=2", 'tenant "a" is given twice', id="tenant-twice"),
        pytest.param("--cache-bytes -1", 'Invalid value for --cache-bytes: "-1" is no size', id="negative-size"),
    ],
)
def test_a_value_that_its_option_cannot_have_is_refused(words: str, problem: str) -> None:
    """While the line is read, with the option's name."""
    with pytest.raises(CycloptsError) as raised:
        parsed(*words.split())
    raised.value.verbose = False
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param("--batch-sizes 4,2", "--batch-sizes is 4,2, expected ascending whole numbers of at", id="order"),
        pytest.param("--max-batch-bytes 0", "--max-batch-bytes is 0, expected at least 1", id="no-bytes"),
        pytest.param(
            "--non-idempotent --cache-bytes 1KiB",
            "--cache-bytes is 1024, expected 0 where requests are not idempotent (--non-idempotent): a cache would",
            id="cached-effects",
        ),
        pytest.param("--quarantine-seconds 0", "--quarantine-seconds is 0, expected a number of seconds", id="no-time"),
        pytest.param(
            "--pad x:1=8 --pad x:1=16", "--pad has axis 1 of input 'x' more than once, expected once", id="pad-twice"
        ),
        pytest.param("--priority-levels 3", "--default-priority is 5, expected 1 to 3", id="levels"),
        pytest.param("--default-priority 10", "--default-priority is 10, expected 1 to 9", id="default"),
        pytest.param("--tenant-header Host", "--tenant-header is 'Host', expected a header that has no", id="header"),
    ],
)
def test_values_that_mean_nothing_are_refused(words: str, problem: str) -> None:
    """Before anything is started; it is an error of the command line."""
    with pytest.raises(Failure) as raised:
        settings_of(parsed(*words.split()))
    assert raised.value.cause.startswith(problem)
    assert raised.value.code == 2


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1000000001", "1e300"])
@pytest.mark.parametrize("option", TIMES)
def test_every_time_is_one_that_a_timer_can_count(option: str, value: str) -> None:
    """Whatever it is for: a server that never answers, never stops or never looks is not what anybody means."""
    if option == "--keep-alive-timeout" and not value.lstrip("-").isdecimal():
        value = "-1"  # it is whole, so it cannot be any of these
    with pytest.raises(CycloptsError) as raised:
        parsed(f"{option}={value}")
    raised.value.verbose = False
    assert f"for {option}. Must be a number of seconds from 0 to 1000000000." in str(raised.value)


def test_the_host_is_one_for_all_ports() -> None:
    """And each port is its own; only the resource API is opened by itself."""
    words = ("--host", "0.0.0.0", "--auth", "off", "--http-port", "1", "--grpc-port", "2", "--status-port", "3")
    settings = settings_of(parsed(*words))
    assert [(s.host, s.port) for s in (settings.http, settings.grpc, settings.status)] == [
        ("0.0.0.0", 1),
        ("0.0.0.0", 2),
        ("0.0.0.0", 3),
    ]
    assert settings.admin.http.host == "127.0.0.1"


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
