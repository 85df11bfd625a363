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
    shadow: int = 0
    """The revision that gets copies of requests, beside what answers them; 0 for none. It is among ``running``."""
    tolerance: tuple[float, float] = (0.0, 0.0)
    """rtol and atol: how far numbers of a copy's outputs may be from the caller's before they differ."""
    observed: tuple[int, ...] = ()
    """Revisions whose requests are looked at closely (``analysis.observation``), for as long as they stand here."""
