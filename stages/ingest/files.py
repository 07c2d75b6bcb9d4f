"""A folder of pictures, sounds or other files in, one record a file out: its bytes, and facts about it.

Columns: the bytes, `name`, `size` in bytes, the named groups of `path`, and those of a table of labels.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from stages.contract.section import Section
from stages.ingest import About, Batch, Raw, malformed_row, number_records
from stages.ingest import _labels as label_table
from stages.ingest._labels import Labels
from stages.ingest._parts import Unit, check_pattern, from_path, matching

BATCH_BYTES = 64 << 20
BATCH_FILES = 1000


class Options(Section):
    """`column` is the name of the bytes. `path` is a regular expression: its named groups become columns."""

    format: Literal["files"]
    column: str
    files: str = "**/*"
    path: str = ""
    labels: Labels | None = None
    max_bytes: int = Field(default=256 << 20, ge=1)

    compiles = field_validator("path")(check_pattern)


def units(raw: Raw, options: Options) -> list[Unit]:
    beside = options.labels.file if options.labels else None
    return [unit for unit in matching(raw.folder, options.files) if unit != (beside,)]


def about(raw: Raw, options: Options) -> About:
    return label_table.about(raw, [name for (name,) in units(raw, options)], options.labels)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    rows: list[dict[str, Any]] = []
    malformed: list[dict[str, Any]] = []
    size = 0
    for name in names:
        row = read_one(raw, name, options)
        if "reason" in row:
            malformed.append(row)
            continue
        rows.append(row)
        size += row["size"]
        if size >= BATCH_BYTES or len(rows) >= BATCH_FILES:
            yield to_batch(rows, malformed, raw, options)
            rows, malformed, size = [], [], 0
    yield to_batch(rows, malformed, raw, options)


def read_one(raw: Raw, name: str, options: Options) -> dict[str, Any]:
    """One file's row, or a row of malformed that says why it has none."""
    path = raw.folder / name
    size = path.stat().st_size
    if size > options.max_bytes:
        return malformed_row(name, 1, "", f"{size:,} bytes, at most {options.max_bytes:,} allowed (ingest.max_bytes)")
    try:
        groups = from_path(name, options.path)
    except ValueError as error:
        return malformed_row(name, 1, "", str(error))
    return {options.column: path.read_bytes(), "name": path.name, "size": size, **groups, "_file": name}


def to_batch(rows: list[dict[str, Any]], malformed: list[dict[str, Any]], raw: Raw, options: Options) -> Batch:
    """The rows as a table; `_file` is added last, as every format does."""
    if not rows:
        return Batch(pa.table({}), malformed)
    kinds = {options.column: pa.binary(), "size": pa.int64()}
    names = [row["_file"] for row in rows]
    found = {
        key: pa.array([row[key] for row in rows], kinds.get(key, pa.string())) for key in rows[0] if key != "_file"
    }
    table = pa.table({**found, **label_table.columns(raw.state, names)})
    return Batch(number_files(table, names), malformed)


def number_files(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Each record is the first of its own file."""
    numbered = number_records(table, "", np.ones(table.num_rows, np.int64))
    return numbered.set_column(numbered.column_names.index("_file"), "_file", pa.array(names, pa.string()))
