"""What groups of options have in common: how numbers are read, which are given, and what settings they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Self, TypeVar

import msgspec
from cyclopts import Parameter, Token
from cyclopts.validators import Number

from tidegate.cli.values import check_seconds, parse_size, show_size

S = TypeVar("S", bound=msgspec.Struct)


def _convert_size(_: type, tokens: Sequence[Token]) -> int:
    return parse_size(tokens[0].value)


Seconds = Annotated[float, Parameter(validator=check_seconds)]
Count = Annotated[int, Parameter(validator=Number(gte=0))]
Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Size = Annotated[int, Parameter(converter=_convert_size, show_default=show_size, metavar="SIZE")]

SAME: Mapping[str, str] = MappingProxyType({})
"""Every option has the name of its field."""


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


def overlay(settings: S, *groups: object, options: Mapping[str, str] = SAME) -> S:
    """The settings with every field that an option, in one of the groups, tells otherwise.

    ``options`` has the option of each field that has another name.

    Raises:
        ValueError: a value that a field cannot have, by the name of its option.
    """
    named = {field: options.get(field, field) for field in settings.__struct_fields__}
    told = {
        field: getattr(group, option) for group in groups for field, option in named.items() if hasattr(group, option)
    }
    try:
        return msgspec.structs.replace(settings, **told)
    except ValueError as error:
        field, _, problem = str(error).partition(" ")
        if field not in options:
            raise
        raise ValueError(f"{options[field]} {problem}") from error
