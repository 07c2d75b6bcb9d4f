"""Where expectations were broken in; those rows, with what they broke, masked where personal, out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.contract.column import MASK, is_personal
from stages.core import parts
from stages.core.parts import COMPRESSION
from stages.validate.suite import columns_of

PART, ROW, BROKEN = "_part", "_row", "_expectations"


def named(place: int, result: Mapping[str, Any]) -> str:
    """A result as a row bears it: its place in the report, from 1, and what it is about."""
    return f"{place + 1}: {result['type']}({', '.join(columns_of(result['kwargs']))})"


def schema_of(folder: Path, columns: Mapping[str, Any]) -> pa.Schema:
    held = [
        pa.field(column.name, pa.string()) if hidden(column.name, columns) else column
        for column in parts.schema(folder)
    ]
    return pa.schema([(PART, pa.string()), (ROW, pa.int64()), (BROKEN, pa.list_(pa.string())), *held])


def hidden(name: str, columns: Mapping[str, Any]) -> bool:
    return name in columns and is_personal(columns[name])


def write_failing(folder: Path, columns: Mapping[str, Any], broken: Sequence[tuple[str, Any]], path: Path) -> int:
    """`broken` lists (what was broken, [(part, row), …]). Rows are numbered from 1 within their part."""
    reasons: dict[tuple[int, int], list[str]] = {}
    for name, rows in broken:
        for part, row in rows:
            reasons.setdefault((part, row), []).append(name)
    schema = schema_of(folder, columns)
    files = parts.files(folder)
    with pq.ParquetWriter(path, schema, **COMPRESSION) as writer:
        for part in sorted({part for part, _ in reasons}):
            rows = sorted(row for place, row in reasons if place == part)
            found = mask(take(files[part], rows), columns)
            head = [
                pa.array([files[part].name] * len(rows), pa.string()),
                pa.array([row + 1 for row in rows], pa.int64()),
                pa.array([reasons[part, row] for row in rows], pa.list_(pa.string())),
            ]
            writer.write_table(pa.table([*head, *found.columns], schema=schema))
    return len(reasons)


def take(path: Path, rows: Sequence[int]) -> pa.Table:
    """Some rows of a part, in their order, batch by batch."""
    pieces, start = [], 0
    for table in parts.batches([path]):
        if start > rows[-1]:
            break
        within = [row - start for row in rows if start <= row < start + table.num_rows]
        if within:
            pieces.append(table.take(pa.array(within, pa.int64())))
        start += table.num_rows
    return pa.concat_tables(pieces)


def mask(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """A personal value becomes a mark; a missing one stays missing."""
    for name in table.column_names:
        if hidden(name, columns):
            values = pc.if_else(table.column(name).is_valid(), MASK, pa.scalar(None, pa.string()))
            table = table.set_column(table.column_names.index(name), name, values)
    return table
