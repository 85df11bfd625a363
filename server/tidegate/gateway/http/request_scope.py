"""What a request over HTTP says of its addressee, read off its ASGI scope."""

from __future__ import annotations

from starlette.types import Scope

from tidegate.gateway.addressee import Asked
from tidegate.gateway.dataplane import DataPlane
from tidegate.identity.credentials import Credentials, read_credentials

SERVICE = "service"
"""Key of a scope's state under which the service stands that the request's path names."""

IDENTITY = "identity"
"""Key of a scope's state under which stands who asks, where callers are asked for that."""
CERTIFICATE = "certificate"
"""Key of a scope's state under which the client's certificate stands, if it has shown one."""


def credentials_of(scope: Scope) -> Credentials:
    """What the request, and the connection that it came by, show of the caller."""
    return read_credentials(scope["headers"], scope["state"].get(CERTIFICATE))


def asked_of(plane: DataPlane, scope: Scope) -> Asked:
    """What the request asks for beside the model and version of its path."""
    state = scope["state"]
    return plane.asked(scope["headers"], state.get(SERVICE), identity=state.get(IDENTITY))
