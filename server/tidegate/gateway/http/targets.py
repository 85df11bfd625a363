"""Which model a path asks to infer, to load or to unload. Pure; the path is split as it was sent, and each segment
is decoded once.

So ``%2F`` stays inside a name, ``..`` is a name like any other, and a name becomes nothing but a key of the route
table. The application behind the other paths is Starlette's, which is told the same path; the Host header becomes no
part of it (``addressee.py``).
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from tidegate.gateway.addressee import ServiceName

SERVING = b"/serving/"
"""What paths begin with that name a service before the protocol's own path: /serving/NAMESPACE/NAME/v2/…"""


class InferTarget(msgspec.Struct, frozen=True, gc=False):
    """The addressee of an inference; ``version`` is "" where the path names none, ``v1`` tells the protocol.

    ``explain`` tells that an explanation is asked for, which is v1's other verb.
    """

    model: str
    version: str = ""
    v1: bool = False
    explain: bool = False


class GenerateTarget(msgspec.Struct, frozen=True, gc=False):
    """The addressee of Triton's generate extension; ``stream`` asks for the responses as events."""

    model: str
    version: str = ""
    stream: bool = False


def infer_target(raw_path: bytes) -> InferTarget | GenerateTarget | None:
    """The addressee of an inference by v2, v1 or the generate extension, None for every other path.

    A trailing slash does not matter.
    """
    parts = raw_path.removesuffix(b"/").split(b"/")
    match parts:
        case [b"", b"v2", b"models", model, b"infer"]:
            return InferTarget(decoded(model))
        case [b"", b"v2", b"models", model, b"versions", version, b"infer"] if version:
            return InferTarget(decoded(model), decoded(version))
        case [b"", b"v2", b"models", model, (b"generate" | b"generate_stream") as ending]:
            return GenerateTarget(decoded(model), stream=ending == b"generate_stream")
        case [b"", b"v2", b"models", model, b"versions", version, (b"generate" | b"generate_stream") as ending] if (
            version
        ):
            return GenerateTarget(decoded(model), decoded(version), stream=ending == b"generate_stream")
        case [b"", b"v1", b"models", name]:
            model_name, colon, verb = decoded(name).rpartition(":")
            if colon and verb in ("predict", "explain"):
                return InferTarget(model_name, v1=True, explain=verb == "explain")
    return None


def service_path(raw_path: bytes) -> tuple[ServiceName, bytes] | None:
    """The service that a path names, and the protocol's path under it; None for every other path."""
    match raw_path.split(b"/", 4):
        case [b"", b"serving", namespace, name, rest] if rest.partition(b"/")[0] in (b"v1", b"v2"):
            return ServiceName(decoded(namespace), decoded(name)), b"/" + rest
    return None


class RepositoryTarget(msgspec.Struct, frozen=True, gc=False):
    """What is wished of the model repository: ``index``, or to ``load`` or ``unload`` a model."""

    verb: str
    model: str = ""


def repository_target(raw_path: bytes) -> RepositoryTarget | None:
    """The wish that a path of v2's model repository expresses, None for every other path."""
    match raw_path.removesuffix(b"/").split(b"/"):
        case [b"", b"v2", b"repository", b"index"]:
            return RepositoryTarget("index")
        case [b"", b"v2", b"repository", b"models", model, b"load" | b"unload" as verb]:
            return RepositoryTarget(verb.decode(), decoded(model))
    return None


def decoded(segment: bytes) -> str:
    """A segment of a path with its percent-encoding undone once; what is no UTF-8 becomes U+FFFD."""
    return unquote(segment.decode("latin-1")) if b"%" in segment else segment.decode("latin-1")
