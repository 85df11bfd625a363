"""docs/scaling_policies.md lists every setting of every policy, with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.autoscaler.hpa_settings import HpaSettings, Rule
from tidegate.autoscaler.kpa_settings import KpaSettings
from tidegate.autoscaler.ray import RaySettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scaling_policies.md").read_text()


def flat(settings: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and defaults as the page shows them."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, msgspec.Struct):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", shown(value)


def shown(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "on" if value else "off"
        case str():
            return value
        case tuple():
            return ", ".join(rule(each) for each in value)
    return f"{value:g}"


def rule(each: Rule) -> str:
    return f"{each.value}{' %' if each.kind == 'Percent' else ''} in {each.period:g} s"


@pytest.mark.parametrize(
    ("policy", "settings"), [("kpa", KpaSettings()), ("hpa", HpaSettings()), ("ray", RaySettings())]
)
def test_every_setting_is_listed(policy: str, settings: msgspec.Struct) -> None:
    """In order, and with a source."""
    table = PAGE.partition(f"| setting of `{policy}` |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `([\w.]+)` \| ([^|]+) \|[^|]*\| \S[^|]* \|$", table, re.MULTILINE)
    assert listed == list(flat(settings))
