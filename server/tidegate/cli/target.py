"""The server that a command asks, by its options; and what is said where it does not answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from tidegate.cli.failure import Failure

if TYPE_CHECKING:
    from tidegate.cli.contexts import Settled
    from tidegate.client import ClientSettings, Resources

NOT_THERE = "start one with `tidegate serve`, or name another with --server or `tidegate config set-context`"
NOT_TRUSTED = "name who vouches for it: --certificate-authority FILE, or `tidegate config set-context`"
NOT_KNOWN = "give a token with --token or TIDEGATE_TOKEN, or keep one with `tidegate config set-context`"


@Parameter(name="*", group=Group("Server", sort_key=1))
@dataclass(frozen=True)
class Target:
    namespace: Annotated[str, Parameter(alias="-n", show_default=False, show_env_var=False)] = ""
    """Which namespace; else TIDEGATE_NAMESPACE, else the context's, else default."""
    context: Annotated[str, Parameter(show_default=False, show_env_var=False)] = ""
    """Which context of the configuration file; else TIDEGATE_CONTEXT, else the current one."""
    server: Annotated[str, Parameter(show_default=False, show_env_var=False)] = ""
    """Where the server's admin port is; else TIDEGATE_SERVER, else the context's, else http://127.0.0.1:8082."""
    token: Annotated[str, Parameter(show_default=False, show_env_var=False)] = ""
    """The bearer token that lets in; else TIDEGATE_TOKEN, else the context's."""
    certificate_authority: Annotated[str, Parameter(show_default=False, show_env_var=False)] = ""
    """A file with the authority that vouches for the server; else the context's."""

    def flags(self) -> dict[str, str]:
        """What was given, by the names of settings."""
        return {name.replace("_", "-"): value for name, value in vars(self).items()}


HERE = Target()


@dataclass(frozen=True)
class Session:
    """A client at work. ``named`` says whether the namespace was asked for, and is not only where one happens to be."""

    resources: Resources
    server: str
    namespace: str
    named: bool


def settled(target: Target) -> Settled:
    """What holds for a command.

    Raises:
        Failure: the file cannot be read, or has no such context.
    """
    from tidegate.cli.contexts import settle
    from tidegate.cli.contexts_file import place, read

    path = place()
    try:
        return settle(target.flags(), os.environ, read(path), str(path))
    except ValueError as error:
        raise Failure(str(error), "`tidegate config get-contexts` lists them") from error


def login_of(found: Settled, base: Path) -> ClientSettings:
    """What the settings let in with. Files that a context names lie relative to ``base``.

    Raises:
        Failure: the file of the token cannot be read, or what there is does not fit together.
    """
    from tidegate.client import ClientSettings

    def file(name: str) -> Path | None:
        value, origin = found.settings[name]
        path = Path(value)
        return (base / path.expanduser() if origin.startswith("context ") else path) if value else None

    token = found["token"]
    held = file("token-file") if not token and "token-file" in found.settings else None
    if held is not None:
        try:
            token = held.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"the token's file '{held}' cannot be read: {error}") from error
    try:
        return ClientSettings(
            token=token,
            ca=file("certificate-authority"),
            certificate=file("client-certificate"),
            certificate_key=file("client-key"),
        )
    except ValueError as error:
        raise Failure(str(error), "`tidegate config view --origin` tells where each comes from") from error


@contextmanager
def connect(target: Target) -> Iterator[Session]:
    """A client of the server that the options mean; its errors become what a person reads.

    Raises:
        Failure: the server does not answer, or does not let this user in.
    """
    from tidegate.cli.contexts_file import place
    from tidegate.client import Resources, ServerUnreachable
    from tidegate.client.address import parse_address
    from tidegate.protocol.errors import Unauthenticated

    found = settled(target)
    login = login_of(found, place().parent)
    address = parse_address(found["server"])
    if login.token and not address.secure and not address.loopback:
        raise Failure(
            f"a token would be readable by everybody on the way to {address}", "use https:// where there is a token"
        )
    with Resources(found["server"], login) as resources:
        try:
            yield Session(
                resources, found["server"], found["namespace"], found.settings["namespace"].origin == "--namespace"
            )
        except ServerUnreachable as error:
            hint = NOT_TRUSTED if "CERTIFICATE_VERIFY_FAILED" in error.message else NOT_THERE
            raise Failure(error.message, hint) from error
        except Unauthenticated as error:
            raise Failure(error.message, NOT_KNOWN) from error
