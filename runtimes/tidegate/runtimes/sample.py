"""A request that is made from nothing, as a model's owner writes it down: what a model is warmed up with."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

MAX_ELEMENTS = 1 << 28
"""Of one input of a sample; what a request may have by default."""

Rows = Annotated[int, msgspec.Meta(ge=1, le=65536)]
Size = Annotated[int, msgspec.Meta(ge=0, le=MAX_ELEMENTS)]


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request. Inputs that neither ``shapes`` nor ``data`` names are zeros of their declared shape."""

    batch_size: Rows = 1
    """Rows of the inputs without data, where the model has a batch dimension."""
    shapes: dict[str, tuple[Size, ...]] = {}
    """Shape by input, rows included, for zeros where any size as 1 would not do: an image of 1 x 1, say."""
    data: dict[str, list[Any]] = {}
    """Values by input, nested lists as in v2's JSON. Text is UTF-8."""
