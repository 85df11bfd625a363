"""What is known of a model, as a document for programs and as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.app.inspection import Inspection
from tidegate.protocol.messages import ModelMetadata, TensorSpec

Document = dict[str, Any]


def of_file(found: Inspection) -> Document:
    """A model on disk. ``problem`` and ``refused`` are there only where it was not loaded."""
    document: Document = {
        "name": found.name,
        "version": found.version,
        "path": found.path,
        "bytes": found.bytes,
        "runtime": found.runtime,
        "format": found.format,
        "reason": found.reason,
        "executes_code": found.executes_code,
        "trusted": found.trusted,
    }
    if found.metadata is None:
        return {**document, "problem": found.problem, "refused": found.refused}
    batches = {"batch_dimension": found.metadata.batch_dimension, "max_batch_size": found.metadata.max_batch_size}
    return {**document, **batches, **_signature(found.metadata)}


def of_served(metadata: ModelMetadata, server: str, ready: bool) -> Document:
    """A model that is being served; what v2's metadata tells of it."""
    document = {"name": metadata.name, "versions": list(metadata.versions), "server": server, "ready": ready}
    return {**document, **_signature(metadata)}


def show(documents: Sequence[Document], output: str) -> None:
    """Write the documents to stdout, as ``table``, ``json`` or ``yaml``."""
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(documents), indent=2).decode())
    elif output == "yaml":
        import yaml

        yaml.safe_dump(list(documents), sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        console = Console()
        for index, document in enumerate(documents):
            if index:
                console.print()
            for table in tables(document):
                console.print(table, soft_wrap=not console.is_terminal)


def tables(document: Document) -> list[Table]:
    """What is known, a line each; then the tensors, if they are."""
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in _facts(document):
        facts.add_row(name, Text(value))
    if "inputs" not in document:
        return [facts]
    tensors = Table("TENSOR", "NAME", "DATATYPE", "SHAPE", box=None, pad_edge=False, header_style="bold")
    for side in ("input", "output"):
        for tensor in document[f"{side}s"]:
            shape = ",".join("any" if size == -1 else str(size) for size in tensor["shape"])
            tensors.add_row(side, Text(tensor["name"]), tensor["datatype"], Text(f"[{shape}]"))
    return [facts, tensors]


def _facts(document: Document) -> list[tuple[str, str]]:
    facts = [("NAME", document["name"])]
    if "server" in document:
        facts += [("VERSIONS", ", ".join(document["versions"]) or "not told"), ("SERVER", document["server"])]
        facts += [("READY", "yes" if document["ready"] else "no")]
    else:
        size = document["bytes"]
        facts += [("VERSION", document["version"]), ("PATH", document["path"]), ("SIZE", f"{size:,} bytes")]
        facts += [("RUNTIME", f"{document['runtime']}: {document['reason']}"), ("FORMAT", document["format"])]
        facts += [("RUNS CODE", _code(document))]
    if "problem" in document:
        return [*facts, ("NOT LOADED", document["problem"])]
    if "batch_dimension" in document:
        facts.append(("BATCHES", _batches(document["batch_dimension"], document["max_batch_size"])))
    facts += [("PLATFORM", document["platform"] or "not told")]
    return facts + [(f"  {name}", value) for name, value in document["properties"].items()]


def _code(document: Document) -> str:
    if not document["executes_code"]:
        return "no: the format is only data"
    return f"when it is read; {'trusted' if document['trusted'] else 'not trusted'}"


def _batches(batch_dimension: bool, most: int) -> str:
    if not batch_dimension:
        return "none: axis 0 does not count rows"
    return f"axis 0 counts rows, at most {most} at a time" if most else "axis 0 counts rows, any number of them"


def _signature(metadata: ModelMetadata) -> Document:
    return {
        "platform": metadata.platform,
        "inputs": [_tensor(spec) for spec in metadata.inputs],
        "outputs": [_tensor(spec) for spec in metadata.outputs],
        "properties": dict(metadata.properties),
    }


def _tensor(spec: TensorSpec) -> Document:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": list(spec.shape)}
