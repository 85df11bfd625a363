"""What a request over HTTP says of its addressee, read off its ASGI scope."""

from __future__ import annotations

from starlette.types import Scope

from tidegate.gateway.addressee import Asked
from tidegate.gateway.dataplane import DataPlane

SERVICE = "service"
"""Key of a scope's state under which the service stands that the request's path names."""


def asked_of(plane: DataPlane, scope: Scope) -> Asked:
    """What the request asks for beside the model and version of its path.

    Raises:
        InvalidRequest: see ``DataPlane.asked``.
    """
    return plane.asked(scope["headers"], scope["state"].get(SERVICE))
