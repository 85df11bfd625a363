"""``tidegate config``: servers by name, and which of them is meant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidegate.cli.failure import Exit, Failure
from tidegate.cli.target import HERE, Target, settled

if TYPE_CHECKING:
    from tidegate.cli.contexts import Context

NAME = Parameter(show_env_var=False)
FILES = ("token-file", "certificate-authority", "client-certificate", "client-key")
"""Written with their whole path, so that they are the same from everywhere."""


def view(
    *,
    origin: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Literal["table", "json", "yaml"], Parameter(alias="-o")] = "table",
    target: Target = HERE,
) -> None:
    """Show which server commands ask, and with what; tokens are not shown.

    Parameters
    ----------
    origin
        Say where each value is from: a flag, a variable, a context of the file, or the default.
    output
        How to write it; json and yaml always have the origins.
    """
    from tidegate.cli.contexts import HIDDEN
    from tidegate.cli.documents import dump
    from tidegate.cli.tables import lines_of

    found = settled(target)
    shown = [
        (name, HIDDEN if name == "token" and value else value, source)
        for name, (value, source) in found.settings.items()
        if value
    ]
    if output == "table":
        columns = ("NAME", "VALUE", "ORIGIN") if origin else ("NAME", "VALUE")
        print("\n".join(lines_of(columns, [row[: len(columns)] for row in shown])))
    else:
        document = {name: {"value": value, "origin": source} for name, value, source in shown}
        print(dump({"context": found.context, "settings": document}, output), end="")


def get_contexts(
    names: Annotated[tuple[str, ...], NAME] = (),
    /,
    *,
    output: Annotated[Literal["table", "name"], Parameter(alias="-o")] = "table",
) -> None:
    """List the contexts of the configuration file.

    Parameters
    ----------
    names
        Those to list; without any, all.
    output
        How to write it.
    """
    from tidegate.cli.contexts import DEFAULTS, UnknownContext
    from tidegate.cli.contexts_file import place, read
    from tidegate.cli.tables import lines_of

    path = place()
    file = read(path)
    for name in names:
        if name not in file.contexts:
            raise Failure(str(UnknownContext(name, list(file.contexts))))
    chosen = {name: file.contexts[name] for name in names or file.contexts}
    if output == "name":
        print("".join(f"{name}\n" for name in chosen), end="")
        return
    if not chosen:
        print(f"no contexts in {path}", file=sys.stderr)
        return
    rows = [
        (
            "*" if name == file.current_context else "",
            name,
            context.server or DEFAULTS["server"],
            context.namespace or DEFAULTS["namespace"],
            _login(context),
        )
        for name, context in chosen.items()
    ]
    print("\n".join(lines_of(("CURRENT", "NAME", "SERVER", "NAMESPACE", "LOGIN"), rows)))


def current_context() -> None:
    """Print the name of the context that is meant where no other is named."""
    from tidegate.cli.contexts_file import place, read

    current = read(place()).current_context
    if not current:
        raise Failure("there is no current context", "`tidegate config use-context NAME` chooses one")
    print(current)


def use_context(name: Annotated[str, NAME], /) -> None:
    """Choose the context that is meant where no other is named.

    Parameters
    ----------
    name
        The context.
    """
    from tidegate.cli.contexts import used
    from tidegate.cli.contexts_file import edit

    edit(lambda contexts: used(contexts, name))
    print(f'switched to context "{name}"')


def set_context(
    name: Annotated[str, NAME],
    /,
    *,
    server: Annotated[str | None, Parameter(show_default=False)] = None,
    namespace: Annotated[str | None, Parameter(alias="-n", show_default=False)] = None,
    token: Annotated[str | None, Parameter(show_default=False)] = None,
    token_file: Annotated[str | None, Parameter(show_default=False)] = None,
    certificate_authority: Annotated[str | None, Parameter(show_default=False)] = None,
    client_certificate: Annotated[str | None, Parameter(show_default=False)] = None,
    client_key: Annotated[str | None, Parameter(show_default=False)] = None,
    use: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Keep a server, a namespace and what lets in there under a name.

    What is not given stays as it is.

    Parameters
    ----------
    name
        The context; it is made if there is none of that name.
    server
        Where the server's admin port is; "", here and below, takes a value away.
    namespace
        Which namespace.
    token
        The bearer token that lets in; it is written to the file, which only its owner can read.
    token_file
        A file with the token, in place of the token; it is read by each command.
    certificate_authority
        A file with the authority that vouches for the server.
    client_certificate
        A file with the certificate to show.
    client_key
        A file with the key of that certificate.
    use
        Make it the current one.
    """
    from tidegate.cli.contexts import changed, used
    from tidegate.cli.contexts_file import edit, place, read
    from tidegate.client.address import parse_address

    if not name or not name.isprintable() or " " in name:
        raise Failure(f"'{name}' is no name of a context", "one word", Exit.USAGE)
    if server:
        parse_address(server)
    given = {
        "server": server,
        "namespace": namespace,
        "token": token,
        "token-file": token_file,
        "certificate-authority": certificate_authority,
        "client-certificate": client_certificate,
        "client-key": client_key,
    }
    values = {
        field: str(Path(value).expanduser().absolute()) if value and field in FILES else value
        for field, value in given.items()
        if value is not None
    }
    made = name not in read(place()).contexts
    edit(lambda contexts: changed(contexts, name, values))
    if use:
        edit(lambda contexts: used(contexts, name))
    print(f'context "{name}" {"created" if made else "modified"}')


def delete_context(name: Annotated[str, NAME], /) -> None:
    """Take a context out of the configuration file.

    Parameters
    ----------
    name
        The context.
    """
    from tidegate.cli.contexts import without
    from tidegate.cli.contexts_file import edit

    edit(lambda contexts: without(contexts, name))
    print(f'context "{name}" deleted')


def _login(context: Context) -> str:
    held = ("token" if context.token or context.token_file else "", "certificate" if context.client_certificate else "")
    return ", ".join(filter(None, held)) or "none"
