"""What the pages list is what there is: options, metrics, errors. Nothing is missing, nothing is made up."""

from __future__ import annotations

import re
from dataclasses import fields
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.cli.main import build
from tidegate.cli.options import DEFAULTS, Times
from tidegate.cli.values import show_size
from tidegate.protocol import errors
from tidegate.resources.kinds import KINDS
from tidegate.resources.rules import RULES
from tidegate.runtimes.sample import Sample
from tidegate.storage.config import BatcherConfig, ModelConfig
from tidegate.telemetry.collector import RevisionCollector
from tidegate.telemetry.metrics import Metrics
from tidegate.telemetry.traffic import TrafficCollector

DOCS = Path(__file__).resolve().parents[2] / "docs"
OWN = {"name": "–", "untrusted": "off", "option": "–", "output": "text", "debug": "off"}
"""The options of `tidegate serve` that are in no group."""


def rows(page: str, begin: str) -> list[list[str]]:
    """The cells of every table row of the page whose first cell begins so, without the backticks around them."""
    lines = re.findall(rf"^\| ({begin}.*) \|$", (DOCS / page).read_text(), re.MULTILINE)
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def default_and_unit(group: object, name: str, kind: Any) -> tuple[str, str]:
    """As the page shows them."""
    value = getattr(group, name)
    if kind == "Size":
        return show_size(value), "bytes"
    if kind == "Seconds" or isinstance(group, Times):
        return f"{value:g}", "s"
    if kind in ("Rows", "RowSizes") or name == "max_queue":
        return str(value or "–"), "rows"
    if isinstance(value, bool):
        return "on" if value else "off", ""
    return value.value if isinstance(value, StrEnum) else str(value or "–") if isinstance(value, str | tuple) else str(
        value
    ), ""


def test_every_option_of_serve_is_in_the_settings() -> None:
    """With its default and its unit, and with what it means."""
    expected = {option(name): (default, "") for name, default in OWN.items()}
    for group in DEFAULTS.groups:
        for field in fields(group):  # type: ignore[arg-type]
            expected[option(field.name)] = default_and_unit(group, field.name, field.type)
    shown = {name: (default, unit) for name, default, unit, _ in rows("settings.md", "`--")}
    assert shown == expected
    assert all(meaning for *_, meaning in rows("settings.md", "`--"))


def test_the_command_has_these_options() -> None:
    """The groups and the few beside them are all that it takes; --debug belongs to every command."""
    arguments = build()["serve"].assemble_argument_collection()
    real = {argument.names[0] for argument in arguments if argument.show} - {"PATHS"}
    assert real | {"--debug"} == {name for name, *_ in rows("settings.md", "`--")}


@pytest.mark.parametrize("runtime", ["sklearn", "onnx", "python"])
def test_every_option_of_a_runtime_is_listed(runtime: str) -> None:
    """In the table under **Options** of its page."""
    known = import_module(f"tidegate.runtimes.{runtime}").OPTIONS
    page = (DOCS / f"runtimes_{runtime}.md").read_text()
    table = page.partition("**Options**")[2].partition("\n\n`--threads`")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == sorted(known)


@pytest.mark.parametrize(
    ("header", "kind"),
    [("field", ModelConfig), ("field of `batcher`", BatcherConfig), ("field of a sample", Sample)],
)
def test_every_field_of_model_yaml_is_listed(header: str, kind: type[msgspec.Struct]) -> None:
    """In the order of the struct that reads it."""
    table = (DOCS / "repository.md").read_text().partition(f"| {header} | type |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(kind.__struct_fields__)


def test_every_metric_is_listed() -> None:
    """With its kind, its labels and the words of its own help."""
    real = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: [metric.type, metric.documentation]
        for metric in Metrics("1").registry.collect()
    }
    assert {name: [kind, meaning] for name, kind, _, meaning in rows("metrics.md", "`tidegate_")} == real


@pytest.mark.parametrize("row", rows("metrics.md", "`tidegate_"), ids=lambda row: row[0])
def test_the_labels_of_a_metric_are_listed(row: list[str]) -> None:
    """As prometheus_client knows them: of a metric that it counts itself, or of one that is read off what we count."""
    name, _, labels, _ = row
    owner: Any = Metrics("1").registry._names_to_collectors[name]
    if isinstance(owner, (RevisionCollector, TrafficCollector)):
        owner = next(family for family in owner.describe() if family.name == name.removesuffix("_total"))
    assert list(owner._labelnames) == re.findall(r"\w+", labels)


def test_every_error_is_listed() -> None:
    """With its statuses, and whether trying again can help."""
    tree = {
        kind.__name__: [str(kind.http_status), kind.grpc_status.name, "yes" if kind.retryable else "no"]
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TidegateError) and kind is not errors.TidegateError
    }
    assert {name: cells for name, *cells, _ in rows("errors.md", "`[A-Z]")} == tree
    assert all(meaning for *_, meaning in rows("errors.md", "`[A-Z]"))


def test_every_kind_and_rule_of_manifests_is_listed() -> None:
    """Kinds with their versions and short names, rules in the words of the table that checks them."""
    kinds = [row[:3] for row in rows("manifests.md", "`[A-Z]")]
    assert kinds == [[kind.name, kind.api_version, " ".join(kind.short)] for kind in KINDS]
    page = (DOCS / "manifests.md").read_text().partition("**Rules**")[2].partition("## Errors")[0]
    assert re.findall(r"^\| \w+ \| (.+) \|$", page, re.MULTILINE) == ["rule", *(rule.sentence for rule in RULES)]
