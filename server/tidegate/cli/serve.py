"""``tidegate serve``: options to settings, settings to a running server."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from msgspec import structs

from tidegate.cli.access import identity_of, tls_of
from tidegate.cli.failure import Exit, Failure
from tidegate.cli.group import overlay
from tidegate.cli.kept import golden_of, notifications_of, store_of
from tidegate.cli.options import (
    ACTIVATION,
    BATCHING,
    CALLER,
    DEFAULTS,
    GRPC,
    HTTP,
    RELOAD,
    REPLICA,
    SHADOW,
    WATCH,
    Copies,
    Options,
)
from tidegate.protocol.errors import shown
from tidegate.protocol.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.app.events import Event
    from tidegate.app.settings import ServeSettings
    from tidegate.cli.options import Trials
    from tidegate.gateway.shadow_settings import ShadowSettings
    from tidegate.storage.cache import CacheSettings

KEYS_OR_FILES = "`tidegate keys create` makes API keys; certificates and keys of issuers are files in PEM and JSON"
CAN_SERVE = "`tidegate doctor` lists what this machine can serve"


def serve(
    paths: Annotated[tuple[Path, ...], Parameter(show_env_var=False, show_default=False)] = (),
    /,
    *,
    name: str = "",
    untrusted: Annotated[bool, Parameter(negative=())] = False,
    option: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text",
    options: Options = DEFAULTS,
) -> int:
    """Serve models on this machine: files, directories of them, and services that manifests describe.

    Without any it serves what is kept in --state-directory, and what `tidegate apply` gives it.

    Parameters
    ----------
    paths
        Model files, directories of models (DIR/NAME.joblib, or DIR/NAME/VERSION/FILE), and manifests (FILE.yaml).
    name
        The name to serve the only path under, instead of its own.
    untrusted
        Refuse formats that can run code while they are read (pickle, joblib), of what these paths are and name.
    option
        NAME=VALUE, an option of the runtime that reads the models, for example providers=CUDAExecutionProvider.
        Once per option.
    output
        json writes what happens to stdout, too, one JSON object per line: first the addresses.
    """
    from tidegate.app.logs import LogSettings, configure
    from tidegate.cli.announce import announcer
    from tidegate.cli.typed import is_manifest, typed_manifests

    models = tuple(path for path in paths if not is_manifest(path))
    manifests = tuple(path for path in paths if path not in models)
    if name and (len(models) != 1 or manifests):
        raise Failure("--name renames a single model", "give one FILE with it", Exit.USAGE)

    log = options.log
    configure(LogSettings(log.log_level, log.log_format, log.access_log), sys.stderr)
    settings = structs.replace(
        settings_of(options),
        paths=models,
        manifests=typed_manifests(manifests),
        name=name or None,
        trusted=not untrusted,
        options=named_values(option),
    )
    with announcer(output == "json", log.log_format == "json") as announce:
        code = _run(settings, announce)
    if code == Exit.FAILED:
        raise Failure("no model could be loaded; the reasons stand above", CAN_SERVE)
    if code == Exit.NOT_READY:
        cause = f"no model is ready after {settings.ready_timeout:g} s"
        raise Failure(cause, "--ready-timeout gives them longer", Exit.NOT_READY)
    return code


def named_values(words: Sequence[str]) -> dict[str, str]:
    """The options of the runtime, by name, from their NAME=VALUE.

    Raises:
        Failure: one is not of this form, or two have one name.
    """
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise Failure(
                f"--option '{shown(word)}' is not NAME=VALUE",
                "for example --option allow_version_mismatch=true",
                Exit.USAGE,
            )
        if name in values:
            raise Failure(f"--option '{shown(name)}' is given twice", "give it once", Exit.USAGE)
        values[name] = value
    return values


def settings_of(options: Options) -> ServeSettings:
    """The settings that the options make, but for what is served.

    Raises:
        Failure: two options together mean nothing, or a value is one that its kind alone does not forbid.
    """
    try:
        return _settings_of(options)
    except ValueError as error:
        field, _, problem = str(error).partition(" ")
        raise Failure(
            f"{option_of(field)} {problem}", "`tidegate serve --help` shows what it takes", Exit.USAGE
        ) from error


FIELDS = {"pad": "padded_dimensions", "non_idempotent": "idempotent"}
"""Fields of the settings, by options that have other names."""
SHADOW_OPTIONS = {
    "max_queue": "shadow_queue",
    "max_inflight": "shadow_inflight",
    "max_copy_bytes": "shadow_copy_bytes",
    "max_bytes": "shadow_bytes",
    "timeout": "shadow_timeout",
}
"""Options of what copies for shadows may take, by the fields of their settings."""


def option_of(field: str) -> str:
    """The option that a field of the settings comes from."""
    named = {told: option for option, told in FIELDS.items()}.get(field, field)
    return f"--{named.replace('_', '-')}"


def _settings_of(options: Options) -> ServeSettings:
    from tidegate.app.admin import AdminSettings
    from tidegate.app.settings import ServeSettings
    from tidegate.gateway.dataplane import GatewaySettings

    groups, addresses, times = options.groups, options.addresses, options.times
    batching, callers = options.batching, options.callers
    limits = overlay(DEFAULT_LIMITS, options.bounds)
    http = overlay(HTTP, *groups)
    grpc = overlay(GRPC, *groups)
    settings = ServeSettings(
        paths=(),
        gateway=GatewaySettings(
            version("tidegate"),
            limits,
            times.timeout,
            times.max_timeout,
            structs.replace(overlay(CALLER, callers), tenant_weights=dict(callers.tenant_weight)),
            shadow=shadow_of(options.trials),
        ),
        http=structs.replace(http, port=addresses.http_port),
        grpc=structs.replace(grpc, port=addresses.grpc_port),
        admin=AdminSettings(
            http=structs.replace(http, host=addresses.admin_host, port=addresses.admin_port, access_log=False),
            names=addresses.admin_name,
        ),
        status=structs.replace(http, port=addresses.status_port, access_log=False),
        replica=structs.replace(overlay(REPLICA, *groups), directory=options.execution.worker_directory),
        batching=structs.replace(
            overlay(BATCHING, batching, callers),
            idempotent=not batching.non_idempotent,
            padded_dimensions=batching.pad,
        ),
        artifact_cache=artifact_cache_of(options.copies),
        revision_cache=revision_cache_of(options),
        identity=identity_of(options.identities, options.encryption, addresses.host, options.services.state_directory),
        tls=tls_of(options.encryption),
        activation=overlay(ACTIVATION, options.awake),
        golden=golden_of(options.golden),
        notifications=notifications_of(options.told),
        store=store_of(options.state, options.told),
    )
    given = frozenset(FIELDS.get(option, option) for option in options.given)
    control = options.control
    watching = RELOAD if control.reload else overlay(WATCH, control)
    return structs.replace(
        overlay(settings, *groups),
        state_directory=Path(state) if (state := options.services.state_directory) else None,
        secrets=Path(secrets) if (secrets := options.services.secrets) else None,
        given=given,
        watch=control.watch or control.reload,
        watching=watching,
    )


def shadow_of(trials: Trials) -> ShadowSettings:
    """What copies for shadows may take."""
    return overlay(SHADOW, trials, options=SHADOW_OPTIONS)


def artifact_cache_of(copies: Copies) -> CacheSettings | None:
    """Where copies of models lie, None for no copies."""
    from tidegate.storage.cache import CacheSettings

    if not copies.model_cache:
        return None
    directory = Path(copies.model_cache_directory) if copies.model_cache_directory else cache_home() / "tidegate/models"
    return CacheSettings(directory=directory.absolute(), max_bytes=copies.model_cache_bytes)


def revision_cache_of(options: Options) -> CacheSettings:
    """Where the content of revisions lies: with the state, so that it is there for as long as that is."""
    from tidegate.storage.cache import CacheSettings

    state, copies = options.services.state_directory, options.copies
    named = Path(state) / "models" if state else Path(copies.model_cache_directory or cache_home() / "tidegate/models")
    return CacheSettings(directory=named.absolute(), max_bytes=copies.model_cache_bytes)


def cache_home() -> Path:
    """The user's directory for caches, by the XDG Base Directory Specification: a relative one does not count."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"


def _run(settings: ServeSettings, announce: Callable[[Event], None]) -> int:
    import asyncio
    import os

    import uvloop

    from tidegate.app.manifests import ManifestsRefused
    from tidegate.app.memory import keep_freed_memory
    from tidegate.app.serve import serve as run_server
    from tidegate.gateway.address import CannotListen
    from tidegate.identity.settings import Unusable
    from tidegate.protocol.errors import ModelLoadFailed, StateUnavailable, StateUnusable

    keep_freed_memory(os.environ)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run_server(settings, announce))
    except CannotListen as error:
        raise Failure(str(error), "`--http-port 0` and its like take a free port") from error
    except Unusable as error:
        raise Failure(str(error), KEYS_OR_FILES) from error
    except ManifestsRefused as error:
        for place, message in error.faults:
            print(f"{place}: error: {message}", file=sys.stderr)
        raise Failure("the manifests cannot be stored, nothing was started") from error
    except ModelLoadFailed as error:
        raise Failure(error.message, CAN_SERVE) from error
    except (StateUnusable, StateUnavailable) as error:
        raise Failure(error.message, "--state-directory names where the state lies") from error
