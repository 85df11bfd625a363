"""A model's answer as a table for people, or as v2's JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import InferResponse
from tidegate.protocol.tensors import Tensor

WIDEST = 20
"""Columns of one output that a terminal still shows side by side; a wider row is shortened to its ends."""


def as_json(response: InferResponse) -> bytes:
    """The response in v2's JSON form, values nested by their shape; FP16 and BF16, which v2 has no JSON for, too."""
    document: dict[str, Any] = {"model_name": response.model_name}
    if response.model_version:
        document["model_version"] = response.model_version
    if response.id:
        document["id"] = response.id
    if response.parameters:
        document["parameters"] = response.parameters
    document["outputs"] = [
        {"name": tensor.name, "datatype": tensor.datatype.value, "shape": tensor.shape, "data": _values(tensor)}
        for tensor in response.outputs
    ]
    return msgspec.json.encode(document)


def as_table(response: InferResponse) -> Table:
    """One line per row, the outputs side by side; an output with another number of rows is described instead."""
    rows = next((tensor.shape[0] for tensor in response.outputs if tensor.shape), 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ROW", justify="right", style="dim")
    columns: list[list[Text]] = []
    for tensor in response.outputs:
        for heading, cells in _columns(tensor, rows):
            table.add_column(heading, justify="left" if tensor.datatype is Datatype.BYTES else "right")
            columns.append(cells)
    for row in range(rows):
        table.add_row(str(row), *(cells[row] for cells in columns))
    return table


def show(response: InferResponse, output: str, console: Console) -> None:
    """Write the response to stdout, as ``table`` or ``json``."""
    if output == "json":
        console.file.write(as_json(response).decode() + "\n")
    else:
        console.print(as_table(response), soft_wrap=not console.is_terminal)


def _columns(tensor: Tensor, rows: int) -> Iterator[tuple[str, list[Text]]]:
    array = tensor.numpy()
    flat = array.reshape(rows, -1) if array.ndim and array.shape[0] == rows and rows else None
    if flat is None or array.ndim > 2:
        yield tensor.name.upper(), [Text(f"{tensor.datatype} {list(tensor.shape)}")] + [Text("")] * (rows - 1)
        return
    if array.ndim == 1:
        yield tensor.name.upper(), [_cell(row[0]) for row in flat]
        return
    wide = flat.shape[1] > WIDEST
    for position in range(flat.shape[1]):
        if wide and WIDEST // 2 <= position < flat.shape[1] - WIDEST // 2:
            if position == WIDEST // 2:
                yield "…", [Text("…")] * rows
            continue
        yield f"{tensor.name.upper()}[{position}]", [_cell(item) for item in flat[:, position]]


def _cell(item: Any) -> Text:
    if isinstance(item, bytes):
        return Text(item.decode(errors="backslashreplace"))
    return Text(f"{item:.6g}" if isinstance(item, (float, np.floating)) else str(item))


def _values(tensor: Tensor) -> Any:
    array = tensor.numpy()
    if tensor.datatype is Datatype.BYTES:
        decoded = np.empty(array.size, dtype=object)
        decoded[:] = [item.decode(errors="backslashreplace") for item in array.reshape(-1)]
        return decoded.reshape(array.shape).tolist()
    return array.tolist()
