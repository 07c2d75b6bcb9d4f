"""Typed batches in, Arrow streams of about a million rows each in the store out; and back, batch by batch.

Words stay dictionaries, each batch with its own: so they are hashed and written once a word, not once a row.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

BATCHES_A_FILE = 8  # large parts are written, and later read, side by side


class TypedWriter:
    """`typed-0000.arrow`, `typed-0001.arrow`, … in a folder; `rows` counts the rows of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[int] = []
        self.schema: pa.Schema | None = None
        self.batches = 0
        self.stream: pa.RecordBatchStreamWriter | None = None

    def write(self, table: pa.Table) -> None:
        self.schema = self.schema or table.schema
        if self.batches % BATCHES_A_FILE == 0:
            self.close()
            self.stream = pa.ipc.new_stream(self.folder / f"typed-{len(self.rows):04d}.arrow", self.schema)
            self.rows.append(0)
        assert self.stream is not None
        self.stream.write_table(alike(table, self.schema))
        self.rows[-1] += table.num_rows
        self.batches += 1

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None


def alike(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the first batch's types: a column of words is a dictionary in all batches or in none."""
    for place, field in enumerate(schema):
        values = table.column(place)
        if values.type != field.type:
            values = values.dictionary_encode() if pa.types.is_dictionary(field.type) else values.cast(field.type)
            table = table.set_column(place, field.name, values)
    return table


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("typed-*.arrow"))


def read(path: Path) -> Iterator[pa.Table]:
    """The batches of one stream. Not mapped: mapped pages would count as ours."""
    with pa.OSFile(str(path)) as file:
        stream = pa.ipc.open_stream(file)
        yield stream.schema.empty_table()  # a part of which nothing is sound has columns all the same
        for batch in stream:
            yield pa.Table.from_batches([batch])


def schema(path: Path) -> pa.Schema:
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_stream(file).schema
