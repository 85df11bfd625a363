"""What groups of options have in common: which of them the user has given, and how times are read."""

from __future__ import annotations

from typing import Annotated, Self

from cyclopts import Parameter

from tidegate.cli.values import check_seconds

Seconds = Annotated[float, Parameter(validator=check_seconds)]


class Given:
    """Of a group of options: ``given`` names those that the user has given, by flag or by variable, whatever value.

    cyclopts makes a group from the options it was given and leaves the others to their defaults, so the group's own
    making tells which is which.
    """

    given: frozenset[str]

    def __new__(cls, **options: object) -> Self:
        group = super().__new__(cls)
        object.__setattr__(group, "given", frozenset(options))
        return group
