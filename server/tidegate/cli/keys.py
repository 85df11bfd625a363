"""``tidegate keys``: who may use a server, in the file that ``tidegate serve --auth keys`` reads.

A server that runs sees a change within a second. No secret is kept: a key is shown when it is made, and never again.
"""

from __future__ import annotations

import builtins
import re
import secrets
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from tidegate.cli.access import api_keys_file
from tidegate.cli.failure import Exit, Failure
from tidegate.protocol.errors import shown

if TYPE_CHECKING:
    from tidegate.identity.key import Key

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Words = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False, show_env_var=False)]


@Parameter(name="*", group=Group("Where they are", sort_key=1))
@dataclass(frozen=True)
class Place:
    """As `tidegate serve` is told it, and by the same variables."""

    api_keys: Annotated[str, Parameter(env_var="TIDEGATE_SERVE_API_KEYS", show_default=False)] = ""
    """The file."""
    state_directory: Annotated[str, Parameter(env_var="TIDEGATE_SERVE_STATE_DIRECTORY", show_default=False)] = ""
    """The server's state directory, in which it is api-keys.json; without either it is tidegate/api-keys.json in
    $XDG_STATE_HOME, else ~/.local/state."""

    @property
    def file(self) -> Path:
        return api_keys_file(self.api_keys, self.state_directory)


HERE = Place()


def create(
    name: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    scope: Words = (),
    role: Literal["view", "edit", "admin"] | None = None,
    tenant: str = "",
    expires: str = "",
    rate: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    burst: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    concurrency: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    certificate: str = "",
    place: Place = HERE,
) -> None:
    """Make an API key and print it. It is shown this once.

    Parameters
    ----------
    name
        Whom it is for.
    scope
        What it is good for: infer:NAME, metadata:NAME or control:NAME, where NAME may be NAMESPACE/NAME and have * in
        it, or admin:*. Once per scope.
    role
        What it is good for at the admin port.
    tenant
        Whom its requests count for in the queue; without it the name. "*" lets the request say so.
    expires
        After how long: 90d, 12h. Without it never.
    rate
        Inferences per second; 0 for no bound.
    burst
        Of them, how many may come at once after a pause; 0 for as many as a second brings.
    concurrency
        Inferences at a time; 0 for no bound.
    certificate
        URI:…, DNS:… or email:… of a client certificate, which is recognised instead of a key.
    """
    from tidegate.identity.identity import Role
    from tidegate.identity.key import Key, hash_of, secret_of
    from tidegate.identity.key_file import changing
    from tidegate.identity.settings import Unusable

    if not (scope or role):
        raise Failure(
            "the key would be good for nothing", "--scope 'infer:*' lets it infer with all models", Exit.USAGE
        )
    key_id, now = secrets.token_hex(6), time.time()
    secret = "" if certificate else secret_of(key_id, secrets.token_bytes(32))
    try:
        key = Key(
            id=key_id,
            name=name,
            hash=hash_of(secret) if secret else "",
            certificate=certificate,
            scopes=scope,
            role=Role(role) if role else None,
            tenant=tenant,
            rate=rate,
            burst=burst,
            concurrent=concurrency,
            created=now,
            expires=now + seconds_of(expires) if expires else 0.0,
        )
        with changing(place.file) as keys:
            keys.append(key)
    except ValueError as error:
        raise Failure(str(error), "`tidegate keys create --help` shows what it takes", Exit.USAGE) from error
    except Unusable as error:
        raise Failure(str(error)) from error
    print(secret or f"{key_id} for {certificate}")


def revoke(
    which: Annotated[str, Parameter(show_env_var=False)],
    /,
    *,
    place: Place = HERE,
) -> None:
    """Take a key back, or all keys of a name.

    Parameters
    ----------
    which
        The key's id, which is also its second part, or a name.
    """
    from tidegate.identity.key_file import changing
    from tidegate.identity.settings import Unusable

    try:
        with changing(place.file) as keys:
            gone = [key for key in keys if which in (key.id, key.name)]
            if not gone:
                raise Failure(f"there is no key '{shown(which)}'", "`tidegate keys list` shows those that there are")
            keys[:] = [key for key in keys if key not in gone]
    except Unusable as error:
        raise Failure(str(error)) from error
    for key in gone:
        print(f"revoked {key.id} of {key.name}")


def list(
    *,
    output: Annotated[Literal["table", "json"], Parameter(alias="-o")] = "table",
    place: Place = HERE,
) -> None:
    """Show the keys that there are, without their secrets, which nobody has.

    Parameters
    ----------
    output
        json writes one array of objects.
    """
    import msgspec

    from tidegate.identity.key_file import read_keys
    from tidegate.identity.settings import Unusable

    try:
        keys = builtins.list(read_keys(place.file).by_id.values())
    except Unusable as error:
        raise Failure(str(error), "`tidegate keys create` makes the first one") from error
    if output == "json":
        told = [{name: value for name, value in msgspec.to_builtins(key).items() if name != "hash"} for key in keys]
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        return
    rows = [("ID", "NAME", "MAY", "EXPIRES"), *(row_of(key, time.time()) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def row_of(key: Key, now: float) -> tuple[str, str, str, str]:
    """A key as a row of the table."""
    may = " ".join((*key.scopes, *((f"role:{key.role}",) if key.role else ())))
    ends = "never"
    if key.expires:
        ends = "expired" if key.expired(now) else f"{datetime.fromtimestamp(key.expires, UTC):%Y-%m-%d %H:%M}Z"
    return key.id, shown(key.name, 32), f"{may} ({key.certificate})" if key.certificate else may, ends


def seconds_of(text: str) -> float:
    """Seconds of a time such as 90d, 12h or 30m.

    Raises:
        ValueError: it is none.
    """
    form = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    if form is None:
        raise ValueError(f"--expires is '{shown(text)}', expected a whole number and s, m, h, d or w, such as 90d")
    return float(form[1]) * UNITS[form[2]]
