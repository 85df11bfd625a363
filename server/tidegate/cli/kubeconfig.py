"""``tidegate kubeconfig``: how kubectl and Kubernetes' other clients reach the server."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tidegate.cli.failure import Failure
from tidegate.cli.target import HERE, Target, login_of, settled

if TYPE_CHECKING:
    from tidegate.client import Login


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
    from tidegate.cli.documents import dump

    found = settled(target)
    login = login_of(found, place().parent)
    text = dump(as_kubeconfig(found.context or "tidegate", found["server"], found["namespace"], login), "yaml")
    if not output:
        print(text, end="")
        return
    if Path(output).exists() and not force:
        raise Failure(f"'{output}' exists already", "--force writes over it; what else is in it is lost")
    write_private(Path(output), text)
    print(f"wrote {output}; try: kubectl --kubeconfig {output} get modelservices")


def as_kubeconfig(name: str, server: str, namespace: str, login: Login) -> dict[str, Any]:
    """The document (``kind: Config``), with the contents of the files that the login names.

    Raises:
        Failure: one of them cannot be read.
    """
    cluster: dict[str, Any] = {"server": server}
    if login.certificate_authority:
        cluster["certificate-authority-data"] = _content(login.certificate_authority)
    user: dict[str, Any] = {"token": login.token} if login.token else {}
    if login.client_certificate:
        user["client-certificate-data"] = _content(login.client_certificate)
        user["client-key-data"] = _content(login.client_key or login.client_certificate)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }


def _content(file: str) -> str:
    try:
        return base64.b64encode(Path(file).read_bytes()).decode()
    except OSError as error:
        raise Failure(f"'{file}' cannot be read: {error.strerror}") from error
