"""A folder of Parquet files in, the table that they are out: one file a part, in the order of their names."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 131_072
COUNTING = "_record"
COMPRESSION = {"compression": "zstd", "compression_level": 1}


def files(folder: Path) -> list[Path]:
    """The parts of a table. A part's rows follow those of the parts before it."""
    return sorted(folder.glob("*.parquet"))


def schema(folder: Path) -> pa.Schema:
    with files(folder)[0].open("rb") as file:
        return pq.read_schema(file)


def num_rows(folder: Path) -> int:
    total = 0
    for path in files(folder):
        with path.open("rb") as file:
            total += pq.read_metadata(file).num_rows
    return total


def read(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole table, or some of its columns."""
    tables = []
    for path in files(folder):
        with path.open("rb") as file:
            tables.append(pq.ParquetFile(file).read(columns=columns))
    return pa.concat_tables(tables).combine_chunks()


def batches(
    paths: Iterable[Path], columns: Sequence[str] | None = None, *, words: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """One part after the other in pieces of at most BATCH_ROWS rows; `words` are columns read as dictionaries."""
    for path in paths:
        with path.open("rb") as file:  # opened by Python, so that the test on dvc.yaml sees it
            source = pq.ParquetFile(file, read_dictionary=list(words))
            for batch in source.iter_batches(BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])


def encodings(schema: pa.Schema) -> dict[str, Any]:
    """Record numbers count up: as differences they take no room, and half the time of a dictionary that never fits."""
    if COUNTING not in schema.names:
        return {}
    others = [name for name in schema.names if name != COUNTING]
    return {"use_dictionary": others or False, "column_encoding": {COUNTING: "DELTA_BINARY_PACKED"}}


class Writer:
    """A Parquet file that takes its schema from the first table, unless one is given.

    Without `arrow_types` it is read back with Parquet's own: dictionaries of words as words.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None, *, arrow_types: bool = True) -> None:
        self.path, self.arrow_types = path, arrow_types
        self.writer = self.begin(schema) if schema else None

    def write(self, table: pa.Table) -> None:
        if self.writer is None:
            self.writer = self.begin(table.schema)
        if table.num_rows:
            self.writer.write_table(table)

    def begin(self, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(self.path, schema, **COMPRESSION, **encodings(schema), store_schema=self.arrow_types)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def link(source: Path, target: Path) -> None:
    """`target` becomes the same file as `source`, which nobody writes to again; a copy on another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
