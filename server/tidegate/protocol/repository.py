"""What v2's model repository extension says of a model, free of any encoding."""

from __future__ import annotations

import msgspec


class ModelIndex(msgspec.Struct, frozen=True):
    """One version of a model that a server knows, loaded or not.

    ``state`` is READY, UNAVAILABLE, LOADING, UNLOADING or UNKNOWN; ``reason`` says why it is not READY.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""
