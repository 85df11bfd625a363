"""Files that are made from the models: CRDs of our own kinds, and the page of KServe's fields; texts, not writes."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from pydantic.fields import FieldInfo

from tidegate.resources.annotations import ANNOTATIONS
from tidegate.resources.explain import describe_fate
from tidegate.resources.fate import Fate, Honoured, Translated, fate_of
from tidegate.resources.kinds import KINDS, Kind
from tidegate.resources.openapi import definition_of
from tidegate.resources.section import Section, fields_of, shape_of

MADE_BY = "Made by scripts/generate-schemas; do not edit."
CRDS = "deploy/tidegate/cluster/crds"
KSERVE_PAGE = "docs/kserve_fields.md"

_HEAD = f"""\
# KServe's fields

What becomes of every field of KServe's InferenceService and ServingRuntime here. <!-- {MADE_BY} -->

## Try it

```console
$ tidegate explain isvc.spec.predictor.batcher.timeout
KIND     InferenceService
VERSION  serving.kserve.io/v1beta1
FIELD    spec.predictor.batcher.timeout <integer>
EXPECTED a whole number
HERE     not honoured: KServe ignores it as well; the component's timeout holds

Seconds, without meaning.
```

## Reference

`tidegate validate` tells the same for the fields of one manifest, see [manifests](manifests.md). A field that is not
listed shares the fate of the nearest one above it; what several components have in common, and what every container
has, comes once. "Honoured" says that ModelService has the same field; what can run on one machine is told
by [KServe manifests](kserve.md).
"""


def generated() -> dict[str, str]:
    """Every file, by its path in the project."""
    return {
        f"{CRDS}/{kind.plural}.yaml": f"# {MADE_BY}\n{_yaml(definition_of(kind))}" for kind in KINDS if not kind.foreign
    } | {KSERVE_PAGE: kserve_page()}


def kserve_page() -> str:
    """The page, as text."""
    foreign = [kind for kind in KINDS if kind.foreign and kind.name != "ClusterServingRuntime"]
    return "\n".join([_HEAD, *(line for kind in foreign for line in _table(kind)), *_annotations()])


def fates(
    section: type[Section], path: str = "", seen: set[tuple[type, str]] | None = None
) -> Iterator[tuple[str, Fate]]:
    """Every field below a section that has a fate of its own, with its path; of lists the elements are ``[]``.

    What several sections have in common comes once, where it is met first.
    """
    seen = set() if seen is None else seen
    for name, info in fields_of(section).items():
        fate, shape = fate_of(info), shape_of(info)
        origin = (_defining(section, info), name)
        if fate is None or origin in seen:
            continue
        here = f"{path}.{name}" if path else name
        yield here, fate
        seen.add(origin)
        while below := shape.item or shape.value:
            here += "[]" if shape.item else ".*"
            shape = below
        if isinstance(fate, Honoured) and shape.section:
            yield from fates(shape.section, here, seen)


def _defining(section: type[Section], info: FieldInfo) -> type:
    """The class whose body has the field."""
    names = {each for each, other in section.model_fields.items() if other is info}
    return next(base for base in section.__mro__ if names & set(vars(base).get("__annotations__", ())))


def _table(kind: Kind) -> Iterator[str]:
    title = "ServingRuntime and ClusterServingRuntime" if kind.name == "ServingRuntime" else kind.name
    yield from (f"**{title}** ({kind.api_version})", "", "| field | here |", "|---|---|")
    for path, fate in fates(kind.model):
        yield f"| `{path}` | {_cell(fate)} |"
    yield ""


def _annotations() -> Iterator[str]:
    yield from ("**Annotations** of the service; any other one is passed on", "", "| annotation | here |", "|---|---|")
    for name, fate in ANNOTATIONS.items():
        yield f"| `{name}` | {_cell(fate)} |"
    yield ""


def _cell(fate: Fate) -> str:
    text = describe_fate(fate)
    return f"becomes `{fate.to}`{text.removeprefix(f'becomes {fate.to}')}" if isinstance(fate, Translated) else text


def _yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Without anchors, which kubectl reads and people do not."""

    def ignore_aliases(self, data: object) -> bool:
        return True
