"""``tidegate kubeconfig``: how kubectl and Kubernetes' other clients reach the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tidegate.cli.failure import Failure
from tidegate.cli.target import HERE, Target, login_of, settled


def kubeconfig(
    *,
    output: Annotated[str, Parameter(alias="-o", show_default=False, show_env_var=False)] = "",
    force: Annotated[bool, Parameter(negative=(), show_env_var=False)] = False,
    target: Target = HERE,
) -> None:
    """Write a kubeconfig for the server that commands ask; certificates and tokens are within it.

    Parameters
    ----------
    output
        A file, which only its owner can read; without it stdout.
    force
        Write over a file that is there already.
    """
    from tidegate.cli.contexts_file import place, write_private
    from tidegate.control.api.kubeconfig import Access
    from tidegate.control.api.kubeconfig import kubeconfig as text_of

    found = settled(target)
    login = login_of(found, place().parent)
    if login.token and not found["server"].startswith("https://"):
        print("note: kubectl sends tokens to https:// only, so this server will not see it", file=sys.stderr)
    text = text_of(
        Access(
            name=found.context or "tidegate",
            server=found["server"],
            authority=_content(login.ca),
            token=login.token,
            certificate=_content(login.certificate),
            key=_content(login.certificate_key or login.certificate),
            namespace=found["namespace"],
        )
    )
    if not output:
        print(text, end="")
        return
    if Path(output).exists() and not force:
        raise Failure(f"'{output}' exists already", "--force writes over it; what else is in it is lost")
    write_private(Path(output), text)
    print(f"wrote {output}; try: kubectl --kubeconfig {output} get modelservices")


def _content(file: Path | None) -> bytes:
    try:
        return file.read_bytes() if file else b""
    except OSError as error:
        raise Failure(f"'{file}' cannot be read: {error.strerror}") from error
