"""A CSV file as the inputs of a model: one line is one row of the batch.

A model with one input takes the columns in their order; a model with several takes each input from the column of
its name. The first line is a header unless every cell of it is a number; a model with several inputs needs one.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import convert, parse_cell
from tidegate.protocol.messages import ModelMetadata, TensorSpec
from tidegate.protocol.tensors import Tensor


def read_rows(source: str, metadata: ModelMetadata) -> tuple[Tensor, ...]:
    """The tensors in a CSV file; ``-`` is stdin.

    Raises:
        Failure: it cannot be read, or does not fit the model; the line at fault is named.
    """
    if source == "-":
        return rows_to_tensors(sys.stdin, metadata)
    try:
        with Path(source).open(newline="", encoding="utf-8-sig") as file:
            return rows_to_tensors(file, metadata)
    except OSError as error:
        raise Failure(f"{source} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{source} is not UTF-8 text: {error}") from error


def rows_to_tensors(lines: Iterable[str], metadata: ModelMetadata) -> tuple[Tensor, ...]:
    """The tensors in the lines of a CSV file.

    Raises:
        Failure: it has no rows, or does not fit the model.
    """
    reader = csv.reader(lines, skipinitialspace=True)
    table = [(reader.line_num, row) for row in reader if row]
    header: list[str] = []
    if table and not all(_is_number(cell) for cell in table[0][1]):
        header = [cell.strip() for cell in table.pop(0)[1]]
    if not table:
        raise Failure("the CSV has no rows", "the first line is a header unless every cell of it is a number")
    width = len(header) or len(table[0][1])
    for number, row in table:
        if len(row) != width:
            raise Failure(f"line {number} of the CSV has {len(row)} cells where the first has {width}")
    if len(metadata.inputs) == 1:
        return (_matrix(table, metadata.inputs[0]),)
    return tuple(_column(table, header, spec) for spec in metadata.inputs)


def _matrix(table: list[tuple[int, list[str]]], spec: TensorSpec) -> Tensor:
    width = len(table[0][1])
    item = spec.shape[1:]
    if len(item) > 1 or (not item and width != 1) or (item and item[0] not in (-1, width)):
        raise Failure(
            f"the CSV has {width} columns, which do not fit input '{spec.name}' {spec.datatype} {list(spec.shape)}"
        )
    values: list[Any] = [[_cell(cell, spec, number) for cell in row] for number, row in table]
    array = convert(values, spec)
    return Tensor.from_numpy(spec.name, array if item else array.reshape(-1), spec.datatype)


def _column(table: list[tuple[int, list[str]]], header: list[str], spec: TensorSpec) -> Tensor:
    if spec.name not in header:
        raise Failure(
            f"the CSV has no column '{spec.name}'; its header is {', '.join(header) or 'missing'}",
            "a model with several inputs takes each from the column of its name",
        )
    position = header.index(spec.name)
    array = convert([_cell(row[position], spec, number) for number, row in table], spec)
    return Tensor.from_numpy(spec.name, array.reshape(-1, *(1,) * (len(spec.shape) - 1)), spec.datatype)


def _cell(text: str, spec: TensorSpec, number: int) -> str | int | float | bool:
    try:
        return parse_cell(text, spec)
    except Failure as failure:
        raise Failure(f"line {number} of the CSV: {failure.cause}") from failure


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
