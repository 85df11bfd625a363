"""Single values in a manifest: how they are written, what is said of one that is not, and their schema in a CRD.

Each is a marker in ``Annotated[...]`` that gives pydantic the check, and whoever explains the field the words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

INT32 = 2**31 - 1
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = r"^([0-9]{1,12}(\.[0-9]{1,9})?(ns|us|µs|ms|s|m|h))+$"
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_LONGEST = 2**63 - 1
"""Nanoseconds that Go's Duration can hold, about 292 years."""

_SUFFIXES = {"n": "1e-9", "u": "1e-6", "m": "1e-3", "": "1", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"}
_SUFFIXES |= {"P": "1e15", "E": "1e18"}
_BINARY = {name: str(2 ** (10 * power)) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_QUANTITY = r"^[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$"


_COUNT_OR_SHARE = r"^[0-9]{1,9}%?$"
_INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


class Duration(str):
    """A length of time as Go writes it: ``500ms``, ``1m30s``."""

    __slots__ = ()

    @property
    def nanoseconds(self) -> int:
        return sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _PART.findall(self))

    @property
    def seconds(self) -> float:
        return self.nanoseconds / 1e9


class Quantity(str):
    """An amount as Kubernetes writes it: ``500m``, ``1Gi``, ``2``."""

    __slots__ = ()

    @property
    def value(self) -> Decimal:
        bare = self.rstrip("numkMGTPEKi")
        suffix = self[len(bare) :]
        if suffix and suffix not in _SUFFIXES | _BINARY:  # an exponent, or its letter alone
            return Decimal(self)
        return Decimal(bare) * Decimal((_SUFFIXES | _BINARY)[suffix])


class Scalar:
    """What all markers have: the words for what is expected, and the schema (OpenAPI v3)."""

    expected: str

    @property
    def schema(self) -> Mapping[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class Form(Scalar):
    """Text of some form."""

    expected: str
    pattern: str = ""
    longest: int = 0
    """Characters; 0 for any number."""

    @property
    def schema(self) -> Mapping[str, Any]:
        bounds = {"pattern": self.pattern, "maxLength": self.longest}
        return {"type": "string"} | {name: bound for name, bound in bounds.items() if bound}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(strict=True, pattern=self.pattern or None, max_length=self.longest or None)


@dataclass(frozen=True)
class Whole(Scalar):
    """A whole number within bounds."""

    least: int = 0
    most: int = INT32

    @property
    def expected(self) -> str:  # type: ignore[override]  # said of the bounds
        if self.most < INT32:
            return f"a whole number from {self.least} to {self.most}"
        return "a whole number" if self.least < -INT32 else f"a whole number of at least {self.least}"

    @property
    def schema(self) -> Mapping[str, Any]:
        size = "int32" if self.most <= INT32 else "int64"
        bounds = {"minimum": self.least} | ({"maximum": self.most} if self.most < INT32 else {})
        return {"type": "integer", "format": size} | (bounds if self.least >= -INT32 else {})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.int_schema(strict=True, ge=self.least, le=self.most)


@dataclass(frozen=True)
class Real(Scalar):
    """A number within bounds."""

    least: float = 0.0
    most: float = 1e300

    @property
    def expected(self) -> str:  # type: ignore[override]  # said of the bounds
        if self.most < 1e300:
            return f"a number from {self.least:g} to {self.most:g}"
        if self.least <= -1e300:
            return "a number"
        return f"a number of at least {self.least:g}"

    @property
    def schema(self) -> Mapping[str, Any]:
        least = {"minimum": self.least} if self.least > -1e300 else {}
        return {"type": "number"} | least | ({"maximum": self.most} if self.most < 1e300 else {})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.float_schema(strict=True, ge=self.least, le=self.most, allow_inf_nan=False)


@dataclass(frozen=True)
class Span(Scalar):
    """A duration; a bare whole number is in KServe's unit for the field."""

    bare: str

    @property
    def expected(self) -> str:  # type: ignore[override]  # said of the unit
        unit = {"ms": "milliseconds", "s": "seconds"}[self.bare]
        return f"a duration like 500ms or 1m30s, or a whole number of {unit}"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {**_INT_OR_STRING, "pattern": _DURATION}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read, serialization=_PLAIN)

    def read(self, value: object) -> Duration:
        """The duration that a value tells.

        Raises:
            ValueError: it tells none.
        """
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT32:
            return Duration(f"{value}{self.bare}")
        if isinstance(value, str) and len(value) <= 64 and re.fullmatch(_DURATION, value):
            duration = Duration(value)
            if duration.nanoseconds <= _LONGEST:
                return duration
        raise ValueError(self.expected)


@dataclass(frozen=True)
class Amount(Scalar):
    """A quantity; a bare number is itself."""

    expected: str = "a quantity like 500m, 2 or 1Gi"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {**_INT_OR_STRING, "pattern": _QUANTITY}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read, serialization=_PLAIN)

    def read(self, value: object) -> Quantity:
        """The quantity that a value tells.

        Raises:
            ValueError: it tells none.
        """
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18:
            value = f"{value}"
        if isinstance(value, str) and re.fullmatch(_QUANTITY, value, re.ASCII):
            return Quantity(value)
        raise ValueError(self.expected)


@dataclass(frozen=True)
class CountOrShare(Scalar):
    """Kubernetes' int-or-string: a count, or a share of them in per cent."""

    expected: str = "a whole number of at least 0 or a percentage like 25%"

    @property
    def schema(self) -> Mapping[str, Any]:
        return {**_INT_OR_STRING, "pattern": _COUNT_OR_SHARE}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def read(self, value: object) -> int | str:
        """The value, which stays a number or a text.

        Raises:
            ValueError: it is neither of this form.
        """
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT32:
            return value
        if isinstance(value, str) and re.fullmatch(_COUNT_OR_SHARE, value):
            return value
        raise ValueError(self.expected)


_PLAIN = core_schema.plain_serializer_function_ser_schema(str)
"""YAML's and JSON's writers want text itself, not a subclass of it."""

Milliseconds = Annotated[Duration, Span("ms")]
Seconds = Annotated[Duration, Span("s")]
AmountOf = Annotated[Quantity, Amount()]
IntOrString = Annotated[int | str, CountOrShare()]
Count = Annotated[int, Whole(0)]
Positive = Annotated[int, Whole(1)]
Percent = Annotated[int, Whole(0, 100)]
Fraction = Annotated[float, Real(0.0, 1.0)]
Ratio = Annotated[float, Real(0.0)]
Integer = Annotated[int, Whole(-(2**63), 2**63 - 1)]
Label = Annotated[
    str, Form("a name of at most 63 small letters, digits and '-', that begins and ends with no '-'", DNS_LABEL, 63)
]
Subdomain = Annotated[
    str,
    Form("a name of at most 253 small letters, digits, '-' and '.', as in DNS (RFC 1123)", DNS_SUBDOMAIN, 253),
]
LabelKey = Annotated[
    str,
    Form(
        "a key of at most 63 letters, digits, '-', '_' and '.', a DNS name and '/' before it if need be",
        r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        317,
    ),
]
LabelValue = Annotated[
    str,
    Form(
        "text (in quotes) of at most 63 letters, digits, '-', '_' and '.', or none",
        r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        63,
    ),
]
Quoted = Annotated[str, Form("text (in quotes, if it looks like a number or a truth value)")]
Uri = Annotated[
    str, Form("a URI like s3://bucket/model or models:/iris@champion, or a path", r"^[^\x00-\x20\x7f]+$", 2048)
]
Timestamp = Annotated[
    str,
    Form(
        "a time like 2026-11-26T12:00:00Z",
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$",
        40,
    ),
]
