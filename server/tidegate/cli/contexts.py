"""Which server a command asks, as whom, and in which namespace: from flags, environment, a file and defaults. Pure.

A flag goes before the environment, the environment before the file, the file before the default. What the file has to
be let in at one server is shown to no other: where a flag or the environment names another one, it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from tidegate.protocol.errors import shown
from tidegate.resources.document import DEFAULT_NAMESPACE

DEFAULTS = {"server": "http://127.0.0.1:8082", "namespace": DEFAULT_NAMESPACE}
LOGIN = ("token", "certificate-authority", "client-certificate", "client-key")
NAMES = ("server", "namespace", *LOGIN)
HIDDEN = "REDACTED"


class Context(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True
):
    """One server, as one user, in one namespace. Paths are relative to the file that it stands in."""

    server: str = ""
    namespace: str = ""
    token: str = ""
    token_file: str = ""
    """A file with the token, read anew by each command; beside ``token`` it is a fault."""
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""

    def __post_init__(self) -> None:
        if self.token and self.token_file:
            raise ValueError("token and token-file are both given, expected one of them")


class Contexts(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True
):
    """The file. ``current_context`` is meant where no other is named; '' is none of them."""

    current_context: str = ""
    contexts: dict[str, Context] = {}


NO_CONTEXTS = Contexts()


class Setting(NamedTuple):
    """What holds, and where it is from."""

    value: str
    origin: str


class Settled(msgspec.Struct, frozen=True):
    """What one command uses; ``context`` is the one that was taken from the file, '' for none."""

    context: str
    settings: Mapping[str, Setting]

    def __getitem__(self, name: str) -> str:
        return self.settings[name].value


class UnknownContext(ValueError):
    """A context that the file does not have."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no context '{shown(name)}'; there are {', '.join(known) or 'none'}")


def settle(
    flags: Mapping[str, str], environment: Mapping[str, str], contexts: Contexts, file: str = "the file"
) -> Settled:
    """What holds for a command.

    ``flags`` has values by the names of ``NAMES`` and ``context``, '' where none was given; ``environment`` the
    variables of the process; ``file`` is what the file is called. A token that stands in a file of its own is given by
    the name of that file, as ``token-file``.

    Raises:
        UnknownContext: the context that is named, or the current one, is not in the file.
    """
    name = flags.get("context") or environment.get(variable("context")) or contexts.current_context
    if name and name not in contexts.contexts:
        raise UnknownContext(name, list(contexts.contexts))
    held = values_of(contexts.contexts[name]) if name else {}
    found = {each: _near(each, flags, environment) for each in NAMES}
    server = found["server"]
    if server is not None and held and not _same_server(server.value, held.get("server") or DEFAULTS["server"]):
        held = {}  # the context is of another server, and so are its namespace and what lets in there
    origin = f"context {shown(name)} of {file}"
    settings: dict[str, Setting] = {}
    for each in NAMES:
        near = found[each]
        if near is not None:
            settings[each] = near
        elif each == "token" and held.get("token-file"):
            settings["token-file"] = Setting(held["token-file"], origin)
            settings[each] = Setting("", origin)
        elif held.get(each):
            settings[each] = Setting(held[each], origin)
        else:
            settings[each] = Setting(DEFAULTS.get(each, ""), "default")
    return Settled(name if held else "", settings)


def values_of(context: Context) -> dict[str, str]:
    """The fields that are set, by the names that they have in the file."""
    values: dict[str, str] = msgspec.to_builtins(context)
    return values


def variable(name: str) -> str:
    """The variable of the environment that a setting is taken from."""
    return f"TIDEGATE_{name.upper().replace('-', '_')}"


def changed(contexts: Contexts, name: str, values: Mapping[str, str]) -> Contexts:
    """The file with some values of a context set, which is made if it is new; '' takes one away.

    Raises:
        ValueError: the values do not go together.
    """
    before = contexts.contexts.get(name, Context())
    fields = {each.replace("-", "_"): value for each, value in values.items()}
    if fields.get("token"):
        fields.setdefault("token_file", "")
    if fields.get("token_file"):
        fields.setdefault("token", "")
    context = msgspec.structs.replace(before, **fields)
    return msgspec.structs.replace(contexts, contexts={**contexts.contexts, name: context})


def used(contexts: Contexts, name: str) -> Contexts:
    """The file with another current context.

    Raises:
        UnknownContext: it has none of that name.
    """
    if name not in contexts.contexts:
        raise UnknownContext(name, list(contexts.contexts))
    return msgspec.structs.replace(contexts, current_context=name)


def without(contexts: Contexts, name: str) -> Contexts:
    """The file without a context.

    Raises:
        UnknownContext: it has none of that name.
    """
    if name not in contexts.contexts:
        raise UnknownContext(name, list(contexts.contexts))
    rest = {each: context for each, context in contexts.contexts.items() if each != name}
    current = "" if contexts.current_context == name else contexts.current_context
    return Contexts(current_context=current, contexts=rest)


def _near(name: str, flags: Mapping[str, str], environment: Mapping[str, str]) -> Setting | None:
    if flags.get(name):
        return Setting(flags[name], f"--{name}")
    if value := environment.get(variable(name)):
        return Setting(value, variable(name))
    return None


def _same_server(one: str, other: str) -> bool:
    return one.rstrip("/").lower() == other.rstrip("/").lower()
