"""A kubeconfig: how kubectl, the Python clients and tidegate itself find a server, and show who they are. Pure."""

from __future__ import annotations

import base64

import msgspec
import yaml

from tidegate.resources.document import DEFAULT_NAMESPACE


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One way into one server."""

    name: str
    """Of cluster, user and context alike."""
    server: str
    """``https://HOST:PORT``"""
    authority: bytes = b""
    """The certificate that the server's is checked with, in PEM. kubectl sends a token over TLS only."""
    token: str = ""
    certificate: bytes = b""
    """What the client shows, in PEM."""
    key: bytes = b""
    """The key of that certificate."""
    namespace: str = DEFAULT_NAMESPACE


def kubeconfig(access: Access) -> str:
    """The text of a file, which holds the token: whoever writes it makes it readable by its owner alone."""
    cluster: dict[str, str] = {"server": access.server}
    if access.authority:
        cluster["certificate-authority-data"] = base64.b64encode(access.authority).decode()
    user = {"token": access.token} if access.token else {}
    if access.certificate:
        user["client-certificate-data"] = base64.b64encode(access.certificate).decode()
        user["client-key-data"] = base64.b64encode(access.key).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": access.name, "cluster": cluster}],
        "users": [{"name": access.name, "user": user}],
        "contexts": [
            {
                "name": access.name,
                "context": {"cluster": access.name, "user": access.name, "namespace": access.namespace},
            }
        ],
        "current-context": access.name,
    }
    return yaml.safe_dump(document, sort_keys=False)
