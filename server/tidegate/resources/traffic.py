"""Which revisions of a service get its requests: what the reconciler decides and the gateway carries out."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Share(msgspec.Struct, frozen=True):
    """A part of the requests. ``percent`` of all shares of a service together is 100."""

    revision: int
    percent: int


class Traffic(msgspec.Struct, frozen=True):
    """The requests of one service. Without shares none of its revisions can answer, and ``reason`` says why."""

    namespace: str
    service: str
    shares: tuple[Share, ...] = ()
    """The stable revision first. Whoever asks for no particular revision is assigned by them."""
    running: tuple[int, ...] = ()
    """Revisions that can be addressed by number, those of the shares among them."""
    versions: Mapping[int, str] = {}
    """The model version of each running revision."""
    tags: Mapping[str, int] = {}
    """``latest`` and ``prev``."""
    salt: str = ""
    """What assignment is hashed with: the same for as long as a share only grows, so that who is in it stays in it."""
    sticky: str = ""
    """The header whose value keeps a caller with one revision, in lower case; "" for none."""
    reason: str = ""
